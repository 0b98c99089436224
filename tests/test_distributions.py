import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch

from vaefill.distributions import Bernoulli, Normal, StudentT, kl, polar_noise

F64 = torch.float64
DFS = [0.7, 1.0, 2.5, 5.0, 21.0, 1e6]


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tensors(*rows: list[float]) -> tuple[torch.Tensor, ...]:
    return tuple(torch.tensor(row, dtype=F64) for row in rows)


MU, LOGVAR, Z = tensors([0.3, -2.0, 7.0], [-1.5, 0.4, 2.0], [0.1, -8.0, 30.0])


@pytest.mark.parametrize("df", DFS)
def test_student_log_prob_is_scipys(df):
    expected = scipy.stats.t.logpdf(Z, df, loc=MU, scale=torch.exp(0.5 * LOGVAR)).sum()
    assert StudentT(MU, LOGVAR, df).log_prob(Z).item() == pytest.approx(expected, rel=1e-9)


def test_normal_log_prob_is_scipys():
    expected = scipy.stats.norm.logpdf(Z, loc=MU, scale=torch.exp(0.5 * LOGVAR)).sum()
    assert Normal(MU, LOGVAR).log_prob(Z).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("df", [*DFS, math.inf])
def test_noise_has_scipys_distribution(df):
    # One draw of a fixed seed each; p < 0.001 would come up in 7 of 1,000 honest suites.
    draws = polar_noise(df, (20_000,), gen(1)).numpy()
    law = scipy.stats.norm() if math.isinf(df) else scipy.stats.t(df)
    assert scipy.stats.kstest(draws, law.cdf).pvalue > 0.001


def test_noise_beyond_the_normal_range_is_as_frequent_as_it_should_be():
    # The Kolmogorov-Smirnov test is blind in the tails, for which the model exists.
    df, n, far = 5.0, 1_000_000, 10.0
    seen = int((polar_noise(df, (n,), gen(2)).abs() > far).sum())
    low, high = scipy.stats.binom.interval(0.999, n, 2 * scipy.stats.t.sf(far, df))
    assert low <= seen <= high


def test_noise_moments():
    draws = polar_noise(21.0, (1_000_000,), gen(3)).numpy()
    variance, kurtosis = scipy.stats.t.stats(21.0, moments="vk")
    # Standard errors: sqrt(var / n), and sqrt((kurtosis + 2) / n) of the variance.
    assert abs(draws.mean()) < 4 * math.sqrt(variance / len(draws))
    assert draws.var() == pytest.approx(variance, rel=4 * math.sqrt((kurtosis + 2) / len(draws)))


def test_coordinates_are_independent():
    # The multivariate t would show here: its coordinates share one scale, and their squares
    # are correlated.
    z = StudentT(torch.zeros(2), torch.zeros(2), 5.0).rsample(gen(4), (200_000,)).abs().numpy()
    ranks = scipy.stats.spearmanr(z[:, 0], z[:, 1])
    assert ranks.pvalue > 0.001


def test_infinite_df_is_the_normal_in_draws_and_density():
    student, normal = StudentT(MU, LOGVAR, math.inf), Normal(MU, LOGVAR)
    assert torch.equal(student.rsample(gen(5)), normal.rsample(gen(5)))
    assert torch.equal(student.log_prob(Z), normal.log_prob(Z))


def test_large_df_approaches_the_normal():
    student, normal = StudentT(MU, LOGVAR, 1e9), Normal(MU, LOGVAR)
    torch.testing.assert_close(student.rsample(gen(6)), normal.rsample(gen(6)), rtol=1e-6, atol=0)
    torch.testing.assert_close(student.log_prob(Z), normal.log_prob(Z), rtol=1e-5, atol=0)


def test_student_draws_are_the_normals_moved_outwards():
    zeros = torch.zeros(1000, dtype=F64)
    student = StudentT(zeros, zeros, 5.0).rsample(gen(7))
    normal = Normal(zeros, zeros).rsample(gen(7))
    assert torch.equal(student.sign(), normal.sign())
    assert (student.abs() >= normal.abs()).all()


@pytest.mark.parametrize("family", [Normal, lambda mu, logvar: StudentT(mu, logvar, 3.0)])
def test_draws_have_their_shape_location_and_scale(family):
    mu, logvar = torch.full((4, 3), 5.0), torch.full((4, 3), math.log(4.0))
    z = family(mu, logvar).rsample(gen(8), (7,))
    standard = family(torch.zeros(4, 3), torch.zeros(4, 3)).rsample(gen(8), (7,))
    assert z.shape == (7, 4, 3)
    assert z.dtype == torch.float32
    torch.testing.assert_close(z, 5 + 2 * standard)


def kl_by_integration(q, p) -> float:
    def integrand(z: float) -> float:
        return q.pdf(z) * (q.logpdf(z) - p.logpdf(z))

    reach = q.std() * 40 if np.isfinite(q.std()) else 1e4
    points = [q.mean() + k * q.std() for k in (-8, -2, 0, 2, 8)]
    low, high = q.mean() - reach, q.mean() + reach
    return scipy.integrate.quad(integrand, low, high, points=points, limit=500)[0]


CASES = [(0.0, 1.0), (1.5, 0.3), (-3.0, 0.05), (0.2, 2.0)]


@pytest.mark.parametrize(("mu", "sigma"), CASES)
def test_normal_kl_is_the_integral(mu, sigma):
    q = Normal(*tensors([mu], [2 * math.log(sigma)]))
    prior = Normal(*tensors([0.0], [0.0]))
    expected = kl_by_integration(scipy.stats.norm(mu, sigma), scipy.stats.norm())
    assert kl(q, prior, q.mu).item() == pytest.approx(expected, abs=1e-8)


def test_normal_kl_between_any_two():
    q, p = Normal(MU, LOGVAR), Normal(Z / 3, LOGVAR.flip(0))
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(q.mu, (0.5 * q.logvar).exp()),
        torch.distributions.Normal(p.mu, (0.5 * p.logvar).exp()),
    ).sum()
    torch.testing.assert_close(kl(q, p, Z), expected)


@pytest.mark.parametrize("df", [3.0, 21.0])
@pytest.mark.parametrize(("mu", "sigma"), CASES)
def test_student_kl_estimate_is_unbiased(df, mu, sigma):
    n = 200_000
    location, logvar = tensors([mu], [2 * math.log(sigma)])
    q, prior = StudentT(location, logvar, df), StudentT(*tensors([0.0], [0.0]), df)
    estimates = kl(q, prior, q.rsample(gen(9), (n,)))
    expected = kl_by_integration(scipy.stats.t(df, mu, sigma), scipy.stats.t(df))
    standard_error = estimates.std().item() / math.sqrt(n)
    assert abs(estimates.mean().item() - expected) <= 4 * standard_error + 1e-9


def test_kl_of_equals_is_zero():
    for family in (Normal, lambda mu, logvar: StudentT(mu, logvar, 4.0)):
        q = family(MU, LOGVAR)
        assert kl(q, q, Z).item() == pytest.approx(0, abs=1e-12)


def test_bernoulli_is_torchs_cross_entropy():
    logits, x = torch.randn(5, 11, generator=gen(10)) * 6, torch.rand(5, 11, generator=gen(11))
    expected = -torch.nn.functional.binary_cross_entropy_with_logits(
        logits.double(), x.double(), reduction="none"
    ).sum(-1)
    torch.testing.assert_close(Bernoulli(logits.double()).log_prob(x.double()), expected)
    torch.testing.assert_close(Bernoulli(logits).log_prob(x), expected.float(), rtol=1e-5, atol=0)


def test_bernoulli_gradient_is_the_numerical_one():
    logits = (torch.randn(3, 7, generator=gen(12), dtype=F64) * 3).requires_grad_()
    x = torch.rand(3, 7, generator=gen(13), dtype=F64)
    assert torch.autograd.gradcheck(lambda a: Bernoulli(a).log_prob(x), logits)


@pytest.mark.parametrize("logit", [-200.0, 200.0])
def test_bernoulli_at_extreme_logits(logit):
    logits = torch.full((1, 1), logit, requires_grad=True)
    for x in (0.0, 1.0):
        value = Bernoulli(logits).log_prob(torch.full((1, 1), x))
        expected = 0.0 if (logit > 0) == (x == 1) else -200.0
        assert value.item() == pytest.approx(expected)


def test_bernoulli_by_hand():
    # Two pixels with p = 1/2 and p = 3/4; x = 1 and 0: ln 1/2 + ln 1/4 = -3 ln 2.
    value = Bernoulli(torch.tensor([0.0, math.log(3)])).log_prob(torch.tensor([1.0, 0.0]))
    assert value.item() == pytest.approx(-3 * math.log(2))
