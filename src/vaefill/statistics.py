"""How sure a mean is: intervals over seeds (training again) and over images (testing again)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from vaefill.errors import InputError


class Interval(NamedTuple):
    """A mean and the ends of its confidence interval, in the unit of the values."""

    mean: float
    low: float
    high: float


def mean_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    r"""Mean of independent values and its Student t-interval.

    .. math:: \bar x \pm t_{n-1,\,(1 + level)/2} \; s / \sqrt n,
        \qquad s^2 = \tfrac{1}{n-1} \sum_i (x_i - \bar x)^2

    (Student, "The probable error of a mean", Biometrika 6, 1908). Exact when the values are
    normal, and made for few of them, such as one score per seed.

    Parameters
    ----------
    values : array-like of shape (n,)
        At least one. A nan among them makes the result nan.
    level : float, default=0.95
        Probability that such an interval covers the true mean, in (0, 1).

    Returns
    -------
    Interval
        `low` and `high` are nan when n is 1: one value says nothing about its spread.

    Raises
    ------
    InputError
        When `values` is empty or not one-dimensional, or `level` is out of range.
    """
    x = np.asarray(values, dtype=np.float64)
    _check(x, level)
    mean = float(x.mean())
    if x.size == 1:
        return Interval(mean, float("nan"), float("nan"))
    half = float(stats.t.ppf((1 + level) / 2, x.size - 1) * x.std(ddof=1) / np.sqrt(x.size))
    return Interval(mean, mean - half, mean + half)


def paired_difference(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> Interval:
    """Mean of b - a, paired element by element, and its Student t-interval.

    Pairing takes out what both have in common, such as the seed (the same initial draws and
    batches). The interval leaves out 0 exactly when the paired t-test rejects equal means at
    the level ``1 - level``.

    Parameters
    ----------
    a, b : array-like of shape (n,)
        Element i of both belongs together.
    level : float, default=0.95
        As for `mean_interval`.

    Returns
    -------
    Interval
        As for `mean_interval`; positive when `b` is larger.

    Raises
    ------
    InputError
        When the lengths differ, and as for `mean_interval`.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape:
        raise InputError(
            f"values of shapes {first.shape} and {second.shape} cannot be paired; "
            "give as many of one as of the other"
        )
    return mean_interval(second - first, level)


def bootstrap_interval(
    per_image_difference: ArrayLike,
    rng: np.random.Generator,
    level: float = 0.95,
    n_resamples: int = 2000,
) -> Interval:
    r"""Mean over images and its percentile bootstrap interval.

    Images are drawn again with replacement, `n_resamples` times; the ends are the
    ``(1 - level) / 2`` and ``(1 + level) / 2`` quantiles of the means (Efron and Tibshirani,
    *An Introduction to the Bootstrap*, 1993, section 13.3). It answers how much another set of
    test images would change the mean for *these* trained models; what another seed would
    change, `paired_difference` answers.

    Parameters
    ----------
    per_image_difference : array-like of shape (n_images,)
        For example one model's score less the other's, image by image. At least one.
        A nan among them makes the result nan.
    rng : numpy.random.Generator
        Source of the draws.
    level : float, default=0.95
        In (0, 1).
    n_resamples : int, default=2000
        More bring the ends closer to those of endlessly many; at 2000 they are off by about
        3 % of the interval's half width.

    Returns
    -------
    Interval
        `low` and `high` are nan when there is one image.

    Raises
    ------
    InputError
        As for `mean_interval`.
    """
    x = np.asarray(per_image_difference, dtype=np.float64)
    _check(x, level)
    mean = float(x.mean())
    if x.size == 1 or np.isnan(mean):
        return Interval(mean, float("nan"), float("nan"))
    # In batches, because all resamples at once take n_resamples * n_images numbers.
    ends = stats.bootstrap(
        (x,),
        np.mean,
        n_resamples=n_resamples,
        batch=50,
        confidence_level=level,
        method="percentile",
        rng=rng,
    ).confidence_interval
    return Interval(mean, float(ends.low), float(ends.high))


def _check(values: NDArray[np.float64], level: float) -> None:
    if values.ndim != 1 or not values.size:
        raise InputError(f"values of shape {values.shape}; expected (n,) with n > 0")
    if not 0 < level < 1:
        raise InputError(f"level = {level}: must lie between 0 and 1, such as 0.95")
