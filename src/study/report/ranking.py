"""Which imputer is ahead of which: only where every trained model says so.

Two methods of one recipe are compared on the same trained model, others with each model of the
one against each of the other. Scores are compared as they are printed.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pandas as pd

from study.report.formats import MODELS, NONE, duration, number, share
from study.report.verdicts import paired, verdict

NOMINAL = 0.9


class Score(NamedTuple):
    """A score as tables show it.

    Attributes
    ----------
    title, region, metric : str
        The head of its column, and what it is in ``scores.csv``.
    text : callable
        Formats a value.
    best : float, optional
        The value that is best: the nearer, the better.
    """

    title: str
    region: str
    metric: str
    text: Callable[[float], str]
    best: float | None = None

    def of(self, scores: pd.DataFrame) -> pd.DataFrame:
        """Select its rows: one per mask, imputer and trained model."""
        return scores[(scores["region"] == self.region) & (scores["metric"] == self.metric)]

    def off(self, values: Any) -> Any:
        """Return how far values are from the best one."""
        return abs(values - self.best)

    def printed(self, values: pd.Series) -> pd.Series:
        """Round values as they are printed, in their own unit: shares are printed in percent."""
        texts = values.map(self.text).str.replace("−", "-")
        return texts.astype(float) / float(self.text(1.0))


MSE = Score("MSE", "image", "mse", partial(number, metric="mse"), 0)
SSIM = Score("SSIM, 7 × 7", "image", "ssim", partial(number, metric="ssim"), 1)
ACCURACY = Score("right digit, %", "image", "accuracy", partial(share, decimals=2), 1)
COVERAGE = Score("90 % covers, missing, %", "missing", f"coverage_{NOMINAL}", share, NOMINAL)
GREY = COVERAGE._replace(title="90 % covers, grey, %", region="grey")
CRPS = Score("CRPS", "missing", "crps", partial(number, metric="crps"), 0)
FLAGGED = Score("flagged, %", "image", "flagged", share)
SCORES = (
    MSE,
    SSIM,
    SSIM._replace(title="SSIM, global", metric="ssim_global"),
    ACCURACY,
    COVERAGE,
    GREY,
    Score("inside, ends included, %", "missing", f"covered_{NOMINAL}", share),
    CRPS,
    FLAGGED,
)
SECONDS = Score("seconds", "image", "seconds", duration, 0)
#: By which scores Gaussian and t latents are compared, and what they tell.
COMPARED = {
    MSE: "error: MSE",
    SSIM: f"structure: {SSIM.title}",
    CRPS: "uncertainty: CRPS",
    COVERAGE: f"honesty: coverage's distance from {share(NOMINAL, 0)} %, in points",
}
#: Metrics whose differences are shown relative to the Gaussian's.
RELATIVE = ("mse", "crps")


def leaders(scores: pd.DataFrame, mechanism: str, score: Score) -> list[str]:
    """Return the imputer with the best mean under a mask, then those that it is not ahead of."""
    runs = score.of(scores[scores["mechanism"] == mechanism])
    if runs.empty:
        return []
    best = score.off(runs.groupby("imputer")["value"].mean()).idxmin()
    runs = runs.assign(off=score.off(score.printed(runs["value"])))
    own = runs.loc[runs["imputer"] == best, ["recipe", "model", "seed", "off"]]
    every = own["off"].max() < runs.groupby("imputer")["off"].min()
    same = runs.merge(own, on=["recipe", "model", "seed"], suffixes=("", "_best"))
    paired = (same["off_best"] < same["off"]).groupby(same["imputer"]).all()
    recipe = runs["imputer"][runs["recipe"].isin(own["recipe"])].unique()
    every[recipe] = paired.reindex(recipe, fill_value=False)
    return [best, *every.index[~every & (every.index != best)]]


def latents(scores: pd.DataFrame) -> pd.DataFrame:
    """Compare both latents, paired by seed: each of `COMPARED`, imputer and mask.

    Columns are those of `study.report.verdicts.paired`, ``title``, ``metric`` and ``verdict``. Of
    coverage it is the distance from what was promised that is compared, in percentage points:
    ``miss``.
    """
    found = []
    for score in COMPARED:
        runs = score.of(scores).sort_values(["mechanism", "imputer"])
        metric = score.metric
        if score == COVERAGE:
            metric, runs = "miss", runs.assign(value=100 * score.off(runs["value"]))
        rows = paired(runs, ["imputer", "mechanism"])
        words = [verdict(metric, row.low, row.high) for row in rows.itertuples()]
        found.append(rows.assign(title=COMPARED[score], metric=metric, verdict=words))
    return pd.concat(found, ignore_index=True)


def pairs(scores: pd.DataFrame, score: Score) -> pd.Series:
    """Format means over seeds, by mask and imputer: both models in one text, Gaussian / t."""
    index = ["mechanism", "imputer"]
    means = score.of(scores).pivot_table(index=index, columns="model", values="value")
    texts = means.reindex(columns=["", *MODELS]).map(score.text)
    rows = [f"{gauss} / {t}" if own == NONE else own for own, gauss, t in texts.to_numpy()]
    return pd.Series(rows, index=texts.index, dtype=object)


def emphasised(values: pd.Series, score: Score) -> pd.Series:
    """Format a column: bold what reads as the best value does, a dash what is missing."""
    texts = values.map(score.text)
    if score.best is None or values.isna().all():
        return texts
    return texts.mask(texts == texts[score.off(values).idxmin()], "**" + texts + "**")
