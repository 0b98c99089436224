"""Rubin's rules against published output, cases by hand, and data of a known law."""

import math

import numpy as np
import pytest
import scipy.stats

from vaefill.errors import InputError
from vaefill.metrics.rubin import ink_by_digit, pool

# SAS/STAT User's Guide, the MIANALYZE procedure, example "Reading means and standard errors from
# a DATA= data set", with EDF=30: means and standard errors as printed, and what SAS makes of them.
PUBLISHED = {
    "Oxygen": (
        [47.0120, 47.2407, 47.4995, 47.1485, 47.0042],
        [0.95984, 0.93540, 1.00766, 0.95439, 0.96528],
        {"between": 0.041478, "within": 0.930853, "total": 0.980626, "df": 26.298},
    ),
    "RunTime": (
        [10.4441, 10.5040, 10.5922, 10.5279, 10.4913],
        [0.28520, 0.26661, 0.26302, 0.26405, 0.27275],
        {"between": 0.002948, "within": 0.073142, "total": 0.076679, "df": 26.503},
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_example(name):
    means, errors, expected = PUBLISHED[name]
    pooled = pool(means, np.square(errors), df_complete=30)._asdict()
    for key, value in expected.items():
        assert pooled[key] == pytest.approx(value, rel=5e-4), key  # the input is rounded


def test_by_hand():
    pooled = pool([1, 2, 3], [0.5, 1, 1.5])
    # W = 1, B = 1, T = 1 + 4/3, lambda = 4/7, df = 2 / (4/7)^2
    assert pooled[:5] == pytest.approx((2, 1, 1, 7 / 3, 6.125))
    assert pooled.fraction_missing == pytest.approx(4 / 7 + 3 / 7 * 2 / 9.125)
    assert (pooled.low, pooled.high) == pytest.approx(
        scipy.stats.t(6.125, loc=2, scale=math.sqrt(7 / 3)).interval(0.95)
    )
    # nu_obs = (11 / 13) 10 (3 / 7)
    small = pool([1, 2, 3], [0.5, 1, 1.5], df_complete=10, level=0.5)
    assert small.df == pytest.approx(1 / (1 / 6.125 + 1 / (330 / 91)))
    assert small.high == pytest.approx(2 + math.sqrt(7 / 3) * scipy.stats.t.ppf(0.75, small.df))
    assert small.fraction_missing == pooled.fraction_missing


def test_in_terms_of_the_relative_increase():
    # Rubin's own form: r = (1 + 1/m) B / W, df = (m - 1) (1 + 1/r)^2, (r + 2 / (df + 3)) / (r + 1)
    rng = np.random.default_rng(0)
    q, u = rng.normal(size=7), rng.random(7)
    pooled = pool(q, u)
    r = (1 + 1 / 7) * pooled.between / pooled.within
    df = 6 * (1 + 1 / r) ** 2
    assert pooled.df == pytest.approx(df)
    assert pooled.fraction_missing == pytest.approx((r + 2 / (df + 3)) / (r + 1))


def test_without_missing_values_it_is_the_complete_analysis():
    pooled = pool([5, 5, 5], [4, 4, 4])
    assert pooled == pytest.approx((5, 4, 0, 4, math.inf, 5 - 3.919928, 5 + 3.919928, 0))
    assert pool([5, 5], [4, 4], df_complete=30).df == pytest.approx(30 * 31 / 33)
    assert pool([5, 5], [0, 0]) == (5, 0, 0, 0, math.inf, 5, 5, 0)


def test_complete_data_bound_the_degrees_of_freedom():
    q, u = [1.0, 1.1, 0.9], [1.0, 1.0, 1.0]
    df = [pool(q, u, df_complete=n).df for n in (3, 10, 100, 1e9)]
    assert df == sorted(df)
    assert all(a < b for a, b in zip(df, (3, 10, 100), strict=False))
    assert df[-1] == pytest.approx(pool(q, u).df, rel=1e-3)
    assert pool(q, u, df_complete=math.inf) == pool(q, u)


def impute_normal(rng, y, n_missing, m):
    """Proper draws of missing values under a normal law with the flat prior on mu, ln sigma."""
    n = len(y)
    sigma = np.sqrt((n - 1) * y.var(ddof=1) / rng.chisquare(n - 1, m))
    mu = rng.normal(y.mean(), sigma / np.sqrt(n))
    return rng.normal(mu[:, None], sigma[:, None], (m, n_missing))


def test_intervals_cover_the_mean_of_a_normal_law():
    rng, n, n_missing, m, repeats = np.random.default_rng(0), 40, 16, 10, 1000
    covered = 0
    for y in rng.normal(3, 2, (repeats, n - n_missing)):
        filled = np.hstack([np.tile(y, (m, 1)), impute_normal(rng, y, n_missing, m)])
        pooled = pool(filled.mean(1), filled.var(1, ddof=1) / n, df_complete=n - 1)
        covered += pooled.low <= 3 <= pooled.high
    low, high = scipy.stats.binom.interval(0.999, repeats, 0.95)
    assert low <= covered <= high


def test_many_imputations_find_the_variance_and_the_missing_fraction():
    # Values missing at random without covariates: the mean of the observed ones is all there is.
    rng, n, n_missing = np.random.default_rng(0), 2000, 600
    y = rng.normal(size=n - n_missing)
    filled = np.hstack([np.tile(y, (2000, 1)), impute_normal(rng, y, n_missing, 2000)])
    pooled = pool(filled.mean(1), filled.var(1, ddof=1) / n, df_complete=n - 1)
    assert pooled.total == pytest.approx(y.var(ddof=1) / len(y), rel=0.05)
    assert pooled.fraction_missing == pytest.approx(0.3, abs=0.03)
    assert abs(pooled.estimate - y.mean()) < 5 * math.sqrt(pooled.between / 2000)


LABELS = np.array([3, 8, 3, 8, 3])


def test_ink_by_hand():
    # Images of one intensity each.
    first = np.array([0.1, 0.5, 0.2, 0.7, 0.3])[:, None, None] * np.ones((5, 2, 2))
    second = first.copy()
    second[0, 0] = 0.4  # half of the first image: its ink is 0.25
    ink = ink_by_digit(iter([first, second]), LABELS)
    assert list(ink) == [3, 8]
    # Variances of 0.1, 0.2, 0.3 and of 0.25, 0.2, 0.3
    assert ink[3] == pytest.approx(pool([0.2, 0.25], [0.01 / 3, 0.0025 / 3], df_complete=2))
    assert ink[8] == pytest.approx(pool([0.6, 0.6], [0.01, 0.01], df_complete=1))


def test_ink_of_grey_levels_is_that_of_intensities():
    rng = np.random.default_rng(0)
    ink = rng.integers(50, 150, (5, 1, 1))
    grey = (ink + rng.integers(0, 100, (4, 5, 30, 30))).astype(np.uint8)
    a, b = ink_by_digit(grey, LABELS), ink_by_digit(grey / 255, LABELS)
    for digit in (3, 8):
        assert a[digit] == pytest.approx(b[digit])
        assert a[digit].low < ink[digit == LABELS].mean() / 255 + 49.5 / 255 < a[digit].high


def test_fraction_missing_of_ink_is_that_of_its_pixels():
    rng, labels = np.random.default_rng(0), np.zeros(300, int)
    truth, order = rng.random((2, 300, 4, 4))
    for fraction in (0.1, 0.5, 0.9):
        filled = (np.where(order < fraction, rng.random(truth.shape), truth) for _ in range(400))
        # Between is this fraction of within, as the law of the pixels is taken for known.
        found = ink_by_digit(filled, labels)[0].fraction_missing
        assert found == pytest.approx(fraction / (1 + fraction), abs=0.06)


FLAT = np.zeros((5, 2, 2))


@pytest.mark.parametrize(
    ("function", "arguments", "options", "message"),
    [
        (pool, ([1], [1]), {}, r"estimates of shape \(1,\), .* at least m = 2"),
        (pool, ([1, 2], [1]), {}, r"variances of shape \(1,\); must be \(m,\) both"),
        (pool, ([[1, 2]], [[1, 2]]), {}, r"estimates of shape \(1, 2\)"),
        (pool, ([1, math.nan], [1, 1]), {}, "must be finite"),
        (pool, ([1, 2], [1, -1]), {}, "variances at least 0"),
        (pool, ([1, 2], [1, 1]), {"df_complete": 0}, "df_complete = 0: must be above 0"),
        (pool, ([1, 2], [1, 1]), {"level": 1}, "level = 1: must lie between"),
        (ink_by_digit, ([FLAT], LABELS), {}, "1 imputations: at least 2"),
        (ink_by_digit, ([], LABELS), {}, "0 imputations: at least 2"),
        (ink_by_digit, ([FLAT[1:]] * 2, LABELS), {}, r"shape \(4, 2, 2\); .* n = 5, as many as la"),
        (ink_by_digit, ([FLAT[0]] * 2, LABELS), {}, r"shape \(2, 2\)"),
        (ink_by_digit, ([FLAT] * 2, np.repeat([3, 8], [4, 1])), {}, r"\{3: 4, 8: 1\} images by"),
        (ink_by_digit, ([FLAT[:0]] * 2, LABELS[:0]), {}, "each must have at least 2"),
    ],
)
def test_bad_input_is_named(function, arguments, options, message):
    with pytest.raises(InputError, match=message):
        function(*arguments, **options)
