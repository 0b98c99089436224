import numpy as np
import pytest
from scipy import stats

from vaefill.errors import InputError
from vaefill.metrics.statistics import bootstrap_intervals, mean_interval, paired_difference


def bootstrap(values, seed=0, n_resamples=2000, level=0.95):
    rng = np.random.default_rng(seed)
    return bootstrap_intervals(values, rng=rng, n_resamples=n_resamples, level=level)


def test_mean_interval_by_hand():
    # mean 2, s 1, and t of 2 degrees of freedom is 4.302653 at 97.5 % in any printed table
    interval = mean_interval([1, 2, 3])
    assert interval == pytest.approx((2, 2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5), abs=1e-6)


@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
@pytest.mark.parametrize("n", [2, 3, 5, 40, 400])
def test_mean_interval_equals_scipy(n, level):
    values = np.random.default_rng(0).normal(3, 2, n)
    low, high = stats.t.interval(level, n - 1, loc=values.mean(), scale=stats.sem(values))
    assert mean_interval(values, level) == pytest.approx((values.mean(), low, high), rel=1e-12)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_paired_difference_equals_scipy(level):
    a, b = np.random.default_rng(0).normal(size=(2, 5))
    expected = stats.ttest_rel(b, a).confidence_interval(level)
    difference = paired_difference(a, b, level)
    assert difference == pytest.approx((b.mean() - a.mean(), *expected), rel=1e-12)


def test_one_value_has_no_interval():
    for interval in (
        mean_interval([0.25]),
        paired_difference([1.0], [1.25]),
        *bootstrap([[0.25, 0.25]]),
    ):
        assert interval == pytest.approx((0.25, np.nan, np.nan), nan_ok=True)
    # Equal ones have one of no width.
    assert mean_interval([2.0, 2.0, 2.0]) == (2, 2, 2)
    assert bootstrap([[2.0, 0.0]] * 3) == [(2, 2, 2), (0, 0, 0)]


def test_nan_is_not_hidden():
    values = [1.0, np.nan, 3.0]
    assert np.isnan(mean_interval(values)).all()
    assert np.isnan(paired_difference(values, [1.0, 2.0, 3.0])).all()


@pytest.mark.parametrize("level", [0.5, 0.95])
@pytest.mark.parametrize(("n_images", "n_resamples"), [(2, 5), (60, 250), (999, 100)])
def test_bootstrap_is_scipys_draw_for_draw(n_images, n_resamples, level):
    values = np.random.default_rng(1).exponential(size=(n_images, 4))
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=n_resamples, confidence_level=level,
        method="percentile", rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    intervals = bootstrap(values, n_resamples=n_resamples, level=level)
    for column, interval in enumerate(intervals):
        ends = (expected.low[column], expected.high[column])
        assert interval == pytest.approx((values[:, column].mean(), *ends), rel=1e-12)


def test_bootstrap_of_three_images_by_enumeration():
    # Of 0, 0, 1 the resampled mean is 0, 1/3, 2/3, 1 with probabilities 8, 12, 6, 1 of 27.
    for level, low, high in ((0.99, 0, 1), (0.8, 0, 2 / 3), (0.2, 1 / 3, 1 / 3)):
        [interval] = bootstrap([[0.0], [0.0], [1.0]], level=level)
        assert interval == pytest.approx((1 / 3, low, high))


def test_bootstrap_depends_on_its_generator_and_its_own_column_alone():
    values = np.random.default_rng(1).normal(size=(50, 3))
    together = bootstrap(values)
    assert bootstrap(values) == together != bootstrap(values, seed=1)
    alone = [bootstrap(column[:, None])[0] for column in values.T]
    np.testing.assert_allclose(together, alone, rtol=1e-12)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        *[(mean_interval, ([1, 2], level), "level = ") for level in (0, 1, 95, np.nan)],
        *[(mean_interval, (values,), r"expected \(n,\) with n > 0")
          for values in ([], [[1.0, 2.0]], 3.0)],
        *[(bootstrap, (values,), r"expected \(n_images, n_columns\) with n_images > 0")
          for values in (np.empty((0, 2)), [1.0, 2.0], 3.0)],
        *[(bootstrap, ([[1], [2]], 0, 10, level), "level = ") for level in (0, 1, 95, np.nan)],
        (paired_difference, ([1, 2], [1, 2, 3]), r"shapes \(2,\) and \(3,\) cannot be paired"),
        (paired_difference, ([1, 2, 3], [1]), "cannot be paired"),
        (bootstrap, ([[1.0, np.nan], [2.0, np.inf]],), "column 1 is not finite in 2 of 2 images"),
    ],
)  # fmt: skip
def test_bad_input_is_named(function, arguments, message):
    with pytest.raises(InputError, match=message):
        function(*arguments)
