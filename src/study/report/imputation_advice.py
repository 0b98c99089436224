"""Which imputer to use when, in words: every sentence is computed from the scores."""

from collections.abc import Callable, Mapping, Sequence

from study.report.imputation_ranking import (
    ahead,
    cell_of,
    item,
    leaders,
    leading_text,
    listed,
    means,
)
from study.report.imputation_results import MECHANISMS, UNFITTED, ImputationResults, Method
from study.report.imputation_tables import (
    ACCURACY,
    COVERAGE,
    MSE,
    NOMINAL,
    SSIM,
    Column,
    method_name,
    seconds,
    share,
)
from study.report.imputation_verdicts import against_targets, gauss_or_t
from study.report.tables import percent

#: How far from the best a method may be that is recommended for its speed.
NEAR = 0.10
#: How far from what they promise the intervals of a method may be that are called honest.
TOLERANCE = 0.03

Remark = Callable[[ImputationResults, Sequence[Method], Method, str], str]


def advice(results: ImputationResults, *, targets: bool = True) -> list[str]:
    """Say which imputer to use when: one item per question that the results can answer.

    Parameters
    ----------
    results : ImputationResults
        All scores and times.
    targets : bool, default=True
        Whether to hold the scores against `study.report.imputation_verdicts.TARGETS`, which are
        about MNIST.

    Returns
    -------
    list of str
        Markdown, without bullets. A method is ahead only where every trained model says so.
    """
    baselines, inference, trained = (
        [m for m in results.methods if m.group == group]
        for group in ("baseline", "inference", "trained")
    )
    if _lead(results, trained):
        trained = []
    parts = [
        _best("For the best imputations", results, results.methods, _by_ssim),
        _best("Without a VAE", results, baselines, _without_images),
        _best("With a VAE that was trained on complete images", results, inference, _to_single),
        _best("With a model trained to impute", results, trained, _behind),
        _fastest(results),
        _honest(results),
        _digit(results),
        gauss_or_t(results),
        against_targets(results) if targets else "",
    ]
    return [part for part in parts if part]


def _best(title: str, results: ImputationResults, methods: Sequence[Method], remark: Remark) -> str:
    """Name the methods with the lowest error per mask, and remark on the first."""
    parts = {}
    for mechanism in MECHANISMS:
        found = leaders(results, methods, mechanism, MSE)
        if found:
            text = leading_text(results, found, mechanism, MSE)
            parts[mechanism] = text + remark(results, methods, found[0], mechanism)
    return item(f"**{title}**", parts)


def _lead(results: ImputationResults, methods: Sequence[Method]) -> bool:
    """Tell whether the best of these are the best of all, and have been named."""
    return all(
        leaders(results, methods, m, MSE) == leaders(results, results.methods, m, MSE)
        for m in MECHANISMS
    )


def _by_ssim(results: ImputationResults, methods: Sequence[Method], best: Method, m: str) -> str:
    """Say whether the structural similarity agrees with the error."""
    found = leaders(results, methods, m, SSIM)
    if not found:
        return ""
    if found[0] == best:
        return "; the best by SSIM too"
    return f"; by SSIM {leading_text(results, found, m, SSIM)}"


def _behind(results: ImputationResults, methods: Sequence[Method], best: Method, m: str) -> str:
    """Say how many times the error of the best of all it has."""
    errors = means(results, results.methods, m, MSE)
    ratio = errors[best] / min(errors.values())
    return f"; {ratio:.1f} × the lowest error of all" if ratio > 1 else "; the lowest error of all"


def _without_images(
    results: ImputationResults, methods: Sequence[Method], best: Method, m: str
) -> str:
    """Add the best of those that need no training images either."""
    text = _behind(results, methods, best, m)
    errors = means(results, [method for method in methods if method.name in UNFITTED], m, MSE)
    if not errors or best in errors:
        return text
    unfitted = min(errors, key=lambda method: errors[method])
    return f"{text}; without training images {method_name(unfitted)}, {MSE.text(errors[unfitted])}"


def _to_single(results: ImputationResults, methods: Sequence[Method], best: Method, m: str) -> str:
    """Say how much is gained over a single pass with the same models, the slides' way."""
    single = best._replace(name="single_pass")
    errors = means(results, methods, m, MSE)
    if best == single or single not in errors:
        return ""
    if not ahead(results, best, single, m, MSE):
        return ""  # named already, among those that it is not ahead of
    return f"; {percent(errors[best] / errors[single] - 1)} against a single pass, the slides' way"


def _fastest(results: ImputationResults) -> str:
    """Name the quickest method whose error is near the lowest, per mask."""
    title = f"**In a hurry**, the fastest within {100 * NEAR:g} % of the lowest MSE"
    if not results.seconds:
        return f"{title}: nothing was timed."
    parts = {}
    for mechanism in MECHANISMS:
        errors = means(results, results.methods, mechanism, MSE)
        lowest = min(errors.values(), default=0.0)
        times = {m: results.time(m) for m, error in errors.items() if error <= (1 + NEAR) * lowest}
        near = {m: time for m, time in times.items() if time is not None}
        if near:
            method = min(near, key=lambda m: near[m])
            best = min(errors, key=lambda m: errors[m])
            text = f"{method_name(method)}, {seconds(near[method])} s for 10,000 images"
            parts[mechanism] = text + _price(errors, near, method, best)
    return item(title, parts)


def _price(
    errors: Mapping[Method, float], times: Mapping[Method, float], method: Method, best: Method
) -> str:
    """Say what the speed costs."""
    if method == best:
        return ", the lowest MSE itself"
    text = f"; MSE {percent(errors[method] / errors[best] - 1)} against {method_name(best)}"
    if best not in times:
        return f"{text}, which was not timed"
    ratio = times[best] / times[method]
    return f"{text}, {ratio:,.{1 if ratio < 10 else 0}f} × as fast"


def _honest(results: ImputationResults) -> str:
    """Name the methods whose intervals cover what they promise, under both masks."""
    missing, grey = COVERAGE["missing"], COVERAGE["grey"]
    drawing = [m for m in results.methods if any(_coverages(results, m, missing))]
    if not drawing:
        return ""
    low, high = (f"{100 * (NOMINAL + sign * TOLERANCE):.0f}" for sign in (-1, 1))
    honest = [m for m in drawing if _covers(results, m, missing)]
    text = (
        f"**For honest intervals.** 90 % intervals cover {low} to {high} % of the missing pixels, "
        f"under both masks and with every model, for {len(honest)} of the {len(drawing)} methods "
        f"that draw{': ' + listed(honest) if honest else ''}."
    )
    if honest:
        both = [m for m in honest if _covers(results, m, grey)]
        text += f" They do so for the pixels alone that are grey in truth too for {listed(both)}."
    others = [value for m in drawing if m not in honest for values in
              _coverages(results, m, missing) for value in values]  # fmt: skip
    if others:
        text += f" The others' cover {share(min(others))} to {share(max(others))} %."
    return text


def _coverages(results: ImputationResults, method: Method, column: Column) -> list[list[float]]:
    return [[*results.runs(method, cell_of(m, column)).values()] for m in MECHANISMS]


def _covers(results: ImputationResults, method: Method, column: Column) -> bool:
    values = _coverages(results, method, column)
    # Rounded, because 0.93 - 0.9 is more than 0.03 in binary.
    return all(values) and all(
        round(abs(value - NOMINAL), 9) <= TOLERANCE for part in values for value in part
    )


def _digit(results: ImputationResults) -> str:
    """Say whether a classifier still sees the digit, between complete images and zeros."""
    parts = {}
    zeros = Method("", "zero")
    for mechanism in MECHANISMS:
        accuracies = means(results, results.methods, mechanism, ACCURACY)
        if zeros not in accuracies or results.complete is None:
            continue
        first, *others = leaders(results, results.methods, mechanism, ACCURACY)
        best, floor = accuracies[first], accuracies[zeros]
        text = f"{ACCURACY.text(best)} % after {method_name(first)}"
        if others:
            text += f" (not ahead of {listed(others)} in every model)"
        text += f", {ACCURACY.text(floor)} % with zeros"
        if results.complete > floor:
            regained = (best - floor) / (results.complete - floor)
            text += f": {share(regained, decimals=0)} % of the loss is made good"
        parts[mechanism] = text
    complete = "" if results.complete is None else ACCURACY.text(results.complete)
    return item(
        "**To keep the digit.** A classifier that was trained on complete images is right about "
        f"{complete} % of them, and of imputed ones about",
        parts,
    )
