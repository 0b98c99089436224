"""What else people fill tables with, to be tried beside `VAEImputer`: scikit-learn's imputers.

They take numbers alone. Each gets the encoded table: an indicator for every category, and columns
standardised, or those with large numbers would choose the nearest rows.
"""

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.linear_model import BayesianRidge

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Rows that they learn from at most: a few seconds each in the widest tables that are assessed.
N_ROWS = 2_000
#: Slots that a regression of the chain looks at, those most correlated with it first.
N_FEATURES = 50


def _mean(learned: Floats, values: Floats, column: Integers, seed: int) -> Floats:
    return np.asarray(SimpleImputer(keep_empty_features=True).fit(learned).transform(values))


def _knn(learned: Floats, values: Floats, column: Integers, seed: int) -> Floats:
    return np.asarray(KNNImputer(keep_empty_features=True).fit(learned).transform(values))


def _chained(learned: Floats, values: Floats, column: Integers, seed: int) -> Floats:
    chain = IterativeImputer(
        n_nearest_features=N_FEATURES if len(column) > N_FEATURES else None,
        keep_empty_features=True,
        random_state=seed,
    ).fit(learned)
    known, filled = chain.transform(learned), np.array(chain.transform(values))
    # The indicators of one column add up to 1: regressed on each other they stay where the chain
    # starts, at the mean. They are made anew from all other columns.
    for j in np.flatnonzero(np.bincount(column) > 1):
        own = column == j
        shown = ~np.isnan(learned[:, own]).any(1)
        gaps = np.isnan(values[:, own]).any(1)
        for slot in np.flatnonzero(own) if shown.any() and gaps.any() else ():
            model = BayesianRidge().fit(known[shown][:, ~own], learned[shown, slot])
            filled[gaps, slot] = model.predict(filled[gaps][:, ~own])
    return filled


#: An imputer's name to its function of the rows to learn from, the rows to fill in, the column of
#: every slot, and a seed.
RIVALS: dict[str, Callable[[Floats, Floats, Integers, int], Floats]] = {
    "mean": _mean,
    "knn": _knn,
    "chained": _chained,
}


def complete(name: str, values: Floats, column: Integers, seed: int) -> Floats:
    """Fill in an encoded table by one of `RIVALS`.

    Parameters
    ----------
    name : str
    values : float64 array of shape (n, p)
        In any units; nan where missing, no column wholly.
    column : int64 array of shape (p,)
        The column that each slot belongs to.
    seed : int
        Of the choice of rows to learn from, and of the imputer.

    Returns
    -------
    array of shape (n, p)
        In the same units.
    """
    scale = deviations(values)
    centre = np.nanmean(values / scale, axis=0)
    z = values / scale - centre
    learned = z
    if len(z) > N_ROWS and name != "mean":
        learned = z[np.random.default_rng(seed).choice(len(z), N_ROWS, replace=False)]
    with warnings.catch_warnings():  # of chains that are cut short, and of columns without spread
        warnings.simplefilter("ignore")
        filled = RIVALS[name](learned, z, column, seed)
    return np.asarray((filled + centre) * scale)


def deviations(values: Floats) -> Floats:
    """Return the standard deviation of each column's observed values, 1 where there is none."""
    # Of numbers that are not too large or small to be squared.
    largest = np.nanmax(np.abs(values), axis=0)
    largest[largest == 0] = 1
    found = np.nanstd(values / largest, axis=0) * largest
    return np.where(found > 0, found, 1)
