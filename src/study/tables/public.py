"""Two cases whose numbers others have published, masks and all; what they report is quoted."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_wine

from study.tables.trial import Impute, Row

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

COLUMNS = ("case", "imputer", "seed", "mae", "rmse")


class Case(NamedTuple):
    """A table whose missing cells anybody can find again.

    Attributes
    ----------
    values : float64 array of shape (n, p)
        Standardised by all its cells, as those who published did.
    missing : bool array of shape (n, p)
    """

    values: Floats
    missing: Bools


def _wine() -> Case:
    values = load_wine().data
    # The generator of `np.random.seed(42)` and `np.random.rand`, which the notebook calls.
    return Case(_scaled(values), np.random.RandomState(42).rand(*values.shape) < 0.5)


def _breast_cancer() -> Case:
    values = load_breast_cancer().data
    chosen = np.random.RandomState(1234).choice(values.size, values.size // 2, replace=False)
    missing = np.zeros(values.size, bool)
    missing[chosen] = True
    return Case(_scaled(values), missing.reshape(values.shape))


def _scaled(values: Floats) -> Floats:
    scaled: Floats = (values - values.mean(0)) / values.std(0)
    return scaled


CASES: dict[str, Callable[[], Case]] = {"wine": _wine, "breast_cancer": _breast_cancer}
#: What was published: of whom, where, and by which score.
PUBLISHED = (
    ("wine", "Sinkhorn", "MissingDataOT's notebook", {"mae": 0.634, "rmse": 0.873}),
    ("wine", "linear round robin", "MissingDataOT's notebook", {"mae": 0.670, "rmse": 0.893}),
    ("breast_cancer", "MIWAE", "MIWAE's notebook", {"rmse": 0.287**0.5}),
)


def run(imputers: Mapping[str, Impute], seeds: Sequence[int]) -> Iterator[Row]:
    """Yield the values of `COLUMNS`: errors over all missing cells at once, as published."""
    for name, load in CASES.items():
        values, missing = load()
        for imputer, impute in imputers.items():
            for seed in seeds:
                filled = impute(np.where(missing, np.nan, values), seed, 2)
                errors = (filled.values - values)[missing] if filled else np.array([np.nan])
                mae, rmse = np.abs(errors).mean(), np.sqrt((errors**2).mean())
                yield name, imputer, seed, float(mae), float(rmse)
