"""The bound against log-likelihoods known in closed form or by integration."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from exact import F64, KINDS, LinearGaussian, gen, make

from vaefill.errors import InputError
from vaefill.models.distributions import Normal
from vaefill.models.elbo import elbo
from vaefill.models.importance import importance_bound, summarize


def images(n: int) -> torch.Tensor:
    return torch.randn(n, 6, generator=gen(3), dtype=F64)


def log_likelihood(model: LinearGaussian, x: torch.Tensor) -> np.ndarray:
    covariance = model.weights.T @ model.weights + model.scale**2 * torch.eye(6, dtype=F64)
    return scipy.stats.multivariate_normal(np.zeros(6), covariance.numpy()).logpdf(x.numpy())


@pytest.mark.parametrize("n_draws", [1, 4])
def test_exact_posterior_needs_one_draw(n_draws):
    model = LinearGaussian()
    x = images(7)
    bound = importance_bound(model, x, n_draws=n_draws, generator=gen(), batch_size=3)
    np.testing.assert_allclose(bound["log_likelihood"], log_likelihood(model, x), rtol=1e-12)
    np.testing.assert_allclose(bound["ess"], n_draws, rtol=1e-12)


def test_inexact_posterior_converges():
    model, n_draws = LinearGaussian(moved=0.2, widened=1.2), 1000
    x = images(200)
    bound = importance_bound(model, x, n_draws=n_draws, generator=gen())
    # The relative variance of the mean weight is 1 / ess - 1 / n_draws.
    error = (bound["log_likelihood"] - log_likelihood(model, x)) * (
        1 / bound["ess"] - 1 / n_draws
    ) ** -0.5
    assert scipy.stats.kstest(error, "norm").pvalue > 1e-3
    assert (np.abs(error) < 5).all()


def test_effective_sample_size_is_that_of_the_weights():
    # E w^2 of normal weights in closed form; ess / n_draws is near 1 / E w^2.
    model = LinearGaussian(moved=0.3)
    bound = importance_bound(model, images(50), n_draws=1000, generator=gen())
    scale = (1 + model.weights.square().sum(1) / model.scale**2).rsqrt()
    expected = math.exp(-(0.3 / scale).square().sum().item())
    assert bound["ess"].mean() / 1000 == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_one_coordinate_against_integration(kind):
    vae, n_draws = make(kind, latent=1, pixels=6), 400
    x = torch.rand(3, 6, generator=gen(2), dtype=F64)
    bound = importance_bound(vae, x, n_draws=n_draws, generator=gen())
    prior = scipy.stats.t(vae.architecture["df"] or math.inf)

    t = np.linspace(-12, 12, 4_001)
    z = np.sinh(t)  # far out, as the t's tails are heavy
    with torch.no_grad():
        given_z = vae.likelihood(torch.from_numpy(z)[:, None])
        joint = np.stack([given_z.log_prob(image).exp().numpy() for image in x]) * prior.pdf(z)
    expected = np.log(np.trapezoid(joint * np.cosh(t), t))
    error = np.sqrt(1 / bound["ess"] - 1 / n_draws)
    assert (np.abs(bound["log_likelihood"] - expected) < 5 * error + 1e-6).all()


@pytest.mark.parametrize("kind", KINDS)
def test_more_draws_raise_the_bound_above_the_elbo(kind):
    vae = make(kind, latent=3, pixels=6).float()
    x = torch.rand(40, 6, generator=gen(2))
    one, few, many = (
        importance_bound(vae, x.repeat(repeats, 1), n_draws=n_draws, generator=gen())
        for repeats, n_draws in ((200, 1), (100, 5), (4, 100))
    )
    means = [bound["log_likelihood"].mean() for bound in (one, few, many)]
    bound = elbo(vae, x, gen(), n_draws=200, kl="quadrature")
    expected = (bound.reconstruction - bound.kl).mean().item()
    error = one["log_likelihood"].std() / len(one["log_likelihood"]) ** 0.5
    assert abs(means[0] - expected) < 5 * error
    assert means[0] < means[1] - 5 * error
    assert means[1] < means[2]
    np.testing.assert_allclose(one["ess"], 1, rtol=1e-12)
    assert (many["ess"] >= 1).all()
    assert (many["ess"] <= 100 * (1 + 1e-12)).all()


def test_images_may_keep_their_shape_and_draws_are_the_generators():
    vae = make(pixels=6).float()
    x = torch.rand(4, 2, 3, generator=gen(2))
    a = importance_bound(vae, x, n_draws=3, generator=gen())
    b = importance_bound(vae, x.flatten(1), n_draws=3, generator=gen())
    c = importance_bound(vae, x, n_draws=3, generator=gen(2))
    assert a["log_likelihood"].dtype == np.float64
    np.testing.assert_array_equal(a["log_likelihood"], b["log_likelihood"])
    assert (a["log_likelihood"] != c["log_likelihood"]).all()


def test_draws_far_out_in_the_tail_are_weighed(monkeypatch):
    # The squares of such draws are infinite in float32.
    monkeypatch.setitem(KINDS, "heavy", ("t", {"df": 0.25}))
    vae, x = make("heavy", latent=1, pixels=6).float(), torch.rand(500, 6, generator=gen(2))
    bound = importance_bound(vae, x, n_draws=100, generator=gen())
    assert np.isfinite(bound["log_likelihood"]).all()
    with pytest.raises(InputError, match="n_draws = 0: must be at least 1"):
        importance_bound(vae, x, n_draws=0, generator=gen())


def test_an_image_that_cannot_be_weighed_is_named():
    model = LinearGaussian()
    x = images(5)
    x[3, 1] = math.nan
    model.posterior = lambda images: Normal(*torch.zeros(2, len(images), 2, dtype=F64))
    with pytest.raises(InputError, match=r"image 3, draw 0: ln p\(x\|z\) = nan: must be finite"):
        importance_bound(model, x, n_draws=2, generator=gen(), batch_size=2)


def test_summary_by_hand():
    bound = {"log_likelihood": np.array([-1.0, -2.0, -6.0]), "ess": np.array([1.0, 3.0, 5.0])}
    expected = {"log_likelihood": -3, "ess": 3, "ess_low": 1.2, "images": 3}
    assert summarize(bound) == pytest.approx(expected)
