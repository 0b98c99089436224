"""The two models side by side over seeds: what ``summary.json`` and ``scores.csv`` hold."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from study.report.results import (
    ELBO_TERMS,
    LIKELIHOOD_TERMS,
    MECHANISMS,
    METRICS,
    OUTPUTS,
    Results,
    Score,
    elbo_score,
    image_score,
)
from vaefill.metrics.statistics import Interval, mean_interval, paired_difference

SCORE_COLUMNS = (
    "recipe", "model", "seed", "mechanism", "method", "output", "region", "metric", "value",
)  # fmt: skip


class Comparison(NamedTuple):
    """Both models' mean over seeds, and t - gauss paired by seed, each with its interval."""

    gauss: Interval
    t: Interval
    diff: Interval


def compare(gauss: Sequence[float], t: Sequence[float]) -> Comparison:
    """Set the two models side by side, over seeds: one value of each per seed, in one order."""
    return Comparison(mean_interval(gauss), mean_interval(t), paired_difference(gauss, t))


def rounded(comparison: Comparison) -> dict[str, Any]:
    """Return ``gauss``, ``t``, ``diff`` (t - gauss), ``diff_low`` and ``diff_high``.

    With 6 significant digits; the bounds are None with one seed.
    """
    gauss, t, diff = comparison
    values = {"gauss": gauss.mean, "t": t.mean, "diff": diff.mean}
    values |= {"diff_low": diff.low, "diff_high": diff.high}
    return {k: None if np.isnan(v) else float(f"{v:.6g}") for k, v in values.items()}


def summarise(results: Results) -> dict[str, Any]:
    """Return the slides' table over seeds: what ``summary.json`` holds under each recipe.

    Returns
    -------
    dict
        ``{mechanism: {output: {metric: numbers}}, "elbo": {term: numbers}, "likelihood": {term:
        numbers}}``, where numbers are those of `rounded`.
    """

    def numbers(score: Score) -> dict[str, Any]:
        return rounded(compare(*results.paired(score)))

    table: dict[str, Any] = {
        mechanism: {
            output: {m: numbers(image_score(mechanism, output, m)) for m in METRICS}
            for output in OUTPUTS
        }
        for mechanism in MECHANISMS
    }
    for name, terms in (("elbo", ELBO_TERMS), ("likelihood", LIKELIHOOD_TERMS)):
        table[name] = {term: numbers(elbo_score(term)) for term in terms}
    return table


def score_rows(results: Mapping[str, Results]) -> list[tuple[str | int | float, ...]]:
    """Return the rows of ``scores.csv`` in `SCORE_COLUMNS`, sorted."""
    return sorted(
        (recipe, model, seed, *score, value)
        for recipe, runs in results.items()
        for (model, seed), scores in runs.scores.items()
        for score, value in scores.items()
    )
