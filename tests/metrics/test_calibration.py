"""Intervals and CRPS of draws whose truth is one more draw, or known in closed form."""

import tracemalloc

import numpy as np
import pytest
import scipy.stats
import torch

from vaefill.errors import InputError
from vaefill.metrics import calibration
from vaefill.metrics.calibration import (
    CURVE,
    INTERVALS,
    central_interval,
    coverage_curve,
    crps,
    pixel_means,
    score_draws,
)
from vaefill.models.greylevels import fit_grey_levels


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9, 0.95])
@pytest.mark.parametrize("n_draws", [39, 40, 100, 119])
def test_interval_is_numpys_weibull_quantiles(rng, n_draws, level):
    draws = np.sort(rng.integers(0, 256, (n_draws, 4, 5)).astype(np.uint8), axis=0)
    tails = [(1 - level) / 2, (1 + level) / 2]
    expected = np.quantile(draws.astype(float), tails, axis=0, method="weibull")
    np.testing.assert_allclose(central_interval(draws, level), expected, atol=1e-10)


@pytest.mark.parametrize("law", [scipy.stats.norm(), scipy.stats.expon(), scipy.stats.t(2)])
@pytest.mark.parametrize(("n_draws", "levels"), [(39, INTERVALS), (100, CURVE)])
def test_coverage_is_nominal_for_exchangeable_draws_of_continuous_laws(rng, law, n_draws, levels):
    n = 10_000
    draws, truth = law.rvs((n_draws, n), rng), law.rvs(n, rng)
    draws.sort(axis=0)
    for level in levels:
        low, high = central_interval(draws, level)
        covered = np.count_nonzero((low <= truth) & (truth <= high))
        bounds = scipy.stats.binom.interval(0.9999, n, level)
        assert bounds[0] <= covered <= bounds[1]


@pytest.mark.parametrize(("n_draws", "level"), [(3, 0.5), (19, 0.9), (39, 0.95)])
def test_the_fewest_draws_span_from_first_to_last(rng, n_draws, level):
    draws = np.sort(rng.normal(size=n_draws))
    assert central_interval(draws, level) == pytest.approx((draws[0], draws[-1]))
    with pytest.raises(
        InputError, match=f"{n_draws - 1} draws: .* level {level} needs at least {n_draws}"
    ):
        central_interval(draws[1:], level)
    for level in (0, 1, -0.5, np.nan):
        with pytest.raises(InputError, match=f"level = {level}: must lie between 0 and 1"):
            central_interval(np.arange(50), level)


def test_crps_is_the_double_sum(rng):
    draws, truth = rng.integers(0, 256, (9, 50)).astype(np.uint8), rng.integers(0, 256, 50)
    x = draws.astype(float)
    pairs = np.abs(x[:, None] - x).sum((0, 1)) / (9 * 8)
    expected = np.abs(x - truth).mean(0) - pairs / 2
    np.testing.assert_allclose(crps(np.sort(draws, axis=0), truth), expected, atol=1e-11)


@pytest.mark.parametrize("n_draws", [2, 25])
@pytest.mark.parametrize("truth", [-1.0, 0.0, 4.0])
def test_crps_of_the_normal_law(rng, n_draws, truth):
    # Gneiting and Raftery (2007), equation 21. The fair score has it as its mean for every J.
    mu, sigma, n = 1.0, 2.0, 20_000
    z = (truth - mu) / sigma
    law = scipy.stats.norm
    expected = sigma * (z * (2 * law.cdf(z) - 1) + 2 * law.pdf(z) - 1 / np.sqrt(np.pi))
    scores = crps(np.sort(rng.normal(mu, sigma, (n_draws, n)), axis=0), np.full(n, truth))
    assert abs(scores.mean() - expected) < 4 * scores.std() / np.sqrt(n)


def test_scores_by_hand():
    # Three draws: the interval of level 0.5 spans them. The last pixel is observed.
    draws = np.array([[[4, 60, 1]], [[0, 10, 2]], [[0, 20, 3]]], np.uint8)
    truth, missing = np.array([[0, 100, 9]], np.uint8), np.array([[True, True, False]])
    scores = score_draws(draws, truth, missing, levels=[0.5])
    expected = {
        "pixels": 2,
        "pixels_grey": 1,
        "covered_50": 1,  # 0 in [0, 4]; 100 not in [10, 60]
        "covered_50_grey": 0,
        "width_50": (5 + 51) / 255,
        "width_50_grey": 51 / 255,
        "pit_50": 2 / 3,  # two ties at 0: [0, 3] / 4, within [1, 3] / 4; and [3, 4] / 4
        "pit_50_grey": 0,
        # 4/3 - 8/6, and (40 + 90 + 80) / 3 - (50 + 40 + 10) / 6
        "crps": (70 - 50 / 3) / 255,
        "crps_grey": (70 - 50 / 3) / 255,
    }
    assert {key: value.item() for key, value in scores.items()} == pytest.approx(expected)


def test_intervals_reach_half_a_grey_level_further():
    # Rank 1.25 of four draws: from 100.5 to 109.5, so that 100 and 110 just count.
    draws = np.array([100, 102, 108, 110], np.uint8).repeat(4).reshape(4, 1, 4)
    truth = np.array([[99, 100, 110, 111]], np.uint8)
    scores = score_draws(draws, truth, np.ones((1, 4), bool), levels=[0.5])
    assert scores["covered_50"] == 2
    assert scores["width_50"] == pytest.approx(4 * 10 / 255)


def atom(rng, shape):
    """Grey levels that are mostly 0, sometimes 255."""
    continuous = rng.integers(1, 255, shape)
    return np.choose(rng.choice(3, shape, p=[0.7, 0.2, 0.1]), [0, continuous, 255]).astype(np.uint8)


def test_pit_is_nominal_where_plain_coverage_is_above(rng):
    draws, truth = atom(rng, (60, 40, 500)), atom(rng, (40, 500))
    scores = score_draws(draws, truth, np.ones_like(truth, bool), CURVE)
    levels, coverage, pit, _ = coverage_curve(scores)
    # The mass lies in [0, 1]: its variance is at most that of a proportion.
    error = np.sqrt(levels * (1 - levels) / truth.size)
    assert (np.abs(pit - levels) < 4 * error).all()
    assert (coverage > levels + 0.02)[:-2].all()


@pytest.mark.parametrize(("hidden", "honest"), [(False, True), (True, False)])
def test_draws_of_codes_need_grey_levels_of_codes_given_complete_images(rng, hidden, honest):
    # A code of one bit, told by the observed pixels with 5 % errors; grey levels given it.
    n, n_draws = 10_000, 60
    code = rng.random(n) < 0.5
    told = code ^ (rng.random(n) < 0.05)
    rows = np.stack([scipy.stats.binom(255, p).pmf(np.arange(256)) for p in (0.3, 0.6)])
    grey = np.where(code, rng.binomial(255, 0.6, n), rng.binomial(255, 0.3, n)).astype(np.uint8)

    def expected(odds):
        return torch.from_numpy(np.where(rng.random(odds.shape) < odds / (1 + odds), 0.8, 0.2))

    prior = np.where(told, 19, 1 / 19)  # the odds of code 1 given the observed pixels
    given = prior if hidden else prior * rows[1, grey] / rows[0, grey]
    table = fit_grey_levels(expected(given), torch.from_numpy(grey), n_bins=2)
    codes = expected(np.broadcast_to(prior, (n_draws, n)))
    draws = table.sample(codes, torch.Generator().manual_seed(0)).numpy()
    scores = score_draws(draws[:, None], grey[None], np.ones((1, n), bool))
    error = [scores[f"pit_{100 * x:g}"].sum() / n - x for x in INTERVALS]
    bounds = 4 * np.sqrt([x * (1 - x) / n for x in INTERVALS])
    if honest:
        assert (np.abs(error) < bounds).all()
    else:  # too wide: the code's uncertainty counts twice
        assert error[1] > 2 * bounds[1]


@pytest.mark.parametrize(("sigma", "sign"), [(10, -1), (40, 1)])
def test_too_narrow_and_too_wide_draws_show_in_the_curve(rng, sigma, sign):
    truth = np.rint(rng.normal(128, 20, (50, 100))).clip(0, 255).astype(np.uint8)
    draws = np.rint(rng.normal(128, sigma, (60, 50, 100))).clip(0, 255).astype(np.uint8)
    levels, coverage, pit, grey = coverage_curve(
        score_draws(draws, truth, np.ones_like(truth, bool), CURVE)
    )
    for curve in (coverage, pit, grey):
        assert (sign * (curve - levels) > 0).all()
    # Given the truth, the draws below it are binomial; integrated over the truth's quantiles.
    law, k = scipy.stats.norm, np.arange(61)
    below = law(0, sigma).cdf(law(0, 20).ppf((np.arange(2000) + 0.5) / 2000))
    probability = scipy.stats.binom(60, below[:, None]).pmf(k).mean(0)
    tails = (1 - levels[:, None]) / 2 * 61
    expected = np.clip(np.minimum(k + 1, 61 - tails) - np.maximum(k, tails), 0, 1) @ probability
    error = np.sqrt(levels * (1 - levels) / truth.size)
    assert (np.abs(pit - expected) < 4 * error).all()


def case(rng, n_draws=40):
    draws, truth = atom(rng, (n_draws, 30, 4, 5)), atom(rng, (30, 4, 5))
    missing = rng.random((30, 4, 5)) < 0.4
    missing[7] = False
    return draws, truth, missing


def test_scores_are_those_of_every_image_alone(rng, monkeypatch):
    draws, truth, missing = case(rng)
    whole = score_draws(draws, truth, missing)
    # Neither chunks, nor the order of draws, nor observed pixels matter.
    monkeypatch.setattr(calibration, "_CHUNK", 1000)
    other = np.where(missing, rng.permutation(draws), 77).astype(np.uint8)
    again = score_draws(other, np.where(missing, truth, 5).astype(np.uint8), missing)
    for key, values in whole.items():
        assert values.shape == (30,)
        np.testing.assert_array_equal(again[key], values)
    for i in range(30):
        x, y = np.sort(draws[:, i, missing[i]], axis=0), truth[i, missing[i]]
        low, high = central_interval(x, 0.9)
        grey = (y != 0) & (y != 255)
        inside = (low <= y + 0.5) & (y - 0.5 <= high)
        assert whole["pixels"][i] == len(y)
        assert whole["covered_90"][i] == inside.sum()
        assert whole["covered_90_grey"][i] == inside[grey].sum()
        assert whole["width_90"][i] == pytest.approx(((high - low + 1) / 255).sum())
        assert whole["crps_grey"][i] == pytest.approx(crps(x, y)[grey].sum() / 255)
    assert all(values[7] == 0 for values in whole.values())


def test_means_are_over_pixels(rng):
    draws, truth, missing = case(rng)
    means = pixel_means(score_draws(draws, truth, missing))
    x, y = np.sort(draws[:, missing], axis=0), truth[missing]
    assert means["crps"] == pytest.approx(crps(x, y).mean() / 255)
    grey = (y > 0) & (y < 255)
    assert means["crps_grey"] == pytest.approx(crps(x, y)[grey].mean() / 255)
    assert not any(key.startswith("pixels") for key in means)
    nothing = pixel_means(score_draws(draws, truth, np.zeros_like(missing)))
    assert np.isnan(list(nothing.values())).all()


def test_memory_is_bounded():
    # 12 million draws take 96 MB as floats.
    draws = np.zeros((120, 100, 1000), np.uint8)
    truth, missing = draws[0], np.ones((100, 1000), bool)
    tracemalloc.start()
    score_draws(draws, truth, missing)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d, t, m: (d / 255, t, m), r"draws: float64 .* must be uint8 of shape \(J, \*truth"),
        (lambda d, t, m: (d[:, 1:], t, m), r"draws: uint8 of shape \(40, 29, 4, 5\)"),
        (lambda d, t, m: (d, t.astype(int), m), "truth: int64 .* must be uint8"),
        (lambda d, t, m: (d, t, m[1:]), r"missing: bool of shape \(29, 4, 5\)"),
        (lambda d, t, m: (d, t, m.astype(int)), "missing: int64 .* must be bool"),
        (lambda d, t, m: (d[:1], t, m), "1 draws of images .* must be at least 2 draws"),
        (lambda d, t, m: (d[:, :0], t[:0], m[:0]), "at least 1 image"),
        (lambda d, t, m: (d[:38], t, m), "38 draws: the interval of level 0.95 needs at least 39"),
    ],
)
def test_bad_input_is_named(rng, change, message):
    with pytest.raises(InputError, match=message):
        score_draws(*change(*case(rng)))


def test_curve_needs_its_levels(rng):
    with pytest.raises(InputError, match=r"no scores at 10, 20, .*; give score_draws these"):
        coverage_curve(score_draws(*case(rng)))
