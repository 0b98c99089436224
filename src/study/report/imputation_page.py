"""The page of the imputers: advice, figures and tables, all computed from the tracked results."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from study.report.imputation_advice import advice
from study.report.imputation_results import MECHANISMS, Cell, ImputationResults, Method
from study.report.imputation_tables import (
    GROUP_NAMES,
    MSE,
    compact_table,
    method_name,
    others_table,
    rubin_table,
    scores_table,
)
from study.report.tables import COLUMN_NAMES, MECHANISM_NAMES, seed_names

TITLE = "Which imputer to use when"
CAPTIONS = {
    "quality_time": "Error of the imputed images against the wall time for 10,000 of them. "
    "A label names a method, its markers are the models; the dotted line is the lowest error that "
    "can be had in a given time.",
    "calibration": "How much of what is missing the intervals cover, against what they promise. On "
    "the diagonal they are honest, below it too narrow. The thin lines are of those pixels alone "
    "that are grey in truth, neither 0 nor 1.",
    "degradation": "Error of the missing pixels alone against how much is missing; no model was "
    "trained or tuned anew.",
    "rubin": "The mean ink of each digit class, relative to that of the complete images, with 95 % "
    "intervals; where a square is missing.",
}
#: What each method does, with its source.
METHODS = {
    "zero": "0, the background.",
    "mean": "the mean over the training images.",
    "knn": "the mean of the training images that are nearest on the observed pixels (Troyanskaya "
    "et al., *Bioinformatics* 17, 2001).",
    "gaussian": "the conditional mean of a multivariate normal, fitted to the training images.",
    "biharmonic": "the smooth surface through the observed pixels (Damelin and Hoang, *Int. J. "
    "Math. Math. Sci.*, 2018; scikit-image's).",
    "single_pass": "the zero-filled image is encoded, and its code decoded: the slides' way.",
    "iterated": "the same with the own imputation, again and again.",
    "pseudo_gibbs": "a chain of encoder and decoder (Rezende, Mohamed and Wierstra, ICML 2014).",
    "metropolis_within_gibbs": "the chain, corrected by accepting or rejecting its steps (Mattei "
    "and Frellsen, NeurIPS 2018).",
    "importance": "codes drawn from encoder and prior, weighted by how well they explain the "
    "observed pixels (Mattei and Frellsen, ICML 2019).",
    "map": "the most probable code given the observed pixels, decoded.",
    "laplace": "codes drawn around the most probable ones, weighted.",
    "refit": "codes drawn from the encoder's output refitted to the observed pixels of each image, "
    "weighted (Mattei and Frellsen, NeurIPS workshop on Bayesian deep learning, 2018).",
}
#: The same for models trained to impute, whose encoder sees the observed pixels alone.
TRAINED_METHODS = {
    "single_pass": "the expected code given the observed pixels, decoded.",
    "draws": "codes drawn given the observed pixels, decoded and averaged (Ivanov, Figurnov and "
    "Vetrov, ICLR 2019).",
}


def section(results: ImputationResults, *, targets: bool = True) -> str:
    """Write what the report says of the imputers: advice, one figure and the compact table.

    Parameters
    ----------
    results : ImputationResults
        All results.
    targets : bool, default=True
        As for `study.report.imputation_advice.advice`.
    """
    parts = [_bullets(results, targets=targets), _basis(results)]
    parts += _figures("quality_time") if _has_times(results) else []
    return "\n\n".join([*parts, _compact_note(results), compact_table(results)])


def render(results: ImputationResults, *, params: Mapping[str, Any]) -> str:
    """Write the whole page as Markdown.

    Parameters
    ----------
    results : ImputationResults
        All results.
    params : dict
        ``dataset``, ``mask`` and, in ``split``, ``test_size`` are shown, and where they are given
        the numbers of images of ``infer`` and ``degrade``. The targets are about ``mnist`` alone.
    """
    targets = params["dataset"] == "mnist"
    parts = [f"# {TITLE}", _bullets(results, targets=targets), _basis(results)]
    parts += ["## Quality against time", *_timed(results)]
    parts += ["## Every score", _table_note(results)]
    for mechanism in MECHANISMS:
        parts += [f"### {MECHANISM_NAMES[mechanism].capitalize()} missing"]
        parts += [scores_table(results, mechanism)]
    if any(cell.metric.startswith("coverage_") for _, cell in results.scores):
        parts += ["## How honest the intervals are", *_figures("calibration")]
    if results.draws:
        parts += ["## Hard cases, and draws", *_draws(results)]
    if results.degradation:
        parts += ["## Where more is missing, and other pixels", *_degraded(results)]
    if results.rubin:
        parts += ["## An estimate from several imputations", *_rubin(results)]
    parts += ["## How this was measured", _measured(results, params), _methods(results)]
    return "\n\n".join(parts) + "\n"


def _bullets(results: ImputationResults, *, targets: bool) -> str:
    return "\n".join(f"- {sentence}" for sentence in advice(results, targets=targets))


def _basis(results: ImputationResults) -> str:
    """Say what the words best and ahead rest on."""
    return (
        f"Scores are of whole imputed test images{_from_seeds(results)}; SSIM uses 7 × 7 windows. "
        "The method with the best mean is named; it counts as ahead of another only where every "
        "trained model says so."
    )


def _from_seeds(results: ImputationResults) -> str:
    if not results.seeds:
        return ""
    return f", from training runs with {seed_names(results.seeds)}"


def _compact_note(results: ImputationResults) -> str:
    seeds = f", means over {seed_names(results.seeds)}" * (len(results.seeds) > 1)
    return (
        f"Gaussian / t{seeds}; seconds for 10,000 images; the best of each column is **bold**. "
        f"[All scores](imputation.md)."
    )


def _figures(*names: str) -> list[str]:
    return [
        f"![{n.replace('_', ' ')}](imputation/figures/{n}.png)\n\n*{CAPTIONS[n]}*" for n in names
    ]


def _timed(results: ImputationResults) -> Iterator[str]:
    if not _has_times(results):
        yield "Nothing was timed."
        return
    yield from _figures("quality_time")
    untimed = [method_name(m) for m in results.methods if results.time(m) is None]
    if untimed:
        yield f"Not timed, and therefore not shown: {'; '.join(untimed)}."


def _has_times(results: ImputationResults) -> bool:
    return any(results.points(mechanism, MSE.metric) for mechanism in MECHANISMS)


def _table_note(results: ImputationResults) -> str:
    return (
        f"Means over test images{_over(results)}; pixels in [0, 1]. The MSE of missing pixels "
        "alone is that of the image divided by the share of missing pixels. *Right digit* is the "
        "share of imputed images that a classifier trained on complete images gets right. "
        "Coverage is that of 90 % intervals, over all missing pixels and over those that are grey "
        "in truth (neither 0 nor 1). Most pixels are exactly 0, in truth and in draws: their ties "
        "with the ends of an interval are shared out evenly, as only then honest draws cover 90 %; "
        "with the ends included, more lie *inside*. CRPS is over missing pixels. *Flagged* is the "
        "share of images whose chains did not converge or whose weights collapsed. Seconds are "
        "for 10,000 images. The best of each column is **bold**: the lowest, of SSIM and the right "
        "digit the highest, of coverage the nearest to 90 %."
    )


def _over(results: ImputationResults) -> str:
    return f" and {seed_names(results.seeds)}" if len(results.seeds) > 1 else ""


def _draws(results: ImputationResults) -> Iterator[str]:
    yield (
        "Images that are hard to fill in, the same for every model. The imputation is the best "
        "single answer, and blurred where the model is unsure; draws show what it thinks possible. "
        "How far they differ is the standard deviation between draws, in grey levels of 255, over "
        "the missing pixels of these images: near 0, the code carries nothing and all draws are "
        "one, and intervals come from the grain of single pixels alone."
    )
    for recipe in dict.fromkeys(recipe for recipe, _ in results.draws):
        yield (
            f"![draws, {recipe}](imputation/figures/draws_{recipe}.png)\n\n*Recipe `{recipe}`: "
            "missing pixels tinted, then imputation and draws of each model. Draws differ by "
            f"{_spreads(results, recipe)} grey levels.*"
        )


def _spreads(results: ImputationResults, recipe: str) -> str:
    """Say per model how far its draws differ over missing pixels."""
    texts = []
    for model, name in COLUMN_NAMES.items():
        if (recipe, model) in results.draws:
            tiles = results.draws[recipe, model]
            variance = tiles[:, 3:].var(axis=1)[tiles[:, 1] > 0].mean()
            texts.append(f"{np.sqrt(variance):.1f} ({name})")
    return " and ".join(texts)


def _degraded(results: ImputationResults) -> Iterator[str]:
    settings = {setting for values in results.degradation.values() for _, setting in values}
    if settings - {None}:
        yield from _figures("degradation")
    if None in settings:
        yield (
            "MSE of the missing pixels alone; the best of each column is **bold**. MAR: whether "
            "pixels of the right half are missing depends on the ink of the left one, which is "
            "observed. MNAR: whether a pixel is missing depends on its own brightness."
        )
        yield others_table(results)


def _rubin(results: ImputationResults) -> Iterator[str]:
    """Count how often each source's interval holds what the complete images give."""
    complete = {e.digit: e.estimate for e in results.rubin if e.source == "complete"}
    counts = []
    for source, name in {
        "multiple": "multiple imputation",
        "mean": "the expected pixels as a single imputation",
        "zero": "zeros",
    }.items():
        found = [e for e in results.rubin if e.source == source and e.digit in complete]
        inside = sum(e.low <= complete[e.digit] <= e.high for e in found)
        counts += [f"with {name} in {inside} of {len(found)} digit classes"] * bool(found)
    if counts:
        yield (
            "The mean ink of each digit class, estimated where a square is missing. The 95 % "
            f"interval holds the estimate from the complete images {', '.join(counts)}. Several "
            "draws, pooled by Rubin's rules (*Multiple imputation for nonresponse in surveys*, "
            "1987), widen the interval by what the missing pixels leave open; a single imputation "
            "takes itself for data."
        )
        yield from _figures("rubin")
    yield rubin_table(results)


def _measured(results: ImputationResults, params: Mapping[str, Any]) -> str:
    mask = params["mask"]
    fraction, size = mask["random"]["fraction"], mask["square"]["size"]
    lines = [
        f"- Dataset `{params['dataset']}`, {params['split']['test_size']:,} test images; "
        f"{100 * fraction:g} % of the pixels missing at random, or a square of {size} × {size}.",
    ]
    if results.timing:
        lines.append(f"- Times: {_timing(results.timing)}.")
    if "infer" in params:
        images, draws = params["infer"]["images"], params["infer"]["n_draws"]
        lines.append(
            f"- Coverage, CRPS and the estimate from several imputations: the first {images:,} "
            f"test images, {draws} imputations each. Grey levels of draws were learned on "
            f"{params['infer']['valid_images']:,} validation images with pixels hidden alike."
        )
    if "degrade" in params:
        images = params["degrade"]["images"]
        lines.append(f"- Other mechanisms and sizes: the first {images:,} test images.")
    fewer = _scored_on_fewer(results)
    lines += [f"- Scored on fewer images: {', '.join(fewer)}."] * bool(fewer)
    return "\n".join(lines)


def _timing(timing: Mapping[str, Any]) -> str:
    """Say what was measured with what, as far as the file tells."""
    parts = [
        f"{timing[name]:,} {name}"
        for name in ("images", "threads")
        if isinstance(timing.get(name), int)
    ]
    environment = timing.get("environment")
    if isinstance(environment, dict):
        parts += [f"{name} {value}" for name, value in sorted(environment.items())]
    return ", ".join(parts)


def _scored_on_fewer(results: ImputationResults) -> list[str]:
    """Name methods that not all test images were scored with; the files may not say."""
    numbers: dict[Method, float] = {}
    for method in results.methods:
        for mechanism in MECHANISMS:
            number = results.mean(method, Cell(mechanism, "image", "images"))
            if number is not None:
                numbers[method] = min(number, numbers.get(method, number))
    most = max(numbers.values(), default=0)
    return [f"{method_name(m)} ({n:,.0f})" for m, n in numbers.items() if n < most]


def _methods(results: ImputationResults) -> str:
    """Describe the methods that there are, once each."""
    lines = []
    for group, title in GROUP_NAMES.items():
        known = TRAINED_METHODS if group == "trained" else METHODS
        methods = dict.fromkeys(m.name for m in results.methods if m.group == group)
        lines += [f"- {title[0].upper() + title[1:]}:"] * bool(methods)
        lines += [
            f"  - {method_name(Method('', name))}: {known[name]}"
            for name in methods
            if name in known
        ]
    return "\n".join(lines)
