"""Laws of missing cells, against laws known in closed form and fresh cells of the same law."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch.special import ndtri

from vaefill.errors import InputError
from vaefill.metrics import calibration
from vaefill.tables.intervals import (
    GRID,
    ResidualQuantiles,
    dependent_noise,
    fit_residual_quantiles,
)

LEVELS = [0.02, 0.3, 0.5, 0.9, 0.98]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def fit(residuals, n_rows=10_000, **kwargs):
    """Quantiles of a list of residuals for each column."""
    column = np.repeat(np.arange(len(residuals)), [len(r) for r in residuals])
    residual = np.concatenate([np.asarray(r, float) for r in residuals])
    return fit_residual_quantiles(
        torch.from_numpy(residual),
        torch.from_numpy(column),
        len(residuals),
        n_rows=n_rows,
        **kwargs,
    )


def score_of(level):
    return ndtri(torch.as_tensor(level, dtype=torch.float64))


def normal(n_columns=1):
    return fit([[]] * n_columns)


def test_quantiles_go_through_the_residuals_at_the_ranks_of_the_module(rng):
    residual = np.sort(rng.standard_t(3, 39))
    scores = scipy.stats.norm.ppf(np.arange(1, 40) / 40)
    inner = GRID.numpy()[np.abs(GRID.numpy()) < scores[-1]]
    expected = np.interp(inner, scores, residual)
    np.testing.assert_allclose(
        fit([residual]).at(torch.from_numpy(inner)[:, None])[:, 0], expected, atol=1e-9
    )


@pytest.mark.parametrize("n_residuals", [9, 60])
@pytest.mark.parametrize("law", [scipy.stats.t(2), scipy.stats.expon()])
def test_a_fresh_residual_is_covered_with_the_level(rng, law, n_residuals):
    n = 2000
    fitted, fresh = law.rvs((n_residuals, n), rng), torch.from_numpy(law.rvs(n, rng))[None]
    knots = torch.cat([fit([column]).knots for column in fitted.T])
    for level in (level for level in LEVELS if (1 - level) / 2 > 1 / (n_residuals + 1)):
        low, high = ResidualQuantiles(knots).interval(torch.zeros(1, n), torch.ones(1, n), level)
        covered = ((low <= fresh) & (fresh <= high)).sum().item()
        bounds = scipy.stats.binom.interval(0.9999, n, level)
        assert bounds[0] <= covered <= bounds[1]


def test_quantiles_of_many_residuals_are_those_of_their_law(rng):
    law = scipy.stats.t(4)
    quantiles = fit([law.rvs(100_000, rng), []])
    levels = np.array([0.001, 0.05, 0.5, 0.9, 0.999])
    found = quantiles.at(score_of(levels)[:, None].expand(-1, 2)).numpy()
    spread = np.sqrt(levels * (1 - levels) / 100_000) / law.pdf(law.ppf(levels))
    assert (np.abs(found[:, 0] - law.ppf(levels)) < 5 * spread).all()
    # A column without residuals of its own has those of the others, counted as 30: one more may
    # be anywhere.
    expected = law.ppf((31 * levels[1:-1] - 0.5) / 30)
    np.testing.assert_allclose(found[1:-1, 1], expected, atol=0.05)


def test_own_residuals_count_one_each_and_those_of_other_columns_as_many_as_said(rng):
    ones = np.full(90, 1.0)
    quantiles = fit([ones, np.full(5000, -1.0)], pooled_count=10.0)
    # Weight 10 of 100 at -1, and one more residual that may be anywhere.
    found = quantiles.at(score_of([[0.08] * 2, [0.12] * 2]))[:, 0]
    np.testing.assert_allclose(found, [-1, 1])
    # Two of them count as two, however many they may stand for.
    few = fit([ones, [-1.0, -1.0]], pooled_count=30.0).at(score_of([[0.02] * 2, [0.04] * 2]))[:, 0]
    np.testing.assert_allclose(few, [-1, 1])


@pytest.mark.parametrize("n_rows", [799, 800])
@pytest.mark.parametrize("n_residuals", [0, 1, 2, 50])
def test_quantiles_ascend_are_finite_and_wide_enough(rng, n_rows, n_residuals):
    quantiles = fit([3 + 0.1 * rng.standard_t(1, n_residuals), []], n_rows)
    scores = torch.linspace(-9, 9, 2001, dtype=torch.float64)
    found = quantiles.at(scores[:, None].expand(-1, 2))
    assert found.isfinite().all()
    assert (found.diff(dim=0) >= -1e-12).all()
    if n_residuals == 0:
        np.testing.assert_allclose(found, scores[:, None].expand(-1, 2), atol=1e-12)
    elif n_rows < 800:
        # In the middle step of the grid Q crosses from one side to the other.
        far = (scores.abs() >= 0.04) & (scores.abs() <= 4)
        assert ((found[far, 0] * scores[far].sign()) >= scores[far].abs() - 1e-9).all()
    elif n_residuals == 1:
        assert (found == found[0, 0]).all()


def test_small_tables_take_the_wider_side_by_side(rng):
    residual = 0.1 * rng.normal(size=2000) + 2
    wide, narrow = (fit([residual], n_rows).interval(torch.zeros(1), torch.ones(1), 0.9)
                    for n_rows in (799, 800))  # fmt: skip
    np.testing.assert_allclose(narrow, [[2 - 0.1645], [2 + 0.1645]], atol=0.02)
    np.testing.assert_allclose(wide, [[-1.6449], narrow[1]], atol=1e-3)


def test_tails_go_on_in_proportion():
    # Levels 1/4, 1/2 and 3/4: beyond them the lines through the median.
    found = fit([[-1.0, 0.0, 3.0]]).at(torch.tensor([[-6.0], [6.0]]))[:, 0]
    quartile = scipy.stats.norm.ppf(0.75)
    np.testing.assert_allclose(found, [-6 / quartile, 18 / quartile], rtol=1e-3)


def test_symmetric_residuals_have_symmetric_intervals(rng):
    half = rng.exponential(size=40)
    knots = fit([np.r_[half, -half]]).knots
    torch.testing.assert_close(knots, -knots.flip(1))


def test_quantiles_of_draws_are_the_intervals(rng):
    quantiles = fit([rng.standard_t(3, 50), rng.exponential(size=70)])
    mean, scale = torch.randn(2, 5, 2, generator=torch.Generator().manual_seed(0)).double()
    scale = scale.exp()
    noise = score_of((torch.arange(999, dtype=torch.float64) + 1) / 1000)
    draws = quantiles.draw(mean, scale, noise[:, None, None].expand(-1, 5, 2))
    for level in LEVELS:
        low, high = calibration.central_interval(draws.numpy(), level)
        expected = quantiles.interval(mean, scale, level)
        np.testing.assert_allclose(low, expected[0], atol=1e-9)
        np.testing.assert_allclose(high, expected[1], atol=1e-9)


@pytest.mark.parametrize("level", [0, 1, -0.5, math.nan])
def test_levels_out_of_range_are_refused(level):
    with pytest.raises(InputError, match=f"level = {level}: must lie between 0 and 1"):
        normal().interval(torch.zeros(1, 1), torch.ones(1, 1), level)


def test_crps_of_the_normal_law():
    # Gneiting and Raftery (2007), equation 21.
    truth = torch.linspace(-6, 6, 25, dtype=torch.float64)[:, None].expand(-1, 2)
    mean, scale = torch.tensor([0.5, -1.0]), torch.tensor([2.0, 0.1])
    z = ((truth - mean) / scale).numpy()
    law = scipy.stats.norm
    expected = scale.numpy() * (z * (2 * law.cdf(z) - 1) + 2 * law.pdf(z) - 1 / np.sqrt(np.pi))
    found = normal(2).crps(mean.expand(25, 2), scale.expand(25, 2), truth)
    np.testing.assert_allclose(found, expected, rtol=2e-3)


def test_crps_is_that_of_many_draws(rng):
    quantiles = fit([rng.standard_t(3, 50), rng.exponential(size=5)], n_rows=100)
    mean, scale, truth = torch.from_numpy(rng.normal(size=(3, 40, 2)))
    scale = scale.abs() + 0.1
    noise = score_of((torch.arange(2000, dtype=torch.float64) + 0.5) / 2000)
    draws = quantiles.draw(mean, scale, noise[:, None, None].expand(-1, 40, 2)).numpy()
    # Evenly spread draws, not independent ones: the divisor is J^2.
    absolute = np.abs(draws - truth.numpy()).mean(0)
    spread = absolute - calibration.crps(draws, truth.numpy())
    found = quantiles.crps(mean, scale, truth)
    np.testing.assert_allclose(found, absolute - spread * 1999 / 2000, atol=5e-3)


def test_noise_keeps_unit_variance_and_follows_code_and_noise(rng):
    n_draws, code = 4000, rng.normal(size=4000)
    scale = torch.tensor([[1.0, 1.0, 2.0, 0.0]])
    loading = np.array([3.0, -3.0, 0.0, 1.0])
    codes = torch.from_numpy(7 + code[:, None, None] * loading)
    noise = rng.normal(size=(n_draws, 1, 4))
    noise[..., 2] = noise[..., 0]  # correlations of the linear model
    drawn = dependent_noise(torch.from_numpy(noise), codes, scale)[:, 0].numpy()
    np.testing.assert_allclose(drawn.var(0), 1, atol=0.1)
    assert scipy.stats.kstest(drawn[:, 0], "norm").pvalue > 1e-3
    expected = np.array([[1, -0.9], [-0.9, 1]])
    np.testing.assert_allclose(np.corrcoef(drawn[:, :2].T), expected, atol=0.02)
    assert np.corrcoef(drawn[:, 0], drawn[:, 2])[0, 1] == pytest.approx(0.1**0.5, abs=0.05)
    np.testing.assert_allclose(drawn[:, 2], noise[:, 0, 2])
    np.testing.assert_allclose(drawn[:, 3], (code - code.mean()) / code.std())


@pytest.mark.parametrize("n_draws", [1, 2])
def test_noise_of_few_draws(rng, n_draws):
    noise = torch.from_numpy(rng.normal(size=(n_draws, 3, 2)))
    same = torch.full((n_draws, 3, 2), 0.1, dtype=torch.float64)
    scale = torch.ones(3, 2)
    torch.testing.assert_close(dependent_noise(noise, same, scale), noise)
    assert dependent_noise(noise, same, 0 * scale).abs().max() == 0
    # More codes than draws: the draws do not depend on how many are wanted.
    codes = torch.from_numpy(rng.normal(size=(50, 3, 2)))
    more = dependent_noise(torch.from_numpy(rng.normal(size=(9, 3, 2))), codes, 0 * scale)
    torch.testing.assert_close(dependent_noise(noise, codes, 0 * scale), more[:n_draws])


def test_grid_is_even():
    torch.testing.assert_close(GRID.diff(), torch.full((200,), 0.04, dtype=torch.float64))
