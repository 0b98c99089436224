import itertools
import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch

from vaefill.distributions import Normal, StudentT, kl
from vaefill.divergences import exact_kl, kl_student_t
from vaefill.errors import InputError

F64 = torch.float64
DFS = [2.5, 3.0, 5.0, 10.0, 21.0, 50.0, 1e3, 1e6]
HEAVY_DFS = [0.5, 0.7, 1.0, 1.5]
MUS = [0.0, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0]
SIGMAS = [1e-3, 0.03, 0.3, 0.9, 1.0, 1.5, 3.0]
GRID = list(itertools.product(MUS, SIGMAS))


def mean_over_t(function, df, mu, sigma):
    """E function(eps) with eps ~ t(df) by adaptive quadrature in t, eps = sqrt(df) sinh(t).

    The points tell `quad` where eps = 0 and where z = mu + sigma eps = 0.
    """
    end = math.acosh(math.exp(36 / df))
    centre = math.asinh(-mu / sigma / math.sqrt(df))
    points = sorted(p for p in {-end / 5, 0.0, end / 5, centre} if abs(p) < end)

    def integral(integrand):
        options = {"points": points, "epsabs": 1e-11, "epsrel": 1e-11, "limit": 500}
        return scipy.integrate.quad(integrand, -end, end, **options)[0]

    # Not divided by the Beta function: at df = 1e6 SciPy's has an error of 2e-10.
    return integral(
        lambda t: math.cosh(t) ** -df * function(math.sqrt(df) * math.sinh(t))
    ) / integral(lambda t: math.cosh(t) ** -df)


def quad_kl(mu, sigma, df):
    def log_ratio(eps):
        z = mu + sigma * eps
        return (df + 1) / 2 * (math.log1p(z * z / df) - math.log1p(eps * eps / df))

    return mean_over_t(log_ratio, df, mu, sigma) - math.log(sigma)


def finite_sum_kl(mu, sigma, df):
    """Closed form for odd df, derived by a Fourier series in docs/derivation.md."""
    h = (df + 1) / 2
    v = complex(mu / math.sqrt(df), 1) / sigma
    u = (v - 1j) / (v + 1j)
    k = np.arange(1, int(h))
    series = np.sum(np.cumprod((k - h) / (h + k - 1)) / k * u**k).real
    return -math.log(sigma) + 2 * h * (math.log(sigma * abs(v + 1j) / 2) - series)


def on_grid(df, **kwargs):
    mu, sigma = torch.tensor(GRID, dtype=F64).T
    return kl_student_t(mu[:, None], 2 * sigma.log()[:, None], df, **kwargs).numpy()


@pytest.mark.parametrize("df", [*DFS, *HEAVY_DFS])
def test_adaptive_quadrature_of_the_definition(df):
    expected = [quad_kl(mu, sigma, df) for mu, sigma in GRID]
    bound = 2e-7 if df >= 2 else 1e-6
    np.testing.assert_allclose(on_grid(df), expected, rtol=1e-10, atol=bound)


@pytest.mark.parametrize("df", [1.0, 3.0, 5.0, 21.0, 51.0])
def test_finite_sum_for_odd_df(df):
    expected = [finite_sum_kl(mu, sigma, df) for mu, sigma in GRID]
    np.testing.assert_allclose(on_grid(df), expected, rtol=0, atol=1e-6 if df < 2 else 1e-7)
    np.testing.assert_allclose(on_grid(df, n_nodes=256), expected, rtol=0, atol=1e-10)


def test_cauchy_closed_form():
    expected = [math.log(((1 + s) ** 2 + mu**2) / (4 * s)) for mu, s in GRID]
    np.testing.assert_allclose(on_grid(1.0), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("df", "bound"), [(2.5, 2e-7), (10.0, 1e-10), (21.0, 1e-10)])
def test_64_nodes_are_as_good_as_the_documentation_says(df, bound):
    assert np.abs(on_grid(df, n_nodes=64) - on_grid(df, n_nodes=512)).max() < bound


def test_a_scale_far_above_the_priors():
    # The logarithm's singularity is then all but on the real axis.
    mu, sigma = 20.0, 1e4
    arguments = torch.tensor([[mu], [2 * math.log(sigma)]], dtype=F64)
    value = kl_student_t(*arguments, 21.0)
    assert value.item() == pytest.approx(finite_sum_kl(mu, sigma, 21.0), abs=1e-6)


@pytest.mark.parametrize(("df", "bound"), [(0.2, 1e-6), (1.0, 1e-6), (2.0, 2e-7), (21.0, 2e-7)])
def test_error_is_bounded_for_any_location_and_scale(df, bound):
    rng = np.random.default_rng(0)
    mu = torch.from_numpy(10 ** rng.uniform(-3, 4, (300, 1)))
    logvar = torch.from_numpy(rng.uniform(-28, 28, (300, 1)))
    value = kl_student_t(mu, logvar, df)
    better = kl_student_t(mu, logvar, df, n_nodes=1000)
    torch.testing.assert_close(value, better, rtol=1e-10, atol=bound)


@pytest.mark.parametrize("df", [2.5, 21.0])
def test_two_locations_and_scales(df):
    q = scipy.stats.t(df, loc=-1.3, scale=0.7)
    p = scipy.stats.t(df, loc=2.1, scale=1.9)
    expected, _ = scipy.integrate.quad(
        lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), -np.inf, np.inf, epsabs=1e-10
    )
    value = kl_student_t(
        torch.tensor([-1.3], dtype=F64),
        torch.tensor([2 * math.log(0.7)], dtype=F64),
        df,
        prior_mu=2.1,
        prior_logvar=torch.tensor([2 * math.log(1.9)], dtype=F64),
    )
    assert value.item() == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("df", [2.5, 21.0, math.inf])
def test_estimate_by_draws_has_this_mean(df):
    mu, logvar = torch.tensor([[0.5, -2.0, 6.0], [-3.0, -0.1, 0.4]], dtype=F64)
    posterior = StudentT(mu, logvar, df)
    prior = StudentT(torch.zeros_like(mu), torch.zeros_like(mu), df)
    draws = posterior.rsample(torch.Generator().manual_seed(0), (200_000,))
    estimates = kl(posterior, prior, draws)
    error = estimates.std() / math.sqrt(len(estimates))
    assert abs(estimates.mean() - kl_student_t(mu, logvar, df)) < 4 * error


def normal_kl(mu, logvar):
    prior = Normal(torch.zeros_like(mu), torch.zeros_like(mu))
    return kl(Normal(mu, logvar), prior, mu)


@pytest.mark.parametrize("df", [2.0**53, 1e300, math.inf])
def test_infinite_df_is_the_normal_closed_form(df):
    mu, sigma = torch.tensor(GRID, dtype=F64).T[..., None]
    expected = normal_kl(mu, 2 * sigma.log()).numpy()
    np.testing.assert_allclose(on_grid(df), expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("df", [1e8, 1e10, 1e12, 2.0**53 - 1])
def test_large_df_approaches_it(df):
    # To first order in 1 / df the two differ by at most mu^4 / (2 df).
    bound = 1e8 / df + 3e-14 * math.sqrt(df) + 1e-7
    np.testing.assert_allclose(on_grid(df), on_grid(math.inf), rtol=1e-10, atol=bound)


@pytest.mark.parametrize("df", [0.2, *HEAVY_DFS, *DFS, 1e12, math.inf])
def test_is_never_negative_and_zero_only_at_the_prior(df):
    values = on_grid(df)
    at_prior = GRID.index((0.0, 1.0))
    assert abs(values[at_prior]) < 1e-8
    assert np.delete(values, at_prior).min() > 1e-4


@pytest.mark.parametrize("df", [0.7, 2.5, 21.0, 1e6])
@pytest.mark.parametrize(("mu", "sigma"), [(0.4, 0.05), (3.0, 0.9), (-30.0, 3.0)])
def test_gradients_are_the_integrals_of_the_derivatives(df, mu, sigma):
    def slope(eps):
        z = mu + sigma * eps
        return (df + 1) * z / (df + z * z)

    expected = (
        mean_over_t(slope, df, mu, sigma),
        sigma / 2 * mean_over_t(lambda eps: eps * slope(eps), df, mu, sigma) - 0.5,
    )
    parameters = torch.tensor([mu, 2 * math.log(sigma)], dtype=F64, requires_grad=True)
    kl_student_t(parameters[:1], parameters[1:], df).backward()
    np.testing.assert_allclose(parameters.grad, expected, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("df", [2.5, 21.0, math.inf])
def test_gradients_of_all_arguments_and_of_the_gradients(df):
    rng = torch.Generator().manual_seed(0)
    arguments = torch.randn(4, 2, 3, generator=rng, dtype=F64).unbind()
    for argument in arguments:
        argument.requires_grad_()

    def divergence(mu, logvar, prior_mu, prior_logvar):
        return kl_student_t(mu, logvar, df, prior_mu=prior_mu, prior_logvar=prior_logvar)

    assert torch.autograd.gradcheck(divergence, arguments)
    assert torch.autograd.gradgradcheck(divergence, arguments)


@pytest.mark.parametrize("df", [0.2, 2.5, 21.0, 1e6, math.inf])
@pytest.mark.parametrize("logvar", [-600.0, 300.0])
@pytest.mark.parametrize("mu", [0.0, 1e30])
def test_extremes_stay_finite(df, logvar, mu):
    parameters = torch.tensor([mu, logvar], dtype=F64, requires_grad=True)
    value = kl_student_t(parameters[:1], parameters[1:], df)
    value.backward()
    assert value > 10
    assert torch.isfinite(value)
    assert torch.isfinite(parameters.grad).all()


def test_sums_the_last_axis_alone_and_broadcasts():
    mu = torch.linspace(-3, 3, 24, dtype=F64).reshape(2, 3, 4)
    logvar = torch.tensor([-1.0, 0.0, 0.5, 1.0], dtype=F64)
    value = kl_student_t(mu, logvar, 5.0)
    assert value.shape == (2, 3)
    single = [[quad_kl(m.item(), math.exp(v / 2), 5.0) for m, v in zip(row, logvar, strict=True)]
              for row in mu.flatten(0, 1)]  # fmt: skip
    np.testing.assert_allclose(value.flatten(), np.sum(single, axis=1), rtol=0, atol=4e-7)
    assert kl_student_t(mu[:0], logvar, 5.0).shape == (0, 3)


@pytest.mark.parametrize("df", [2.5, 21.0, math.inf])
def test_float32_is_rounded_at_the_end_alone(df):
    # Near the prior the divergence is small: 1e-3 here, where float32 sums would be off by 1e-4.
    mu = torch.tensor([0.01, 0.02, 30.0])[:, None]
    logvar = torch.tensor([0.01, -0.02, -9.0])[:, None]
    value = kl_student_t(mu, logvar, df)
    assert value.dtype == torch.float32
    assert torch.equal(value, kl_student_t(mu.double(), logvar.double(), df).float())


@pytest.mark.parametrize("df", [0.0, -1.0, 0.1, math.nan, -math.inf])
def test_impossible_df_is_refused(df):
    with pytest.raises(InputError, match=r"^df = .* must be at least 0\.2"):
        kl_student_t(torch.zeros(1), torch.zeros(1), df)


@pytest.mark.parametrize("n_nodes", [-1, 0, 1])
def test_too_few_nodes_are_refused(n_nodes):
    with pytest.raises(InputError, match=r"^n_nodes = .* must be at least 2"):
        kl_student_t(torch.zeros(1), torch.zeros(1), 5.0, n_nodes=n_nodes)


def test_nan_shows():
    assert kl_student_t(torch.tensor([math.nan, 0.0]), torch.zeros(2), 5.0).isnan()


@pytest.mark.parametrize("family", [Normal, lambda mu, logvar: StudentT(mu, logvar, 5.0)])
def test_exact_kl_takes_any_prior_of_the_family(family):
    mu, logvar = torch.tensor([[0.3, -2.0]], dtype=F64), torch.tensor([[-1.5, 0.4]], dtype=F64)
    posterior, prior = family(mu, logvar), family(mu - 1, logvar + 0.7)
    draws = posterior.rsample(torch.Generator().manual_seed(0), (200_000,))
    estimates = posterior.log_prob(draws) - prior.log_prob(draws)
    error = abs(estimates.mean() - exact_kl(posterior, prior))
    assert error < 4 * estimates.std() / len(draws) ** 0.5


def test_exact_kl_between_families_is_refused():
    zero = torch.zeros(2)
    for prior in (StudentT(zero, zero, 5.0), StudentT(zero, zero, 6.0)):
        for posterior in (Normal(zero, zero), StudentT(zero, zero, 7.0)):
            with pytest.raises(InputError, match="must be of one family with one df"):
                exact_kl(posterior, prior)
