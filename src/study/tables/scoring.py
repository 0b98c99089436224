"""How near and how honest what was filled in is, and what a regression makes of it.

Every score is taken per column, over its missing cells, and then averaged over the columns that
have some: no column counts for more because more of it is missing. Tables are standardised, so
errors are in standard deviations of the observed cells of a column.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.model_selection import train_test_split

from vaefill.metrics.calibration import central_interval, crps

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Of the intervals.
LEVEL = 0.9
METRICS = ("rmse", "mae", "coverage", "width", "crps", "r2")


class Filled(NamedTuple):
    """What an imputer says of a table; only missing cells are looked at.

    Attributes
    ----------
    values : float64 array of shape (n, p)
    interval : pair of float64 arrays of shape (n, p), or None
        Lower and upper ends, of `LEVEL`.
    draws : float64 array of shape (J, n, p), or None
        Several imputations. They give the interval where there is none and J is large enough.
    """

    values: Floats
    interval: tuple[Floats, Floats] | None = None
    draws: Floats | None = None


def score(truth: Floats, missing: Bools, filled: Filled) -> dict[str, float]:
    """Score the missing cells of one table.

    Parameters
    ----------
    truth : float64 array of shape (n, p)
        Complete.
    missing : bool array of shape (n, p)
        True where a cell was hidden; one at least.
    filled : Filled

    Returns
    -------
    dict of str to float
        ``rmse`` and ``mae``; ``coverage`` and ``width`` where there are intervals; ``crps`` where
        there are draws (`vaefill.metrics.calibration`).
    """
    error = filled.values - truth
    found = {
        "rmse": float(np.mean(np.sqrt(_column_means(error**2, missing)))),
        "mae": float(np.mean(_column_means(np.abs(error), missing))),
    }
    interval = filled.interval
    if filled.draws is not None:
        ordered = np.sort(filled.draws, axis=0)
        found["crps"] = float(np.mean(_column_means(crps(ordered, truth), missing)))
        if interval is None and (len(ordered) + 1) * (1 - LEVEL) / 2 > 1 - 1e-9:
            interval = central_interval(ordered, LEVEL)
    if interval is not None:
        low, high = interval
        inside = (low <= truth) & (truth <= high)
        found["coverage"] = float(np.mean(_column_means(inside, missing)))
        found["width"] = float(np.mean(_column_means(high - low, missing)))
    return found


def regression_r2(truth: Floats, filled: Floats, seed: int) -> float:
    """R² on complete rows of a ridge regression that learned from filled ones.

    The last column is predicted from the others. Three rows of four are learned from, with the
    features as they were filled in and the target as it is; the others are predicted from what
    they hold in truth.

    Parameters
    ----------
    truth, filled : float64 arrays of shape (n, p)
        p at least 2.
    seed : int
        Of the choice of rows.
    """
    train, test = train_test_split(np.arange(len(truth)), random_state=seed)
    model: Any = Ridge().fit(filled[train, :-1], truth[train, -1])
    return float(model.score(truth[test, :-1], truth[test, -1]))


def _column_means(values: NDArray[Any], missing: Bools) -> Floats:
    counts = missing.sum(0)
    sums = np.where(missing, values, 0).sum(0)
    means: Floats = sums[counts > 0] / counts[counts > 0]
    return means
