"""How sure a mean is: intervals over seeds (training again) and over images (testing again)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from vaefill.errors import InputError

_BATCH = 100  # resamples at a time: all at once would take n_resamples * n_images numbers


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
    half = float(stdtrit(x.size - 1, (1 + level) / 2) * x.std(ddof=1) / np.sqrt(x.size))
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


def bootstrap_intervals(
    values: ArrayLike, *, rng: np.random.Generator, n_resamples: int, level: float = 0.95
) -> list[Interval]:
    r"""Mean over images of each column, and its percentile bootstrap interval.

    Images are drawn again with replacement, `n_resamples` times; the ends are the
    ``(1 - level) / 2`` and ``(1 + level) / 2`` quantiles of the means (Efron and Tibshirani,
    *An Introduction to the Bootstrap*, 1993, section 13.3). It answers how much another set of
    test images would change the mean for *these* trained models; what another seed would
    change, `paired_difference` answers.

    A resample matters through how often it holds each image alone, so that its means of all
    columns are one product, with :math:`c_i` the count of image :math:`i`:

    .. math:: \bar x^*_j = \tfrac{1}{n} \sum_{i=1}^{n} c_i \, x_{ij},
        \qquad c \sim \mathrm{Multinomial}(n; \tfrac{1}{n}, \dots, \tfrac{1}{n})

    Draw for draw that is ``scipy.stats.bootstrap(..., method="percentile", axis=0)``, which
    gathers the values instead.

    Parameters
    ----------
    values : array-like of shape (n_images, n_columns)
        For example one model's scores less the other's. At least one image. All columns share
        the resamples.
    rng : numpy.random.Generator
        Source of the draws; the number of columns changes nothing about them.
    n_resamples : int
        More bring the ends closer to those of endlessly many; at 2000 they are off by about
        3 % of the interval's half width.
    level : float, default=0.95
        In (0, 1).

    Returns
    -------
    list of Interval
        One per column. `low` and `high` are nan when there is one image.

    Raises
    ------
    InputError
        When `values` has another shape or no images, holds a nan or an infinity, or `level` is
        out of range.
    """
    x = np.asarray(values, dtype=np.float64)
    _check(x, level, ("n_images", "n_columns"))
    undefined = np.count_nonzero(~np.isfinite(x), axis=0)
    if undefined.any():
        column = int(np.argmax(undefined > 0))
        raise InputError(
            f"column {column} is not finite in {undefined[column]} of {len(x)} images; "
            "resample only images whose scores are defined"
        )
    n_images, n_columns = x.shape
    ends = np.full((2, n_columns), np.nan)
    if n_images > 1:
        means = np.empty((n_resamples, n_columns))
        for start in range(0, n_resamples, _BATCH):
            counts = [
                np.bincount(rng.integers(n_images, size=n_images), minlength=n_images)
                for _ in range(start, min(start + _BATCH, n_resamples))
            ]
            means[start : start + _BATCH] = np.asarray(counts, np.float64) @ x / n_images
        ends = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return [Interval(*column) for column in np.stack([x.mean(axis=0), *ends], axis=1).tolist()]


def _check(values: NDArray[np.float64], level: float, axes: Sequence[str] = ("n",)) -> None:
    if values.ndim != len(axes) or not len(values):
        expected = f"({', '.join(axes)}{',' if len(axes) == 1 else ''})"
        raise InputError(f"values of shape {values.shape}; expected {expected} with {axes[0]} > 0")
    if not 0 < level < 1:
        raise InputError(f"level = {level}: must lie between 0 and 1, such as 0.95")
