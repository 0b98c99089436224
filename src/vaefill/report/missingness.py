"""Which cells are missing, together with which, and whether observed values tell where."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import rankdata

from vaefill.report.assessment import Assessment

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Family-wise error of the signs that are reported, and how far from one half an AUC must be.
ALPHA, LEAST_EFFECT = 0.01, 0.1


class Sign(NamedTuple):
    """Values of one column that go with the gaps of another.

    Attributes
    ----------
    column : str
        The column with gaps.
    other, level : str
        The column whose values differ there; its category, "" where it holds numbers.
    auc : float
        Probability that its value is larger in a row with a gap than in one without; ties count
        half, and of a category the value is whether it is this one.
    """

    column: str
    other: str
    level: str
    auc: float


def together(missing: Bools) -> Floats:
    """Of the rows in which i is missing, the share in which j is, too; shape (c, c)."""
    gaps = missing.astype(np.float64)
    return np.asarray((gaps.T @ gaps) / np.maximum(gaps.sum(0), 1)[:, np.newaxis])


def signs(assessment: Assessment) -> list[Sign]:
    r"""Find the strongest sign per column that its gaps depend on what is observed elsewhere.

    The statistic of Mann and Whitney with ranks r of the n rows in which the other column is
    observed, :math:`n_1` of them with a gap: under independence

    .. math:: W = \sum_{gap} r_i, \quad \mathbb E W = n_1 \bar r, \quad
        \mathrm{Var}\, W = \frac{n_1 n_0}{n (n - 1)} \sum_i (r_i - \bar r)^2

    which is exact with ties too, and W is nearly normal. A sign is told where the p-value times
    the number of tests is below `ALPHA` (Bonferroni), and the AUC at least `LEAST_EFFECT` away
    from one half: in large tables nothing is quite independent.
    """
    gaps = assessment.missing
    found: list[tuple[int, str, str, float, float]] = []
    for j, level, values in _orders(assessment):
        seen = ~np.isnan(values)
        auc, p = mann_whitney(values[seen], gaps[seen])
        for i in np.flatnonzero(~np.isnan(p) & (np.arange(len(p)) != j)).tolist():
            found.append((i, assessment.names[j], level, float(auc[i]), float(p[i])))
    clear = [f for f in found if f[4] * len(found) < ALPHA and abs(f[3] - 0.5) >= LEAST_EFFECT]
    clear.sort(key=lambda f: (f[0], abs(f[3] - 0.5)))
    strongest = {f[0]: Sign(assessment.names[f[0]], *f[1:4]) for f in clear}
    return sorted(strongest.values(), key=lambda sign: -abs(sign.auc - 0.5))


def mann_whitney(values: Floats, gaps: Bools) -> tuple[Floats, Floats]:
    """AUC and two-sided p-value of values (n,) for each column of gaps (n, c); nan without both."""
    n, n_gaps = len(values), gaps.sum(0).astype(np.float64)
    n_rest = n - n_gaps
    ranks = rankdata(values)
    centred = ranks - (n + 1) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        shift = centred @ gaps
        variance = n_gaps * n_rest / (n * (n - 1)) * (centred**2).sum()
        auc = 0.5 + shift / (n_gaps * n_rest)
        p = 2 * ndtr(-np.abs(shift) / np.sqrt(variance))
    return auc, p


def _orders(assessment: Assessment) -> list[tuple[int, str, Floats]]:
    """Each column of numbers or ordered categories, and an indicator of every other category."""
    orders = []
    for j, column in enumerate(assessment.columns):
        values = assessment.truth[:, j]
        if column.kind in ("binary", "categorical"):
            known = ~np.isnan(values)
            # One of two categories tells what the other would.
            for number in range(len(column.levels) == 2, len(column.levels)):
                is_level = np.where(known, values == number, np.nan)
                orders.append((j, str(column.levels[number]), is_level))
        else:
            orders.append((j, "", values))
    return orders
