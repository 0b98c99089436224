"""Who is ahead of whom, cell by cell; a cell is one table under one condition.

Ahead is who has the lower mean over seeds. Better and worse are said, as everywhere in this
project, only where the 95 % interval over seeds, paired, excludes that both are equal; here it is
the interval of the logarithm of the ratio.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from study.report.verdicts import verdict
from vaefill.metrics.statistics import paired_difference

CELL = ["table", "mechanism", "rate"]
OURS, THOROUGH = "vaefill", "vaefill_thorough"
#: What anybody tries first.
SIMPLE = ("mean", "knn", "knn_10", "bayesian_ridge")
#: Lower is better by each.
ERRORS = ("rmse", "mae", "crps")


def against(
    runs: pd.DataFrame, imputer: str, rivals: Sequence[str], metric: str = "rmse"
) -> pd.DataFrame:
    """Hold an imputer to the best of its rivals in every cell.

    A rival counts in a cell where it has a score with every seed that the imputer has.

    Parameters
    ----------
    runs : DataFrame
        As `study.tables.results.load` gives them.
    imputer : str
    rivals : sequence of str
    metric : {"rmse", "mae", "crps"}

    Returns
    -------
    DataFrame
        One row per cell in which both have a score: `CELL`; ``value``, ``best`` (a name),
        ``best_value``; ``ratio`` of the two; ``verdict`` of the imputer.
    """
    wide = runs.pivot(index=[*CELL, "seed"], columns="imputer", values=metric)
    # In the order of the runs.
    wide = wide.reindex(pd.MultiIndex.from_frame(runs[[*CELL, "seed"]].drop_duplicates()))
    wide = wide.reindex(columns=[imputer, *rivals]).dropna(subset=[imputer])
    rows = []
    for cell, scores in wide.groupby(CELL, sort=False):
        others = scores[list(rivals)].dropna(axis="columns")
        if others.empty:
            continue
        best = str(others.mean().idxmin())
        value, best_value = float(scores[imputer].mean()), float(others[best].mean())
        change = paired_difference(np.log(others[best]), np.log(scores[imputer]))
        word = verdict("mse", change.low, change.high)
        rows.append((*cell, value, best, best_value, value / best_value, word))
    return pd.DataFrame(rows, columns=[*CELL, "value", "best", "best_value", "ratio", "verdict"])


class Tally(NamedTuple):
    """What many cells come to.

    Attributes
    ----------
    cells, ahead, close : int
        How many there are; in how many the ratio is below 1, and at most 1.02.
    ratio : float
        Geometric mean of the ratios; nan without cells.
    """

    cells: int
    ahead: int
    close: int
    ratio: float


def tally(found: pd.DataFrame) -> Tally:
    """Count cells as `against` gives them."""
    ratio = found["ratio"]
    mean = float(np.exp(np.log(ratio).mean())) if len(ratio) else float("nan")
    return Tally(len(ratio), int((ratio < 1).sum()), int((ratio <= CLOSE).sum()), mean)


#: A ratio up to this is no loss to speak of.
CLOSE = 1.02


def coverage(runs: pd.DataFrame, imputer: str) -> pd.DataFrame:
    """Return ``coverage`` and ``width`` of an imputer's intervals per cell, means over seeds."""
    own = runs[runs["imputer"] == imputer].dropna(subset="coverage")
    return own.groupby(CELL, sort=False)[["coverage", "width"]].mean().reset_index()
