"""Against scipy, another implementation, closed forms, and cases by hand."""

import math

import numpy as np
import pytest
import scipy.signal
import scipy.stats
import torch
from exact import F64, gen

from vaefill.inference.convergence import (
    chain_ess,
    flagged,
    generalized_pareto_k,
    pareto_k,
    rhat,
    weight_ess,
)  # fmt: skip


def chains(draws: np.ndarray) -> torch.Tensor:
    """One image, one coordinate, from an array of shape (n_chains, n_iterations)."""
    return torch.from_numpy(np.ascontiguousarray(draws.T))[:, :, None, None]


def drifting() -> np.ndarray:
    rng = np.random.default_rng(0)
    rng.normal(size=400)
    return rng.standard_t(3, (3, 200)).cumsum(1) * 0.1 + rng.standard_t(3, (3, 200))


def autoregressive(rho: float, noise: np.ndarray) -> np.ndarray:
    """x_t = rho x_(t-1) + noise_t, along the last axis, from 0."""
    return scipy.signal.lfilter([1], [1, -rho], noise)


@pytest.mark.parametrize("k", [-0.3, 0.2, 0.7, 1.2])
def test_shape_of_known_generalized_pareto_samples(k):
    n = 4000
    x = scipy.stats.genpareto(k).rvs((n, 30), random_state=0) * 5
    estimate = generalized_pareto_k(torch.from_numpy(np.sort(x, 0))).numpy()
    error = (1 + max(k, -0.3)) / math.sqrt(n)  # of the most likely one, and nearly of this
    assert np.abs(estimate - k).max() < 5 * error
    assert abs(estimate.mean() - k) < 5 * error / math.sqrt(30) + 3 / n


def test_shape_by_the_published_formulas():
    # Zhang and Stephens (2009), section 3, as printed: their k is minus ours.
    x = np.sort(scipy.stats.genpareto(0.4).rvs(100, random_state=3))
    n, m = 100, 30 + 10
    quartile = x[int(n / 4 + 0.5) - 1]
    theta = [1 / x[-1] + (1 - math.sqrt(m / (j - 0.5))) / (3 * quartile) for j in range(1, m + 1)]

    def profile(t: float) -> float:
        k = -np.log(1 - t * x).mean()
        return n * (math.log(t / k) + k - 1)

    weight = [1 / sum(math.exp(profile(s) - profile(t)) for s in theta) for t in theta]
    expected = np.log(1 - np.dot(weight, theta) * x).mean()
    estimate = generalized_pareto_k(torch.from_numpy(x)[:, None])
    assert estimate.item() == pytest.approx(expected, rel=1e-10)


def test_k_hat_is_that_of_another_implementation():
    # arviz-stats 0.8.0, psislw
    u = (np.arange(1000) + 0.5) / 1000
    for k, expected in ((0.2, 0.23681), (0.5, 0.49663), (0.9, 0.84322)):
        estimate = pareto_k(torch.from_numpy(-k * np.log(u))[:, None])
        assert estimate.item() == pytest.approx(expected, abs=2e-3)
    normal = 2 * np.random.default_rng(0).normal(size=400)
    assert pareto_k(torch.from_numpy(normal)[:, None]).item() == pytest.approx(0.67914, abs=1e-4)


def test_k_hat_tells_proposals_that_do_from_those_that_do_not():
    # A normal proposal of scale s for a standard normal: the weights' tail index is 1 - s^2.
    z = torch.randn(20_000, 20, generator=gen(0), dtype=F64)
    for scale, index in ((0.5, 0.75), (0.9, 0.19)):
        log_weights = (z.square() - (scale * z).square()) / 2
        assert pareto_k(log_weights).mean().item() == pytest.approx(index, abs=0.1)
        shifted = pareto_k(log_weights - 1e4)
        torch.testing.assert_close(shifted, pareto_k(log_weights), rtol=1e-6, atol=0)


def test_k_hat_without_a_tail_to_fit():
    assert (pareto_k(torch.zeros(20, 2)) == math.inf).all()
    assert (pareto_k(torch.zeros(100, 2)) == -math.inf).all()
    one = torch.zeros(1000, 1)
    one[3] = 5000.0  # all others vanish beside it
    assert pareto_k(one).item() > 0.7
    assert pareto_k(torch.zeros(100, 0)).shape == (0,)


def test_weights_by_hand():
    log_weights = torch.tensor([[1.0, 1, 1, 1], [1, 0, 0, 0], [3, 1, 0, 0]]).log().T
    torch.testing.assert_close(weight_ess(log_weights), torch.tensor([4.0, 1.0, 1.6]))


def test_rhat_by_a_second_derivation():
    draws = drifting()
    halves = draws.reshape(6, 100)

    def of_ranks(values: np.ndarray) -> float:
        rank = scipy.stats.rankdata(values, axis=None).reshape(values.shape)
        score = scipy.stats.norm.ppf((rank - 0.375) / (values.size + 0.25))
        within, between = score.var(1, ddof=1).mean(), score.mean(1).var(ddof=1)
        return math.sqrt((99 / 100 * within + between) / within)

    middle = np.sort(halves, None)[halves.size // 2 - 1]
    expected = max(of_ranks(halves), of_ranks(np.abs(halves - middle)))
    assert rhat(chains(draws)).item() == pytest.approx(expected, rel=1e-12)
    assert expected == pytest.approx(1.2037786, abs=1e-6)  # arviz-stats 0.8.0


def test_rhat_sees_places_spreads_trends_and_chains_that_stick():
    rng = np.random.default_rng(0)
    good = rng.standard_cauchy((4, 500))  # without mean or variance
    assert 0.99 < rhat(chains(good)).item() < 1.02
    row = np.eye(4)[:, :1]
    trend = np.linspace(-3, 3, 500)
    for bad in (good + 3 * row, good * (1 + 9 * row), good + trend, good * (1 - row)):
        assert rhat(chains(bad)).item() > 1.05
    assert chain_ess(torch.zeros(50, 2, 3, 4)).tolist() == [1, 1, 1]
    apart = np.arange(4.0)[:, None] + np.zeros(500)
    assert rhat(chains(apart)).item() == rhat(chains(0 * apart)).item() == math.inf
    # A model that overflows has chains of nan, whose ranks look like any others.
    assert (
        rhat(chains(math.nan * apart)).item()
        == rhat(chains(np.inf * drifting())).item()
        == math.inf
    )


def test_rhat_and_ess_are_those_of_the_worst_coordinate():
    rng = np.random.default_rng(0)
    draws = torch.from_numpy(rng.normal(size=(300, 4, 5, 3)))
    draws[:, 1, 2, 1] += 2
    for measure, worst in ((rhat, torch.amax), (chain_ess, torch.amin)):
        alone = torch.stack([measure(draws[..., i : i + 1]) for i in range(3)])
        torch.testing.assert_close(measure(draws), worst(alone, 0))
    assert rhat(draws).argmax() == chain_ess(draws).argmin() == 2


@pytest.mark.parametrize("rho", [0.0, 0.6, 0.9])
def test_ess_of_autoregressive_chains(rho):
    # sum of all autocorrelations: (1 + rho) / (1 - rho)
    draws = autoregressive(rho, np.random.default_rng(1).normal(size=(40, 2050)))[:, 50:]
    expected = 80_000 * (1 - rho) / (1 + rho)
    assert chain_ess(chains(draws)).item() == pytest.approx(expected, rel=0.1)


def test_ess_is_that_of_another_implementation():
    # arviz-stats 0.8.0, bulk; it ends the sum of the first by a finer rule
    assert chain_ess(chains(drifting())).item() == pytest.approx(10.7485, rel=0.05)
    rng = np.random.default_rng(0)
    rng.normal(size=400), rng.standard_t(3, (3, 200)), rng.standard_t(3, (3, 200))
    noise = rng.normal(size=(4, 300)) * [[1], [1], [1.5], [1]]
    noise[:, 0] = 0
    assert chain_ess(chains(autoregressive(0.6, noise))).item() == pytest.approx(324.9246, rel=1e-4)


def test_flags_by_hand():
    diagnostics = {
        "rhat": torch.tensor([1.0, 1.05, 1.06, 1.0, math.inf, math.nan]),
        "pareto_k": torch.tensor([0.7, -math.inf, 0.1, 0.71, 0.1, math.nan]),
        "ess": torch.tensor([1.0, 1, 1, 1, 1, math.nan]),
    }
    assert flagged(diagnostics).tolist() == [False, False, True, True, True, False]
    assert flagged({"change": torch.tensor([5.0, 9.0])}).tolist() == [False, False]
    assert not flagged({})
