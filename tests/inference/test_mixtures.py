"""Against scipy's multivariate t, mixtures by hand, and counts."""

import numpy as np
import pytest
import scipy.stats
import torch
from exact import F64, gen

from vaefill.inference.mixtures import FullT, Mixture, Shared, cholesky, systematic
from vaefill.models.distributions import MultivariateT, Normal, StudentT


def full_t(df: float = 5.0) -> tuple[FullT, np.ndarray, np.ndarray]:
    """Two images' laws, and their locations and scale matrices."""
    rng = np.random.default_rng(0)
    root, mu = rng.normal(size=(2, 3, 3)), rng.normal(size=(2, 3))
    scale = root @ root.transpose(0, 2, 1) + 0.1 * np.eye(3)
    factor = torch.linalg.cholesky(torch.linalg.inv(torch.from_numpy(scale)))
    return FullT(torch.from_numpy(mu), factor, df), mu, scale


def test_full_t_is_scipys():
    law, mu, scale = full_t()
    z = torch.randn(4, 2, 3, generator=gen(), dtype=F64) * 3
    for image in range(2):
        expected = scipy.stats.multivariate_t(mu[image], scale[image], df=5).logpdf(z[:, image])
        np.testing.assert_allclose(law.log_prob(z)[:, image], expected)


def test_full_t_draws_have_its_squared_distances_and_directions():
    law, _, scale = full_t()
    z = law.rsample(gen(), (4000,))
    white = law.whiten(z)
    for image in range(2):
        squared = white[:, image].square().sum(-1) / 3
        assert scipy.stats.kstest(squared, scipy.stats.f(3, 5).cdf).pvalue > 1e-3
    covariance = torch.einsum("kni,knj->nij", z - law.mu, z - law.mu) / len(z) * 3 / 5
    np.testing.assert_allclose(covariance, scale, atol=0.15 * np.abs(scale).max())


def mixture(n: int = 2) -> Mixture:
    zero = torch.zeros(3, dtype=F64)
    moved = Normal(torch.ones(n, 3, dtype=F64), torch.full((n, 3), -1.0, dtype=F64))
    shares = torch.tensor([[0.5, 0.25], [0.3, 0.5], [0.2, 0.25]])[:, :n]
    return Mixture([full_t()[0], moved, Shared(StudentT(zero, zero, 3.0), n)], shares)


def test_density_by_hand_and_the_defences_share():
    mixed, z = mixture(), torch.randn(5, 2, 3, generator=gen(), dtype=F64)
    prior = MultivariateT(*torch.zeros(2, 3, dtype=F64), 3.0)
    defended = Mixture.defended(mixed.components, mixed.shares, prior, 0.1)
    torch.testing.assert_close(defended.shares.sum(0), torch.ones(2))
    parts = zip(mixed.shares, mixed.components, strict=True)
    expected = sum(share * law.log_prob(z).exp() for share, law in parts)
    torch.testing.assert_close(mixed.log_prob(z).exp(), expected)
    expected = 0.9 * expected + 0.1 * prior.log_prob(z).exp()
    torch.testing.assert_close(defended.log_prob(z).exp(), expected)


def test_mixture_draws_follow_its_density():
    # Importance weights from the mixture to one of its components have mean 1.
    mixed, n = mixture(), 20_000
    z = mixed.sample(gen(), n)
    assert z.shape == (n, 2, 3)
    for law in mixed.components:
        weight = (law.log_prob(z) - mixed.log_prob(z)).exp()
        assert ((weight.mean(0) - 1).abs() < 5 * weight.std(0) / n**0.5).all()
    center = z.mean(0)
    expected = mixed.shares[:1].T * mixed.components[0].mu + mixed.shares[1:2].T
    assert ((center - expected).abs() < 5 * z.std(0) / n**0.5).all()


def test_draws_far_out_stay_in_range():
    zero = torch.zeros(3)
    mixed = Mixture([Shared(StudentT(zero, zero, 0.1), 50)], torch.ones(1, 50))
    z = mixed.sample(gen(), 100)
    assert z.isfinite().all()
    assert z.abs().max() == 1e12
    assert mixed.log_prob(z).isfinite().all()


@pytest.mark.parametrize("n_draws", [1, 7, 100])
def test_systematic_counts_are_the_shares_rounded(n_draws):
    shares = torch.rand(6, 50, generator=gen(), dtype=F64)
    shares[2] = 0
    shares[:, 0] = torch.arange(6) == 3
    shares /= shares.sum(0)
    chosen = systematic(shares, n_draws, gen())
    assert chosen.shape == (n_draws, 50)
    counts = torch.stack([(chosen == number).sum(0) for number in range(6)])
    assert ((counts - n_draws * shares).abs() < 1).all()
    assert not counts[shares == 0].any()


def test_systematic_is_unbiased():
    shares = torch.tensor([0.05, 0.35, 0.6], dtype=F64)[:, None].expand(-1, 20_000)
    counts = torch.stack([(systematic(shares, 3, gen()) == number).sum() for number in range(3)])
    assert (counts / 60_000 - shares[:, 0]).abs().max() < 5 * (0.25 / 60_000) ** 0.5


def test_factors_of_matrices_that_are_not_positive_definite():
    good = torch.tensor([[4.0, 2.0], [2.0, 3.0]], dtype=F64)
    indefinite = torch.tensor([[4.0, 20.0], [20.0, 9.0]], dtype=F64)
    broken = torch.tensor([[torch.nan, 0.0], [0.0, torch.inf]], dtype=F64)
    factors = cholesky(torch.stack([good, indefinite, broken, -good]))
    assert torch.equal(factors[0], torch.linalg.cholesky(good))
    assert factors[1:].tolist() == [[[2, 0], [0, 3]], [[1, 0], [0, 1]], [[1, 0], [0, 1]]]
