"""Scales of columns against numpy and scipy, and where columns are extreme, constant or empty."""

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from exact import F64, gen

from vaefill.tables.spaces import (
    FURTHEST,
    REACH,
    WIDEST,
    NormalScores,
    fit_normal_scores,
    fit_standard,
)

EVERY = ~torch.zeros(1, 1, dtype=torch.bool)


def gaps(n: int, p: int) -> torch.Tensor:
    return torch.rand(n, p, generator=gen(1)) < 0.7


def skewed(n: int, p: int) -> torch.Tensor:
    return torch.randn(n, p, generator=gen(2), dtype=F64).exp() * 3 - 10


def one(column: torch.Tensor, **options: int) -> NormalScores:
    return fit_normal_scores(column[:, None], EVERY.expand(len(column), 1), **options)


def test_standard_is_numpys_mean_and_deviation_of_observed_cells():
    values, observed = skewed(50, 4), gaps(50, 4)
    incomplete = np.where(observed, values, np.nan)
    fit = fit_standard(values.where(observed, 1e5), observed)
    np.testing.assert_allclose(fit.mu, np.nanmean(incomplete, 0))
    np.testing.assert_allclose(fit.scale, np.nanstd(incomplete, 0))
    standard = fit.transform(values, observed)
    expected = scipy.stats.zscore(incomplete, nan_policy="omit")
    np.testing.assert_allclose(standard, np.where(observed, expected, 0))
    torch.testing.assert_close(fit.inverse(standard)[observed], values[observed])


def test_robust_standard_is_numpys_median_and_quartiles():
    values, observed = skewed(51, 3), gaps(51, 3)
    incomplete = np.where(observed, values, np.nan)
    fit = fit_standard(values, observed, robust=True)
    lower, median, upper = np.nanpercentile(incomplete, [25, 50, 75], axis=0)
    np.testing.assert_allclose(fit.mu, median)
    np.testing.assert_allclose(fit.scale, (upper - lower) / np.diff(scipy.stats.norm.interval(0.5)))


def test_a_column_that_is_mostly_zero_has_its_standard_deviation_in_the_robust_fit_too():
    values = torch.tensor([[0.0], [0], [0], [0], [0], [0], [0], [8]], dtype=F64)
    fit = fit_standard(values, EVERY.expand(8, 1), robust=True)
    assert (fit.mu.item(), fit.scale.item()) == (0, pytest.approx(np.std([0] * 7 + [8])))


@pytest.mark.parametrize("robust", [False, True])
@pytest.mark.parametrize("unit", [1e300, 1e-300, -1e30])
def test_standardised_values_do_not_depend_on_the_unit(unit, robust):
    values, observed = skewed(40, 3), gaps(40, 3)
    expected, fit = (
        fit_standard(values * k, observed, robust=robust).transform(values * k, observed)
        for k in (1, unit)
    )
    torch.testing.assert_close(fit, expected * np.sign(unit), rtol=1e-9, atol=1e-9)


def test_the_largest_numbers_of_both_signs_are_standardised():
    largest = torch.finfo(F64).max
    values = torch.tensor([[largest], [-largest]], dtype=F64)
    robust = fit_standard(values.repeat(3, 1), EVERY.expand(6, 1), robust=True)
    assert robust.transform(values, EVERY).abs().tolist() == [[1.0], [1.0]]
    fit = fit_standard(values, EVERY.expand(2, 1))
    torch.testing.assert_close(fit.transform(values, EVERY), torch.tensor([[1.0], [-1]], dtype=F64))
    tiny = fit_standard(values * 0 + torch.tensor([[0], [1e-9]]), EVERY.expand(2, 1))
    assert tiny.transform(values, EVERY).tolist() == [[FURTHEST], [-FURTHEST]]


@pytest.mark.parametrize("robust", [False, True])
def test_constant_single_and_empty_columns_have_scale_1(robust):
    values = torch.tensor([[0.1, 7.0, 3.0]] * 3, dtype=F64)
    observed = torch.tensor([[True, False, False], [True, True, False], [True, False, False]])
    fit = fit_standard(values, observed, robust=robust)
    assert fit.mu.tolist() == [0.1, 7, 0]
    assert fit.scale.tolist() == [1, 1, 1]
    assert not fit.transform(values, observed).any()


def test_sums_of_long_float32_columns_are_taken_in_float64():
    values = torch.where(torch.arange(2**20) % 4 == 0, 0.1, 0.7)[:, None]
    fit = fit_standard(values, EVERY.expand(2**20, 1))
    low, high = np.float64(np.float32([0.1, 0.7]))
    assert fit.mu.item() == pytest.approx((low + 3 * high) / 4, rel=1e-13)
    assert fit.scale.item() == pytest.approx((high - low) * 3**0.5 / 4, rel=1e-12)


def test_normal_scores_are_those_of_scipys_midranks():
    observed = gaps(60, 3)
    values = skewed(60, 3)
    values[:, 1] = values[:, 1].round()  # ties
    values[:, 2] = values[:, 2] > -8
    scores = fit_normal_scores(values, observed).transform(values, observed)
    for x, score, seen in zip(values.T, scores.T, observed.T, strict=True):
        ranks = scipy.stats.rankdata(x[seen])
        expected = scipy.stats.norm.ppf((ranks - 0.5) / len(ranks))
        np.testing.assert_allclose(score[seen], expected, rtol=1e-9)
        assert not score[~seen].any()


def test_new_values_are_interpolated_and_stay_within_the_scores_seen():
    values = skewed(30, 1)
    fit = one(values[:, 0])
    new = torch.cat([torch.linspace(-12, 30, 99, dtype=F64), torch.tensor([-1e300, 1e300])])
    ordered = values[:, 0].sort().values
    ppf = scipy.stats.norm.ppf((np.arange(30) + 0.5) / 30)
    expected = np.interp(new, ordered, ppf)
    np.testing.assert_allclose(fit.transform(new[:, None], EVERY)[:, 0], expected, atol=1e-12)


def test_constant_single_and_empty_columns_become_0_and_come_back():
    values = torch.tensor([[0.5, 7.0, 3.0]] * 3, dtype=F64)
    observed = torch.tensor([[True, False, False], [True, True, False], [True, False, False]])
    fit = fit_normal_scores(values, observed)
    assert not fit.transform(values * 9, EVERY).any()
    variance = torch.tensor([[0.0, 1, 0.3], [0.5, 0, 2]], dtype=F64)
    expected = torch.tensor([[0.5, 7, 0]] * 2, dtype=F64)
    torch.testing.assert_close(fit.expected(variance - 1, variance), expected)


@pytest.mark.parametrize("share", [0, 0.5])  # of zeros: the scores jump beside them
def test_thinned_knots_are_off_by_less_than_a_class(share):
    x = skewed(5000, 1)[:, 0]
    x[: int(share * len(x))] = 0
    whole, thinned = one(x, n_knots=len(x)), one(x, n_knots=100)
    new = torch.cat([x, torch.linspace(-11, 40, 999, dtype=F64)])[:, None]
    width = (whole.scores[0, -1] - whole.scores[0, 0]) / 49
    assert thinned.values.shape[1] <= 100
    error = whole.transform(new, EVERY) - thinned.transform(new, EVERY)
    assert error.abs().max() <= width
    ends = torch.tensor([[-1e9], [1e9]], dtype=F64)
    torch.testing.assert_close(thinned.transform(ends, EVERY), whole.transform(ends, EVERY))


def kinds(n: int) -> torch.Tensor:
    """A skewed column, a binary one, one of two far clusters, a scale of five, one with zeros."""
    x = torch.randn(n, 5, generator=gen(3), dtype=F64)
    x[:, 0] = x[:, 0].exp()
    x[:, 1] = x[:, 1] > 0.8
    x[:, 2] = 0.1 * x[:, 2] + 4 * (torch.arange(n) % 2)
    x[:, 3] = x[:, 3].clamp(-2, 2).round()
    x[:, 4] = x[:, 4].clamp(min=0)
    return (x - x.mean(0)) / x.std(0)


@pytest.mark.parametrize("mean", [-1.7, -0.03, 0.4, 2.2])
@pytest.mark.parametrize("deviation", [0.1, 0.3, 0.77, 1.0])
def test_expected_value_is_the_exact_integral(mean, deviation):
    fit = fit_normal_scores(kinds(80), EVERY.expand(80, 5))
    at = torch.full((1, 5), mean, dtype=F64), torch.full((1, 5), deviation**2, dtype=F64)
    law = scipy.stats.norm(mean, deviation)
    for value, y, z in zip(
        fit.expected(*at)[0], fit.values.numpy(), fit.scores.numpy(), strict=True
    ):
        # By parts: of f' P(Z > z), whose second factor has this integral.
        tails = (z - mean) * law.sf(z) - deviation**2 * law.pdf(z)
        rise = np.divide(np.diff(y), np.diff(z), out=np.zeros(len(z) - 1), where=np.diff(z) > 0)
        assert value.item() == pytest.approx(y[0] + rise @ np.diff(tails), abs=0.03)


def test_expected_value_is_the_mean_of_draws():
    x = kinds(3000)
    fit = fit_normal_scores(x, EVERY.expand(3000, 5))
    mean = torch.randn(8, 5, generator=gen(4), dtype=F64)
    deviation = torch.rand(8, 5, generator=gen(5), dtype=F64)
    scores = mean + deviation * torch.randn(4000, 8, 5, generator=gen(6), dtype=F64)
    drawn = np.stack(
        [np.interp(scores[..., j], fit.scores[j], fit.values[j]) for j in range(5)], axis=-1
    )
    error = fit.expected(mean, deviation**2).numpy() - drawn.mean(0)
    assert (abs(error) < 5 * drawn.std(0) / 4000**0.5 + 0.01).all()


def test_expected_values_keep_within_the_column_and_mean_and_deviation_may_be_any():
    x = kinds(100)
    fit = fit_normal_scores(x, EVERY.expand(100, 5))
    mean = torch.tensor([-1e30, -REACH, 0, REACH, 1e30], dtype=F64)[:, None, None]
    variance = torch.tensor([0, 1e-9, WIDEST**2, 1e30], dtype=F64)[:, None]
    value = fit.expected(*torch.broadcast_tensors(mean, variance.expand(4, 5)))
    assert value.shape == (5, 4, 5)
    assert (value >= x.amin(0) - 1e-12).all()
    assert (value <= x.amax(0) + 1e-12).all()
    torch.testing.assert_close(value[0, 0], x.amin(0))
    torch.testing.assert_close(value[-1, 0], x.amax(0))


def test_no_rows_are_no_rows():
    none = torch.zeros(0, 2, dtype=F64), torch.zeros(0, 2, dtype=torch.bool)
    for fit in (fit_standard(*none), fit_normal_scores(*none)):
        assert fit.transform(*none).shape == (0, 2)
    assert fit.expected(none[0], none[0]).shape == (0, 2)
