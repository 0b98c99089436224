import itertools
import math
from functools import partial

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from exact import F64, gen

from vaefill.errors import InputError
from vaefill.models.distributions import MultivariateT, Normal, StudentT
from vaefill.models.divergences import (
    exact_kl,
    kl_multivariate_t,
    kl_normal,
    kl_student_t,
    monte_carlo_kl,
)

DFS = [2.5, 3.0, 5.0, 10.0, 21.0, 50.0, 1e3, 1e6]
HEAVY_DFS = [0.5, 0.7, 1.0, 1.5]
MUS = [0.0, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0]
SIGMAS = [1e-3, 0.03, 0.3, 0.9, 1.0, 1.5, 3.0]
GRID = list(itertools.product(MUS, SIGMAS))


def tensor(*values):
    return torch.tensor(values, dtype=F64)


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
    # A scale far above the prior's: the logarithm's singularity is all but on the real axis.
    value = kl_student_t(tensor(20.0), tensor(2 * math.log(1e4)), df)
    assert value.item() == pytest.approx(finite_sum_kl(20.0, 1e4, df), abs=1e-6)


def test_cauchy_closed_form():
    expected = [math.log(((1 + s) ** 2 + mu**2) / (4 * s)) for mu, s in GRID]
    np.testing.assert_allclose(on_grid(1.0), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("df", "n_nodes", "bound"), [
    *[(df, None, 1e-6 if df < 2 else 2e-7) for df in (0.2, 1.0, 2.0, 21.0)],
    (2.5, 64, 2e-7), (10.0, 64, 1e-10), (21.0, 64, 1e-10),
])  # fmt: skip
def test_error_is_bounded_for_any_location_and_scale(df, n_nodes, bound):
    rng = np.random.default_rng(0)
    mu = torch.from_numpy(10 ** rng.uniform(-3, 4, (300, 1)))
    logvar = torch.from_numpy(rng.uniform(-28, 28, (300, 1)))
    value = kl_student_t(mu, logvar, df, n_nodes=n_nodes)
    better = kl_student_t(mu, logvar, df, n_nodes=1000)
    torch.testing.assert_close(value, better, rtol=1e-10, atol=bound)


@pytest.mark.parametrize("df", [2.5, 21.0, math.inf])
@pytest.mark.parametrize(
    ("q", "p"), [((-1.3, 0.7), (2.1, 1.9)), ((-3.0, 0.05), (0.0, 1.0)), ((0.2, 2.0), (0.1, 0.9))]
)
def test_definition_by_the_trapezoidal_rule(df, q, p):
    t = np.linspace(-20, 20, 20_001)
    z = q[0] + np.sinh(t)
    log_q, log_p = (scipy.stats.t.logpdf(z, df, loc=mu, scale=sigma) for mu, sigma in (q, p))
    expected = np.trapezoid(np.exp(log_q) * (log_q - log_p) * np.cosh(t), t)
    (mu, logvar), (prior_mu, prior_logvar) = (tensor([m], [2 * math.log(s)]) for m, s in (q, p))
    value = kl_student_t(mu, logvar, df, prior_mu=prior_mu, prior_logvar=prior_logvar)
    assert value.item() == pytest.approx(expected, abs=1e-7)
    if math.isinf(df):
        value = kl_normal(Normal(mu, logvar), Normal(prior_mu, prior_logvar))
        assert value.item() == pytest.approx(expected, abs=1e-8)


def test_normal_kl_between_any_two_is_torchs():
    mu, logvar = tensor([0.3, -2.0, 7.0], [-1.5, 0.4, 2.0])
    q, p = Normal(mu, logvar), Normal(tensor(0.03, -2.7, 10.0), logvar.flip(0))
    expected = torch.distributions.kl_divergence(
        *(torch.distributions.Normal(law.mu, (0.5 * law.logvar).exp()) for law in (q, p))
    ).sum()
    torch.testing.assert_close(kl_normal(q, p), expected)


FAMILIES = {"normal": Normal} | {
    f"{name}-{df:g}": partial(family, df=df)
    for name, family in (("product", StudentT), ("multivariate", MultivariateT))
    for df in (2.5, 21.0, math.inf)
}


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_estimate_by_draws_has_the_exact_mean(family):
    mu, logvar = torch.tensor([[0.5, -2.0, 6.0], [-3.0, -0.1, 0.4]], dtype=F64)
    posterior, prior = family(mu, logvar), family(mu / 2 - 1, logvar.flip(0) + 0.7)
    draws = posterior.rsample(gen(0), (50_000,))
    estimates = monte_carlo_kl(posterior, prior, draws)
    error = estimates.std() / math.sqrt(len(estimates))
    assert abs(estimates.mean() - exact_kl(posterior, prior)) < 4 * error
    # That of equals is 0.
    assert exact_kl(prior, prior).item() == pytest.approx(0, abs=1e-8)
    assert monte_carlo_kl(prior, prior, draws).abs().max() == 0


@pytest.mark.parametrize("df", [1e8, 1e10, 1e12, 2.0**53 - 1, 2.0**53, 1e300, math.inf])
def test_large_df_approaches_the_normal_closed_form_and_infinite_df_is_it(df):
    def normal_kl(mu, sigma):
        return kl_normal(Normal(mu, 2 * sigma.log()), Normal(*torch.zeros(2, *mu.shape, dtype=F64)))

    # To first order in 1 / df the two differ by at most mu^4 / (2 df).
    bound = 1e8 / df + 3e-14 * math.sqrt(df) + 1e-7 if df < 2**53 else 1e-14
    expected = normal_kl(*torch.tensor(GRID, dtype=F64).T[..., None])
    np.testing.assert_allclose(
        on_grid(df), expected, rtol=1e-10 if df < 2**53 else 1e-13, atol=bound
    )
    expected = normal_kl(*torch.from_numpy(joint_cases(10)).unbind(1))
    torch.testing.assert_close(joint_kl(joint_cases(10), math.inf), expected, rtol=1e-13, atol=0)
    # Here by the mean square's square over 4 df.
    cases = np.array([case for case in joint_cases(10) if case[0].max() <= 1])
    difference = joint_kl(cases, 1e6) - joint_kl(cases, math.inf)
    assert 1e-6 < difference.abs().max() < (10 * (1 + 3**2)) ** 2 / 1e6


@pytest.mark.parametrize("df", [0.2, *HEAVY_DFS, *DFS, 1e12, math.inf])
def test_is_never_negative_and_zero_only_at_the_prior(df):
    values = on_grid(df)
    at_prior = GRID.index((0.0, 1.0))
    assert abs(values[at_prior]) < 1e-8
    assert np.delete(values, at_prior).min() > 1e-4
    if 0.5 <= df <= 1e6 or math.isinf(df):
        assert joint_kl(joint_cases(10), df).min() > 1e-2
        assert abs(joint_kl(np.stack([np.zeros(10), np.ones(10)])[None], df).item()) < 1e-8


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


@pytest.mark.parametrize("divergence", [kl_student_t, kl_multivariate_t])
@pytest.mark.parametrize("df", [0.7, 2.5, 21.0, 1e4, math.inf])
def test_gradients_of_all_arguments(divergence, df):
    rng = torch.Generator().manual_seed(0)
    arguments = torch.randn(4, 2, 3, generator=rng, dtype=F64).unbind()
    for argument in arguments:
        argument.requires_grad_()

    def value(mu, logvar, prior_mu, prior_logvar):
        return divergence(mu, logvar, df, prior_mu=prior_mu, prior_logvar=prior_logvar)

    assert torch.autograd.gradcheck(value, arguments)


@pytest.mark.parametrize("divergence", [kl_student_t, kl_multivariate_t])
@pytest.mark.parametrize("df", [0.5, 2.5, 21.0, 1e6, math.inf])
@pytest.mark.parametrize("logvar", [-600.0, 300.0])
@pytest.mark.parametrize("mu", [0.0, 1e30])
def test_extremes_stay_finite(divergence, df, logvar, mu):
    n = 1 if divergence is kl_student_t else 4
    parameters = torch.tensor([[mu] * n, [logvar] * n], dtype=F64, requires_grad=True)
    value = divergence(*parameters, 0.2 if n == 1 and df == 0.5 else df)
    value.backward()
    assert torch.isfinite(value)
    assert n > 1 or value > 10
    assert torch.isfinite(parameters.grad).all()


@pytest.mark.parametrize("divergence", [kl_student_t, kl_multivariate_t])
@pytest.mark.parametrize("df", [2.5, 21.0, math.inf])
def test_float32_is_rounded_at_the_end_alone(divergence, df):
    # Near the prior the divergence is small: 1e-3 here, where float32 sums would be off by 1e-4.
    mu = torch.tensor([0.01, 0.02, 30.0])[:, None]
    logvar = torch.tensor([0.01, -0.02, -9.0])[:, None]
    value = divergence(mu, logvar, df)
    assert value.dtype == torch.float32
    assert torch.equal(value, divergence(mu.double(), logvar.double(), df).float())


@pytest.mark.parametrize(
    ("divergence", "df", "n_nodes", "message"),
    [
        *[(kl_student_t, df, None, "^df = .*must be at least 0.2")
          for df in (0.0, -1.0, 0.1, math.nan, -math.inf)],
        # At 1e15 the two factors of the integrand cancel: the sum would be off by hundreds.
        *[(kl_multivariate_t, df, None, "^df = .*must lie between 0.5 and 1e.06, or be inf")
          for df in (0.0, -1.0, 0.1, math.nan, -math.inf, 1e15)],
        *[(divergence, 5.0, n_nodes, "^n_nodes = .* must be at least 2")
          for divergence in (kl_student_t, kl_multivariate_t) for n_nodes in (-1, 0, 1)],
    ],
)  # fmt: skip
def test_impossible_settings_are_refused(divergence, df, n_nodes, message):
    with pytest.raises(InputError, match=message):
        divergence(torch.zeros(1), torch.zeros(1), df, n_nodes=n_nodes)


@pytest.mark.parametrize("divergence", [kl_student_t, kl_multivariate_t])
def test_nan_shows(divergence):
    assert divergence(torch.tensor([math.nan, 0.0]), torch.zeros(2), 5.0).isnan()


def test_exact_kl_between_families_is_refused():
    zero = torch.zeros(2)
    laws = [
        Normal(zero, zero),
        *(family(zero, zero, df) for family in (StudentT, MultivariateT) for df in (5.0, 6.0)),
    ]
    for posterior, prior in itertools.permutations(laws, 2):
        with pytest.raises(InputError, match="must be of one family with one df"):
            exact_kl(posterior, prior)


# The multivariate t: m coordinates that share one chi-square draw.


def joint_integral_kl(mu, sigma, df):
    """The integral of `kl_multivariate_t` in ln t, by far more points than it takes."""
    m, log_t = len(mu), np.linspace(-40, 60, 20_001)
    t = np.exp(log_t)
    spread = 1 + 2 * t[:, None] * sigma**2
    # Logarithm of the second term over the first, free of cancellation for large df.
    shift = 2 * t / (1 + 2 * t) * (mu**2 / spread).sum(1) / df
    ratio = 0.5 * (m * np.log1p(2 * t) - np.log(spread).sum(1) - df * np.log1p(shift))
    integrand = -np.exp(-0.5 * (df + m) * np.log1p(2 * t)) * np.expm1(ratio)
    return (df + m) / 2 * np.trapezoid(integrand, log_t) - np.log(sigma).sum()


def joint_cases(m):
    """Corners of the domain, and posteriors that mix its edges."""
    rng = np.random.default_rng(m)
    centres = (np.zeros(m), 30 * np.eye(m)[0], np.full(m, 30.0))
    corners = [(centre, np.full(m, s)) for centre in centres for s in (1e-3, 0.3, 3.0)]
    mixed = [(rng.choice([0.0, 1, 30], m), rng.choice([1e-3, 0.3, 3], m)) for _ in range(3)]
    return np.array(corners + mixed)


def joint_kl(cases, df, **kwargs):
    mu, sigma = torch.from_numpy(cases).unbind(1)
    return kl_multivariate_t(mu, 2 * sigma.log(), df, **kwargs)


@pytest.mark.parametrize("m", [2, 10])
@pytest.mark.parametrize("df", [2.5, 21.0, 1e4, 1e6])
def test_multivariate_is_its_integral(m, df):
    expected = [joint_integral_kl(*case, df) for case in joint_cases(m)]
    np.testing.assert_allclose(joint_kl(joint_cases(m), df), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("m", [2, 10])
@pytest.mark.parametrize("df", [0.5, 1.0, 2.0, 2.5, 3.0, 5.0, 10.0, 21.0, 50.0, 1e3])
def test_multivariate_error_is_bounded_over_the_domain(m, df):
    rng = np.random.default_rng(0)
    random = np.stack([rng.uniform(0, 30, (50, m)), 10 ** rng.uniform(-3, 0.47, (50, m))], 1)
    cases = np.concatenate([random, joint_cases(m)])
    difference = joint_kl(cases, df) - joint_kl(cases, df, n_nodes=1000)
    # Below 2.5 there are more nodes.
    assert difference.abs().max() < (1e-6 if df >= 2.5 else 1e-8)


@pytest.mark.parametrize("df", [0.7, 2.5, 21.0, 1e3, 1e6])
def test_one_coordinate_of_the_multivariate_is_the_univariate(df):
    mu, sigma = tensor(*(case for case in GRID if case[0] <= 30)).T[..., None]
    value = kl_multivariate_t(mu, 2 * sigma.log(), df)
    expected = kl_student_t(mu, 2 * sigma.log(), df, n_nodes=256)
    torch.testing.assert_close(value, expected, rtol=0, atol=1e-6 if df < 2 else 1e-7)


@pytest.mark.parametrize("df", [2.5, 21.0])
@pytest.mark.parametrize(
    ("mu", "sigma"), [((0.4, -1.5), (0.6, 1.3)), ((3.0, 0.0), (0.2, 2.0))], ids=["near", "far"]
)
def test_multivariate_definition_over_the_plane(df, mu, sigma):
    # q (ln q - ln p) over z = mu + sigma r (cos a, sin a): no mixing variable, no Frullani.
    def log_density(square):
        return -math.log(2 * math.pi) - (df + 2) / 2 * math.log1p(square / df)

    def integrand(angle, radius):
        square = (mu[0] + sigma[0] * radius * math.cos(angle)) ** 2
        square += (mu[1] + sigma[1] * radius * math.sin(angle)) ** 2
        log_q = log_density(radius**2)
        log_ratio = log_q - math.log(sigma[0] * sigma[1]) - log_density(square)
        return radius * math.exp(log_q) * log_ratio

    expected, _ = scipy.integrate.dblquad(
        integrand, 0, math.inf, 0, 2 * math.pi, epsabs=1e-7, epsrel=1e-7
    )
    value = kl_multivariate_t(tensor(*mu), 2 * tensor(*sigma).log(), df)
    assert value.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("df", [2.5, 21.0, 1e3])
@pytest.mark.parametrize("sigma", [1e-3, 0.3, 3.0])
def test_multivariate_around_the_prior_is_a_mean_over_the_f_distribution(df, sigma):
    # With mu = 0 and one sigma the log ratio depends on |eps|^2 alone, and |eps|^2 / m ~ F(m, df).
    m, log_f = 10, np.linspace(-20, 60, 4_001)
    f = np.exp(log_f)
    log_ratio = np.log1p(sigma**2 * m * f / df) - np.log1p(m * f / df)
    mean = np.trapezoid(log_ratio * scipy.stats.f.pdf(f, m, df) * f, log_f)
    value = kl_multivariate_t(torch.zeros(m, dtype=F64), tensor(*[2 * math.log(sigma)] * m), df)
    expected = (df + m) / 2 * mean - m * math.log(sigma)
    assert value.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("df", [2.5, 21.0, 1e4])
def test_multivariate_gradients_at_the_edges_of_the_domain(df):
    # Central differences of the integral: neither the nodes nor autograd.
    mu, sigma = np.array([30.0, 0.5, 1e-2]), np.array([1e-3, 3.0, 0.3])
    step, expected = 1e-4, []
    for number in range(6):
        move = np.zeros((2, 3))
        move.flat[number] = step
        high, low = (
            joint_integral_kl(mu + sign * move[0], sigma * np.exp(sign * move[1] / 2), df)
            for sign in (1, -1)
        )
        expected.append((high - low) / (2 * step))
    arguments = [torch.from_numpy(mu), torch.from_numpy(2 * np.log(sigma))]
    for argument in arguments:
        argument.requires_grad_()
    kl_multivariate_t(*arguments, df).backward()
    found = torch.cat([argument.grad for argument in arguments])
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_both_sum_the_last_axis_alone_and_broadcast():
    mu = torch.linspace(-3, 3, 24, dtype=F64).reshape(2, 3, 4)
    logvar = tensor(-1.0, 0.0, 0.5, 1.0)
    sigma = np.exp(logvar.numpy() / 2)
    product = [[quad_kl(*pair, 5.0) for pair in zip(row, sigma, strict=True)] for row in mu[0]]
    joint = [joint_integral_kl(row, sigma, 5.0) for row in mu.numpy()[0]]
    for divergence, expected in (
        (kl_student_t, np.sum(product, axis=1)), (kl_multivariate_t, joint)
    ):  # fmt: skip
        value = divergence(mu, logvar, 5.0)
        assert value.shape == (2, 3)
        np.testing.assert_allclose(value[0], expected, rtol=0, atol=4e-7)
        assert divergence(mu[:0], logvar, 5.0).shape == (0, 3)
