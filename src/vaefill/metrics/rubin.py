r"""Rubin's rules: one estimate from several imputations, and how sure it is.

Every imputation completes the data, and a complete-data analysis of it gives an estimate
:math:`q_i` and its variance :math:`u_i`. Their spread tells what the missing values add to the
uncertainty, which the analysis of a single imputation leaves out:

.. math:: \bar q = \tfrac1m \sum_i q_i, \quad W = \tfrac1m \sum_i u_i, \quad
    B = \tfrac1{m-1} \sum_i (q_i - \bar q)^2, \quad T = W + (1 + \tfrac1m) B

These are equations 3.1.2 to 3.1.5 of [1]_. Never average the imputations themselves: that is
a single imputation again, with B = 0.

The imputations must be independent draws given the observed values. Draws from one trained
model take its parameters for known, and leave out of B what training again would change.

References
----------
.. [1] D. B. Rubin, "Multiple imputation for nonresponse in surveys", Wiley (1987), chapter 3.
.. [2] J. Barnard, D. B. Rubin, "Small-sample degrees of freedom with multiple imputation",
   Biometrika 86 (1999), 948-955.
"""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from vaefill.errors import InputError


class Pooled(NamedTuple):
    """An estimate over imputations: variances are squares of its unit, `low` to `high` in it."""

    estimate: float
    within: float
    between: float
    total: float
    df: float
    low: float
    high: float
    fraction_missing: float


def pool(
    estimates: ArrayLike,
    variances: ArrayLike,
    *,
    df_complete: float | None = None,
    level: float = 0.95,
) -> Pooled:
    r"""Pool the estimates of m imputations.

    With :math:`\lambda = (1 + 1/m) B / T`, the share of the variance that is due to missing
    values, the degrees of freedom of the t-interval and the fraction of missing information are

    .. math:: \nu = \frac{m - 1}{\lambda^2}, \qquad
        \gamma = \lambda + (1 - \lambda) \frac{2}{\nu + 3}

    ([1]_, equations 3.1.6 and 3.1.10, in terms of :math:`\lambda = r / (r + 1)`). `df_complete`
    bounds the degrees of freedom by those that the complete data would have [2]_:

    .. math:: \frac1{\tilde\nu} = \frac1\nu + \frac1{\nu_{obs}}, \qquad
        \nu_{obs} = (1 - \lambda) \, \nu_{com} \frac{\nu_{com} + 1}{\nu_{com} + 3}

    References are those of the module.

    Parameters
    ----------
    estimates : array-like of shape (m,)
        At least two.
    variances : array-like of shape (m,)
        Squared standard errors of the estimates, at least 0.
    df_complete : float, optional
        Degrees of freedom that the analysis of complete data would have, such as n - 1 for a
        mean; above 0. Without it they count as endless.
    level : float, default=0.95
        Of the interval, in (0, 1).

    Returns
    -------
    Pooled
        `fraction_missing`, in [0, 1], comes from :math:`\nu` also where `df_complete` is given.

    Raises
    ------
    InputError
        When there are fewer than two estimates, or not as many variances, a value is not finite
        or a variance negative, or `df_complete` or `level` is out of range.
    """
    q, u = np.asarray(estimates, np.float64), np.asarray(variances, np.float64)
    if q.ndim != 1 or q.shape != u.shape or len(q) < 2:
        raise InputError(
            f"estimates of shape {q.shape}, variances of shape {u.shape}; must be (m,) both, "
            "of at least m = 2 imputations"
        )
    if not (np.isfinite(q).all() and np.isfinite(u).all() and (u >= 0).all()):
        raise InputError(
            "estimates and variances must be finite and variances at least 0; is there an "
            "analysis of too few rows?"
        )
    if df_complete is not None and not df_complete > 0:
        raise InputError(f"df_complete = {df_complete}: must be above 0")
    if not 0 < level < 1:
        raise InputError(f"level = {level}: must lie between 0 and 1, such as 0.95")
    m = len(q)
    estimate, within, between = float(q.mean()), float(u.mean()), float(q.var(ddof=1))
    extra = (1 + 1 / m) * between
    total = within + extra
    share = extra / total if total > 0 else 0.0
    df = df_missing = (m - 1) / share**2 if share > 0 else math.inf
    if df_complete is not None and not math.isinf(df_complete):
        observed = (1 - share) * df_complete * (df_complete + 1) / (df_complete + 3)
        df = 1 / (1 / df_missing + 1 / observed) if observed > 0 else 0.0
    half = float(stats.t.ppf((1 + level) / 2, df)) * math.sqrt(total) if total > 0 else 0.0
    fraction = share + (1 - share) * 2 / (df_missing + 3)
    return Pooled(estimate, within, between, total, df, estimate - half, estimate + half, fraction)


def ink_by_digit(
    completed: Iterable[NDArray[Any]], labels: NDArray[np.integer[Any]]
) -> dict[int, Pooled]:
    r"""Mean ink of each digit class, pooled over imputations.

    The ink of an image is its mean intensity. The estimate is its mean over the n images of a
    class, of variance :math:`s^2 / n` and with n - 1 degrees of freedom.

    Parameters
    ----------
    completed : iterable of m arrays of shape (n, height, width)
        The images, completed by one imputation each: floats in [0, 1], or uint8 of 0 to 255.
        They are looked at one after the other.
    labels : integer array of shape (n,)
        The digit that each image shows.

    Returns
    -------
    dict of int to Pooled
        By digit, ascending; ink in [0, 1].

    Raises
    ------
    InputError
        When the images are not as many as the labels, a class has fewer than two of them, or
        there are fewer than two imputations.
    """
    digits, counts = np.unique(labels, return_counts=True)
    if not len(digits) or counts.min() < 2:
        raise InputError(
            f"labels: {dict(zip(digits.tolist(), counts.tolist(), strict=True))} images by digit; "
            "each must have at least 2"
        )
    estimates, variances = [], []
    for images in completed:
        if images.ndim != 3 or len(images) != len(labels):
            raise InputError(
                f"completed images of shape {images.shape}; must be (n, height, width) with "
                f"n = {len(labels)}, as many as labels"
            )
        ink = images.mean((1, 2), dtype=np.float64) / (255 if images.dtype == np.uint8 else 1)
        classes = [ink[labels == digit] for digit in digits]
        estimates.append([values.mean() for values in classes])
        variances.append([values.var(ddof=1) / len(values) for values in classes])
    if len(estimates) < 2:
        raise InputError(f"{len(estimates)} imputations: at least 2 are needed")
    columns = zip(digits, counts, np.transpose(estimates), np.transpose(variances), strict=True)
    return {int(d): pool(q, u, df_complete=int(n) - 1) for d, n, q, u in columns}
