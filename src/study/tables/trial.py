"""Hide cells of a table, have them filled in, score that: one row per seed and imputer."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from study.tables.hiding import Condition, contaminate, hide
from study.tables.scoring import METRICS, Filled, regression_r2, score

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
#: From a standardised table with nan where it is missing, a seed and a number of draws.
Impute = Callable[[Floats, int, int], Filled | None]

COLUMNS = ("table", "mechanism", "rate", "seed", "imputer", *METRICS)
CONTAMINATED_COLUMNS = ("table", "share", "seed", "imputer", "rmse")
#: Scored like an imputer that errs nowhere, for what its regression reaches.
COMPLETE = "complete"

Row = tuple[str | int | float, ...]


def standardise(values: Floats, missing: Bools) -> Floats:
    """Give the observed cells of each column mean 0 and variance 1, and the missing ones alike."""
    seen = np.where(missing, np.nan, values)
    z: Floats = (values - np.nanmean(seen, axis=0)) / np.nanstd(seen, axis=0)
    return z


def run(
    table: str,
    values: Floats,
    condition: Condition,
    imputers: Mapping[str, Impute],
    *,
    seeds: Sequence[int],
    n_draws: int,
    complete: bool = False,
) -> Iterator[Row]:
    """Score imputers on one table under one condition.

    Parameters
    ----------
    table : str
        Its name, for the rows.
    values : float64 array of shape (n, p)
        Complete.
    condition : Condition
    imputers : mapping of str to callable
    seeds : sequence of int
        Of the missing cells, of what an imputer draws and of the regression's rows; all imputers
        meet the same.
    n_draws : int
    complete : bool, default=False
        Whether the complete table is to have a row of its own.

    Yields
    ------
    tuple
        The values of `COLUMNS`; a score is empty where an imputer has none.
    """
    for seed in seeds:
        missing = hide(values, condition, np.random.default_rng(seed))
        truth = standardise(values, missing)
        seen = np.where(missing, np.nan, truth)
        names: tuple[Any, ...] = (table, condition.mechanism, condition.rate, seed)
        if complete:
            scores: dict[str, float] = {"r2": regression_r2(truth, truth, seed)}
            yield (*names, COMPLETE, *(scores.get(metric, "") for metric in METRICS))
        for name, impute in tqdm(imputers.items(), desc=f"{table}, {condition}, seed {seed}"):
            scores = {}
            if filled := impute(seen.copy(), seed, n_draws):
                whole = np.where(missing, filled.values, truth)
                scores = score(truth, missing, filled) | {"r2": regression_r2(truth, whole, seed)}
            yield (*names, name, *(scores.get(metric, "") for metric in METRICS))


def run_contaminated(
    table: str,
    values: Floats,
    condition: Condition,
    imputers: Mapping[str, Impute],
    *,
    shares: Sequence[float],
    size: float,
    seeds: Sequence[int],
) -> Iterator[Row]:
    """Score imputers on one table, some of whose observed cells are spoiled.

    The cells that are missing, those that are spoiled with a smaller share, and the unit of the
    errors are the same for every share.

    Parameters
    ----------
    shares : sequence of float
        Of the observed cells.
    size : float
        How far they are moved, in standard deviations of the column.
    table, values, condition, imputers, seeds
        As for `run`.

    Yields
    ------
    tuple
        The values of `CONTAMINATED_COLUMNS`.
    """
    for seed in seeds:
        missing = hide(values, condition, np.random.default_rng(seed))
        truth = standardise(values, missing)
        for share in shares:
            rng = np.random.default_rng([seed, 1])
            seen = contaminate(np.where(missing, np.nan, truth), share, size, rng)
            for name, impute in tqdm(imputers.items(), desc=f"{table}, {share:g}, seed {seed}"):
                filled = impute(seen.copy(), seed, 0)
                rmse = score(truth, missing, filled)["rmse"] if filled else ""
                yield table, float(share), seed, name, rmse
