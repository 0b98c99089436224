r"""A normal distribution of rows in which single cells may be wrong by any amount.

A cell is judged by what the other observed cells of its row say of it: with the leave-one-out
mean :math:`m` and standard deviation :math:`\sigma` of `vaefill.tables.normal.leave_one_out`, it
is replaced by the pseudo-value

.. math:: x^* = m + w (x - m), \qquad w = \min\Big(1, \frac{\nu + c^2}{\nu + r^2}\Big), \qquad
    r = \frac{x - m}\sigma

([1]_, sections 7.7 and 8.2). Up to :math:`|r| = c` a cell counts as it stands; beyond, :math:`w`
falls as the weight that a Student-t likelihood with :math:`\nu` degrees of freedom gives to a
residual, so that :math:`x^*` returns to :math:`m` the wilder the cell is. That likelihood alone is
:math:`c = 1`: it pulls in a third of the cells of a normal table, and the variance that they lose
makes the next ones look wild.

References
----------
.. [1] P. J. Huber, E. M. Ronchetti, "Robust Statistics", Wiley, 2nd edition (2009).
"""

import torch
from torch import Tensor

from vaefill.tables.normal import (
    Conditional,
    MultivariateNormal,
    fit_normal,
    leave_one_out,
    some_rows,
)

#: c of the module: of a normal table, 1.2 % of the cells lie beyond.
INLIER = 2.5

# Pseudo-values settle in so many rounds, and the fit in so many fits.
_ROUNDS = 6
_FITS = 3


def pull_in(
    normal: MultivariateNormal, values: Tensor, observed: Tensor, df: float | Tensor
) -> Tensor:
    """Replace cells that their row does not expect by pseudo-values.

    Parameters
    ----------
    normal : MultivariateNormal
        Distribution of clean rows, from `fit_normal_robust`.
    values : Tensor of shape (n, p)
        Finite everywhere; what stands in missing cells is not looked at.
    observed : bool Tensor of shape (n, p)
        True where a value is known.
    df : float or Tensor of shape (p,)
        Degrees of freedom, above 0, of all columns or of each; ``inf`` leaves a column as it is.

    Returns
    -------
    Tensor of shape (n, p)
        Missing cells as they were.
    """
    alone = Conditional(normal.mu, normal.covariance.diagonal())
    pulled = _pseudo_values(alone, values, df)
    for _ in range(_ROUNDS):
        others = leave_one_out(normal, pulled, observed)
        # Half the way: all cells of a row move at once, and would trade places with full steps.
        pulled = (pulled + _pseudo_values(others, values, df)) / 2
    return torch.where(observed, pulled, values)


def _pseudo_values(expected: Conditional, values: Tensor, df: float | Tensor) -> Tensor:
    deviation = values - expected.mean
    squared = deviation.square() / expected.variance
    weight = (1 + INLIER**2 / df) / (1 + squared / df)
    return expected.mean + weight.clamp(max=1) * deviation


def fit_normal_robust(
    values: Tensor,
    observed: Tensor,
    *,
    df: float | Tensor,
    ridge: float,
    max_rows: int | None = None,
    generator: torch.Generator | None = None,
) -> MultivariateNormal:
    """Fit a normal distribution to incomplete rows, single cells of which may be wrong.

    The fit of `vaefill.tables.normal.fit_normal` to the values that `pull_in` returns under the
    fit before, first under N(0, I).

    Parameters
    ----------
    values : Tensor of shape (n, p)
        Of columns that were standardised robustly: median near 0, most values within 1.
    observed, ridge, max_rows, generator
        As for `fit_normal`.
    df : float or Tensor of shape (p,)
        As for `pull_in`.

    Returns
    -------
    MultivariateNormal
        To be used with what `pull_in` makes of new rows.
    """
    rows = some_rows(observed, max_rows, generator)
    values, observed = values[rows], observed[rows]
    p = values.shape[1]
    normal = MultivariateNormal(values.new_zeros(p), torch.eye(p).to(values))
    start = None
    for _ in range(_FITS):
        pulled = pull_in(normal, values, observed, df)
        start = normal = fit_normal(pulled, observed, ridge=ridge, start=start)
    return normal
