r"""Which cells of a complete table are hidden, and which of the others are spoiled.

**MCAR**, missing completely at random: each cell on its own, with probability `rate`.

**MAR**, missing at random: three columns of ten, chosen by chance, are never missing; in each of
the others a cell is missing with probability :math:`\sigma(1.5 s + b)`, where s is a random linear
combination of the complete columns, standardised.

**MNAR**, missing not at random: the same with s the cell's own standardised value, or the negative
of it: what is missing depends on what is missing.

b is such that a column's probabilities have the mean `rate` (the mechanisms of Muzellec et al.,
"Missing data imputation using optimal transport", ICML 2020). At least `KEPT` cells of each column
stay, of two different values.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

from vaefill.errors import InputError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

SLOPE = 1.5
COMPLETE_SHARE = 0.3
KEPT = 3


class Condition(NamedTuple):
    """How cells are hidden.

    Attributes
    ----------
    mechanism : {"mcar", "mar", "mnar"}
    rate : int
        Per cent of the cells; under MAR of those columns that may miss any.
    """

    mechanism: str
    rate: int

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """Read a condition such as ``mcar-30``.

        Raises
        ------
        InputError
            When it is none.
        """
        mechanism, _, rate = text.partition("-")
        if mechanism not in MECHANISMS or not rate.isdecimal() or not 0 < int(rate) < 100:
            rule = f"one of {', '.join(MECHANISMS)}, a dash and per cent, such as mcar-30"
            raise InputError(f"condition {text!r}: must be {rule}")
        return cls(mechanism, int(rate))

    def __str__(self) -> str:
        """Write it as `parse` reads it."""
        return f"{self.mechanism}-{self.rate}"


def hide(values: Floats, condition: Condition, rng: np.random.Generator) -> Bools:
    """Choose the missing cells of a table; True where one is.

    Parameters
    ----------
    values : float64 array of shape (n, p)
        Complete, no column constant.
    condition : Condition
    rng : numpy Generator
    """
    z = (values - values.mean(0)) / values.std(0)
    missing = MECHANISMS[condition.mechanism](z, condition.rate / 100, rng)
    for j, column in enumerate(values.T):
        seen = column[~missing[:, j]]
        if len(seen) < KEPT or np.ptp(seen) == 0:
            back = rng.choice(len(values), KEPT, replace=False)
            missing[[*back, column.argmin(), column.argmax()], j] = False
    return missing


def contaminate(values: Floats, share: float, size: float, rng: np.random.Generator) -> Floats:
    """Move a share of the observed cells of a standardised table by `size` up or down.

    Parameters
    ----------
    values : float64 array of shape (n, p)
        nan where missing.
    share : float
        Of the observed cells, each on its own; in [0, 1].
    size : float
        In the unit of the values.
    rng : numpy Generator
    """
    hit = rng.random(values.shape) < share
    moved: Floats = values + hit * size * rng.choice([-1.0, 1.0], values.shape)
    return moved


def _mcar(z: Floats, rate: float, rng: np.random.Generator) -> Bools:
    return rng.random(z.shape) < rate


def _mar(z: Floats, rate: float, rng: np.random.Generator) -> Bools:
    p = z.shape[1]
    if p < 2:
        raise InputError(f"mar with {p} column: it needs another one that is complete")
    order = rng.permutation(p)
    n_complete = max(1, round(COMPLETE_SHARE * p))
    complete, others = order[:n_complete], order[n_complete:]
    score = z[:, complete] @ rng.standard_normal((n_complete, len(others)))
    missing = np.zeros(z.shape, bool)
    missing[:, others] = _logistic(score / score.std(0), rate, rng)
    return missing


def _mnar(z: Floats, rate: float, rng: np.random.Generator) -> Bools:
    return _logistic(z * rng.choice([-1.0, 1.0], z.shape[1]), rate, rng)


def _logistic(score: Floats, rate: float, rng: np.random.Generator) -> Bools:
    slopes = SLOPE * score
    bound = 50 + np.abs(slopes).max()

    def excess(shift: float, column: Floats) -> float:
        return float(expit(column + shift).mean()) - rate

    shift = [brentq(excess, -bound, bound, args=(column,)) for column in slopes.T]
    missing: Bools = rng.random(score.shape) < expit(slopes + np.array(shift))
    return missing


MECHANISMS: dict[str, Callable[[Floats, float, np.random.Generator], Bools]] = {
    "mcar": _mcar, "mar": _mar, "mnar": _mnar,
}  # fmt: skip
