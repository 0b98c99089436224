"""Gaussian against t latents, and the scores against what was to be reached."""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

from study.report.imputation_ranking import (
    ahead,
    as_printed,
    by_model,
    cell_of,
    leaders,
    values_text,
    where,
    worse,
)
from study.report.imputation_results import MECHANISMS, MODELS, ImputationResults, Method, Run
from study.report.imputation_tables import MSE, SSIM, Column, method_name
from study.report.tables import COLUMN_NAMES, percent, verdict
from vaefill.metrics.statistics import Interval, paired_difference


class Target(NamedTuple):
    """What was to be reached by the best method of a group, with every model."""

    group: str
    mechanism: str
    column: Column
    bound: float


#: Of MNIST, with the masks of ``params.yaml``.
TARGETS = (
    Target("inference", "random", MSE, 0.0044),
    Target("inference", "square", MSE, 0.0105),
    Target("trained", "random", MSE, 0.0014),
    Target("trained", "square", MSE, 0.0078),
    Target("trained", "random", SSIM, 0.972),
    Target("trained", "square", SSIM, 0.91),
)
GROUPS = {
    "inference": "VAEs trained on complete images",
    "trained": "Models trained to impute",
}


def gauss_or_t(results: ImputationResults) -> str:
    """Compare the MSE of both latents, paired by seed, over all methods and masks."""
    changes: dict[str, Interval] = {}
    for method, mechanism in product(results.methods, MECHANISMS):
        runs = results.runs(method, cell_of(mechanism, MSE))
        common = [s for s in results.seeds if all(Run(m, s) in runs for m in MODELS)]
        if common:
            gauss, t = ([runs[Run(model, seed)] for seed in common] for model in MODELS)
            level = sum(gauss) / len(gauss)
            change = Interval(*(end / level for end in paired_difference(gauss, t)))
            changes[f"{method_name(method)} with {where(mechanism)}"] = change
    if not changes:
        return ""
    title = "**Gaussian or t latents?**"
    told = {name: c for name, c in changes.items() if c.low == c.low}  # nan with one seed
    if not told:
        sizes = [change.mean for change in changes.values()]
        return (
            f"{title} One seed: cannot tell. Over {len(changes)} pairs of a method and a mask, t − "
            f"Gaussian is {percent(min(sizes))} to {percent(max(sizes))} of the MSE."
        )
    groups: dict[str, list[str]] = {}
    for name, (mean, low, high) in told.items():
        size = f"{percent(mean)} [{percent(low)}, {percent(high)}]"
        groups.setdefault(verdict("mse", low, high), []).append(f"{name} ({size})")
    parts = [f"{w} in {len(groups[w])}, {', '.join(groups[w])}" for w in ("better", "worse")
             if w in groups]  # fmt: skip
    equal = len(groups.get("no difference found", []))
    parts += [f"no difference found in {equal}"] * bool(equal)
    return (
        f"{title} MSE of the t against the Gaussian, paired by seed, over {len(told)} pairs of a "
        f"method and a mask: {'; '.join(parts)}. Even between equal models, about 1 in 20 would "
        f"show a difference by chance: {len(told) / 20:.1f} of {len(told)}."
    )


def against_targets(results: ImputationResults) -> str:
    """Say which targets the best method of each group meets, with every model."""
    lines = []
    for group, name in GROUPS.items():
        methods = [m for m in results.methods if m.group == group]
        texts = []
        for target in TARGETS:
            found = leaders(results, methods, target.mechanism, target.column)
            if target.group == group and found:
                texts.append(_against(results, target, found[0]))
        if group == "trained" and methods:
            texts += _to_baselines(results, methods)
        if texts:
            lines.append(f"\n  - {name}: {'; '.join(texts)}.")
    return f"**Against the targets**, by the best method of each{''.join(lines)}" if lines else ""


def _against(results: ImputationResults, target: Target, method: Method) -> str:
    column, bound = target.column, target.bound
    values = by_model(results, method, target.mechanism, column)
    met = [
        model
        for model, value in values.items()
        if worse(column, as_printed(column, value)) <= worse(column, bound)
    ]
    word = "met" if len(met) == len(values) else "missed"
    if met and word == "missed":
        word = f"met by the {COLUMN_NAMES[met[0]]} alone"
    sign = "≤" if worse(column, 1) > 0 else "≥"
    return (
        f"{column.title} {sign} {bound:g} with {where(target.mechanism)} **{word}**, "
        f"{values_text(column, values)}"
    )


def _to_baselines(results: ImputationResults, methods: Sequence[Method]) -> list[str]:
    """Say under which masks the best of the methods is ahead of every baseline."""
    baselines = [m for m in results.methods if m.group == "baseline"]
    places = []
    for mechanism in MECHANISMS:
        ours = leaders(results, methods, mechanism, MSE)[:1]
        theirs = [m for m in baselines if results.runs(m, cell_of(mechanism, MSE))]
        pairs = [*product(ours, theirs)]
        if pairs:
            all_ahead = all(ahead(results, a, b, mechanism, MSE) for a, b in pairs)
            word = "met" if all_ahead else "missed"
            places.append(f"with {where(mechanism)} **{word}**")
    return [f"better than every baseline {', '.join(places)}"] * bool(places)
