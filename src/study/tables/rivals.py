"""What people fill in tables with today, each with its own default settings and in one thread.

Where an imputer makes one number out of several imputations, that is their mean. scikit-learn's
extra trees stand for missForest (Stekhoven and Bühlmann, *Bioinformatics* 28, 2012) in few rounds.
"""

import contextlib
import io
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

from study.tables.scoring import LEVEL, Filled
from vaefill.errors import InputError

Floats = NDArray[np.float64]

#: Trees and rounds, so that a table of 10,000 rows takes minutes and not hours.
TREES, ROUNDS = 30, 4
#: Of miceforest, whose trees are learned anew for each data set and round; rounds as in its README.
DATASETS, MICE_ROUNDS = 5, 2


def impute(name: str, values: Floats, seed: int, n_draws: int) -> Filled | None:
    """Fill in a standardised table by one of `RIVALS`.

    Parameters
    ----------
    name : str
    values : float64 array of shape (n, p)
        nan where missing.
    seed : int
    n_draws : int
        Imputations, of those that give any number of them.

    Returns
    -------
    Filled or None
        None where it failed, left gaps or changed what is observed; stderr says which.

    Raises
    ------
    InputError
        When its package is not installed.
    """
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            filled = RIVALS[name](values, seed, n_draws)
    except ImportError as error:
        raise InputError(
            f"{name}: {error}; pip install -e '.[benchmark]', or take it out of rivals"
        ) from error
    except Exception as error:  # of whatever kind: it is their package's, and the answer is no
        print(f"{name} failed: {type(error).__name__}: {error}", file=sys.stderr)
        return None
    if not np.isfinite(filled.values).all():
        print(f"{name} failed: it left gaps", file=sys.stderr)
        return None
    seen = ~np.isnan(values)
    if not np.allclose(filled.values[seen], values[seen], rtol=0, atol=1e-6):
        print(f"{name} failed: it changed what is observed", file=sys.stderr)
        return None
    return filled


def _mean(values: Floats, seed: int, n_draws: int) -> Filled:
    return Filled(SimpleImputer().fit_transform(values))


def _knn(values: Floats, seed: int, n_draws: int, *, n_neighbors: int) -> Filled:
    return Filled(KNNImputer(n_neighbors=n_neighbors).fit_transform(values))


def _bayesian_ridge(values: Floats, seed: int, n_draws: int) -> Filled:
    expected = IterativeImputer(random_state=seed).fit_transform(values)
    posterior = IterativeImputer(sample_posterior=True, random_state=seed).fit(values)
    return Filled(expected, draws=np.stack([posterior.transform(values) for _ in range(n_draws)]))


def _extra_trees(values: Floats, seed: int, n_draws: int) -> Filled:
    trees = ExtraTreesRegressor(TREES, random_state=seed)
    imputer = IterativeImputer(trees, max_iter=ROUNDS, random_state=seed)
    return Filled(imputer.fit_transform(values))


def _miceforest(values: Floats, seed: int, n_draws: int) -> Filled:
    import miceforest

    kernel = miceforest.ImputationKernel(_frame(values), num_datasets=DATASETS, random_state=seed)
    kernel.mice(MICE_ROUNDS, num_threads=1)
    draws = np.stack([kernel.complete_data(number).to_numpy() for number in range(DATASETS)])
    return Filled(draws.mean(0), draws=draws)


def _missforest(values: Floats, seed: int, n_draws: int) -> Filled:
    from lightgbm import LGBMRegressor
    from missforest import MissForest

    # Its own default, with a seed and in one thread.
    trees = LGBMRegressor(verbosity=-1, linear_tree=True, n_jobs=1, random_state=seed)
    table = _frame(values)
    filled = MissForest(rgr=trees, verbose=0).fit_transform(table)
    return Filled(filled[table.columns].to_numpy())  # it returns them in another order


def _gcimpute(values: Floats, seed: int, n_draws: int) -> Filled:
    from gcimpute.gaussian_copula import GaussianCopula

    copula = GaussianCopula(random_state=seed)
    # Whether columns are ordinal it guesses by code that NumPy 2 does not run.
    filled = copula.fit_transform(values, continuous=range(values.shape[1]))
    bounds = copula.get_confidence_interval(alpha=LEVEL)
    draws = copula.sample_imputation(num=n_draws)
    return Filled(filled, (bounds["lower"], bounds["upper"]), np.moveaxis(draws, -1, 0))


def _frame(values: Floats) -> pd.DataFrame:
    return pd.DataFrame(values, columns=[f"x{j}" for j in range(values.shape[1])])


def _with(function: Callable[..., Filled], **settings: Any) -> Callable[..., Filled]:
    return lambda *arguments: function(*arguments, **settings)


RIVALS: dict[str, Callable[[Floats, int, int], Filled]] = {
    "mean": _mean,
    "knn": _with(_knn, n_neighbors=5),
    "knn_10": _with(_knn, n_neighbors=10),
    "bayesian_ridge": _bayesian_ridge,
    "extra_trees": _extra_trees,
    "miceforest": _miceforest,
    "missforest": _missforest,
    "gcimpute": _gcimpute,
}
