import math
from functools import partial

import numpy as np
import pytest
import scipy.stats
import torch
from exact import F64, gen

from vaefill.models.distributions import (
    MultivariateT,
    Normal,
    StudentT,
    joint_polar_noise,
    polar_noise,
)

DFS = [0.7, 1.0, 2.5, 5.0, 21.0, 1e6]


def tensors(*rows: list[float]) -> tuple[torch.Tensor, ...]:
    return tuple(torch.tensor(row, dtype=F64) for row in rows)


MU, LOGVAR, Z = tensors([0.3, -2.0, 7.0], [-1.5, 0.4, 2.0], [0.1, -8.0, 30.0])


@pytest.mark.parametrize("df", DFS)
def test_log_prob_is_scipys(df):
    scale = torch.exp(0.5 * LOGVAR)
    expected = scipy.stats.t.logpdf(Z, df, loc=MU, scale=scale).sum()
    assert StudentT(MU, LOGVAR, df).log_prob(Z).item() == pytest.approx(expected, rel=1e-9)
    expected = scipy.stats.norm.logpdf(Z, loc=MU, scale=scale).sum()
    assert Normal(MU, LOGVAR).log_prob(Z).item() == pytest.approx(expected, rel=1e-12)
    law = scipy.stats.multivariate_t(MU, np.diag(LOGVAR.exp()), df=df)
    codes = torch.stack([Z, MU, Z / 10])
    density = MultivariateT(MU, LOGVAR, df).log_prob(codes)
    np.testing.assert_allclose(density, law.logpdf(codes), rtol=1e-9)


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


@pytest.mark.parametrize("family", [StudentT, MultivariateT])
def test_large_df_approaches_the_normal_and_infinite_df_is_it(family):
    normal = Normal(MU, LOGVAR)
    for df, rtol in ((math.inf, 0), (1e9, 1e-5)):
        student = family(MU, LOGVAR, df)
        draws, expected = (law.rsample(gen(6)) for law in (student, normal))
        torch.testing.assert_close(draws, expected, rtol=rtol / 10, atol=0)
        torch.testing.assert_close(student.log_prob(Z), normal.log_prob(Z), rtol=rtol, atol=0)


def test_student_draws_are_the_normals_scaled():
    zeros = torch.zeros(200, 5, dtype=F64)
    families = (Normal, partial(StudentT, df=5.0), partial(MultivariateT, df=5.0))
    normal, product, joint = (family(zeros, zeros).rsample(gen(7)) for family in families)
    assert torch.equal(product.sign(), normal.sign())
    assert torch.equal(joint.sign(), normal.sign())
    assert (product.abs() >= normal.abs()).all()
    # Not so in the multivariate t: after small coordinates a large one is less likely.
    assert (joint.abs() < normal.abs()).any()


@pytest.mark.parametrize(
    "family", [Normal, partial(StudentT, df=3.0), partial(MultivariateT, df=3.0)]
)
def test_draws_have_their_shape_location_and_scale(family):
    mu, logvar = torch.full((4, 3), 5.0), torch.full((4, 3), math.log(4.0))
    z = family(mu, logvar).rsample(gen(8), (7,))
    standard = family(torch.zeros(4, 3), torch.zeros(4, 3)).rsample(gen(8), (7,))
    assert z.shape == (7, 4, 3)
    assert z.dtype == torch.float32
    torch.testing.assert_close(z, 5 + 2 * standard)
    # Gradients pass through the draws.
    mu, logvar = MU.clone().requires_grad_(), LOGVAR.clone().requires_grad_()
    z = family(mu, logvar).rsample(gen(14))
    weights = torch.tensor([1.0, -2.0, 0.5], dtype=F64)
    (weights * z).sum().backward()
    torch.testing.assert_close(mu.grad, weights)
    torch.testing.assert_close(logvar.grad, weights * (z - mu).detach() / 2)


COORDINATES = 5


def joint_draws(family, df: float) -> np.ndarray:
    zeros = torch.zeros(COORDINATES, dtype=F64)
    return family(zeros, zeros, df).rsample(gen(15), (20_000,)).numpy()


@pytest.mark.parametrize("df", [0.7, 2.5, 5.0, 21.0, 1e6])
def test_mean_square_of_the_multivariate_has_the_f_distribution_and_the_products_has_not(df):
    joint, product = (
        scipy.stats.kstest(
            (joint_draws(family, df) ** 2).mean(1), scipy.stats.f(COORDINATES, df).cdf
        )
        for family in (MultivariateT, StudentT)
    )
    assert joint.pvalue > 0.001
    assert not 2.5 <= df <= 21 or product.pvalue < 1e-6


@pytest.mark.parametrize("df", [0.7, 2.5, 21.0])
def test_every_projection_of_the_multivariate_is_the_univariate(df):
    # The projections determine the joint law (Cramer and Wold): marginals, and all directions.
    random = np.random.default_rng(0).normal(size=(3, COORDINATES))
    directions = np.vstack([np.eye(COORDINATES), random])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    for projection in (joint_draws(MultivariateT, df) @ directions.T).T:
        assert scipy.stats.kstest(projection, scipy.stats.t(df).cdf).pvalue > 0.001


def test_the_multivariates_coordinates_are_uncorrelated_but_far_out_together():
    product, joint = joint_draws(StudentT, 5.0), joint_draws(MultivariateT, 5.0)

    def pvalue(z: np.ndarray) -> float:
        return scipy.stats.spearmanr(z[:, 0], z[:, -1]).pvalue

    assert min(pvalue(product), pvalue(abs(product)), pvalue(joint)) > 0.001
    assert pvalue(abs(joint)) < 1e-20


@pytest.mark.parametrize("df", [0.7, 21.0])
def test_one_coordinate_of_the_multivariate_is_the_products_first(df):
    product, joint = (noise(df, (6, 4), gen(16)) for noise in (polar_noise, joint_polar_noise))
    torch.testing.assert_close(joint[:, 0], product[:, 0], rtol=1e-12, atol=0)
    assert not torch.isclose(joint[:, 1:], product[:, 1:], rtol=1e-6).any()
    single = [
        family(MU[:1], LOGVAR[:1], df).log_prob(Z[:1]) for family in (StudentT, MultivariateT)
    ]
    torch.testing.assert_close(*single, rtol=1e-12, atol=0)
