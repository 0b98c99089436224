"""The loss and its gradients against the slides' hand-written backward pass."""

import math

import numpy as np
import pytest
import torch

from vaefill.distributions import polar_noise
from vaefill.elbo import elbo
from vaefill.vae import VAE

SIZES = {"pixels": 12, "hidden": [9, 7], "latent": 3}


def make_vae(family: str, df: float | None) -> VAE:
    return VAE(family, df=df, **SIZES, generator=torch.Generator().manual_seed(0)).double()


def images(n: int = 5) -> torch.Tensor:
    return torch.rand(n, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def slides_gradients(vae: VAE, x: np.ndarray, eps: np.ndarray, df: float | None):
    """Loss and gradients as the slides derive them: NumPy, layer by layer, no autograd."""
    weights = [p.detach().numpy() for p in vae.parameters()]
    (we1, be1, we2, be2, we3, be3), (wd1, bd1, wd2, bd2, wd3, bd3) = weights[:6], weights[6:]
    n = len(x)
    a1 = np.maximum(x @ we1.T + be1, 0)
    a2 = np.maximum(a1 @ we2.T + be2, 0)
    mu, logvar = np.split(a2 @ we3.T + be3, 2, axis=1)
    sigma = np.exp(0.5 * logvar)
    z = mu + eps * sigma
    d1 = np.maximum(z @ wd1.T + bd1, 0)
    d2 = np.maximum(d1 @ wd2.T + bd2, 0)
    mean = 1 / (1 + np.exp(-(d2 @ wd3.T + bd3)))

    reconstruction = (x * np.log(mean) + (1 - x) * np.log(1 - mean)).sum(1)
    if df is None:
        kl = 0.5 * (mu**2 + sigma**2 - logvar - 1).sum(1)
        kl_mu, kl_logvar = mu, 0.5 * (np.exp(logvar) - 1)
    else:
        tail = (df + 1) / 2 * (np.log1p(z**2 / df) - np.log1p(eps**2 / df))
        kl = (-np.log(sigma) + tail).sum(1)
        kl_mu = (df + 1) * z / (df + z**2)
        kl_logvar = 0.5 * sigma * (-1 / sigma + (df + 1) * z * eps / (df + z**2))

    grads = {}
    delta = (mean - x) / n
    for name, weight, inputs, before in (
        ("d3", wd3, d2, d2),
        ("d2", wd2, d1, d1),
        ("d1", wd1, z, None),
    ):
        grads[name] = [delta.T @ inputs, delta.sum(0)]
        delta = delta @ weight
        if before is not None:
            delta = delta * (before > 0)
    delta_mu = delta + kl_mu / n
    delta_logvar = delta * eps * 0.5 * sigma + kl_logvar / n
    delta = np.hstack([delta_mu, delta_logvar])
    for name, weight, inputs in (("e3", we3, a2), ("e2", we2, a1), ("e1", we1, x)):
        grads[name] = [delta.T @ inputs, delta.sum(0)]
        delta = delta @ weight * (inputs > 0)
    order = ("e1", "e2", "e3", "d1", "d2", "d3")
    return reconstruction, kl, [grad for name in order for grad in grads[name]]


@pytest.mark.parametrize(("family", "df"), [("gauss", None), ("t", 21.0), ("t", 3.0), ("t", 0.8)])
def test_loss_and_gradients_are_the_slides(family, df):
    vae, x = make_vae(family, df), images()
    bound = elbo(vae, x, torch.Generator().manual_seed(2))
    (bound.kl - bound.reconstruction).mean().backward()

    generator = torch.Generator().manual_seed(2)
    eps = polar_noise(math.inf if df is None else df, (1, len(x), 3), generator)[0].numpy()
    reconstruction, kl, gradients = slides_gradients(vae, x.numpy(), eps, df)
    np.testing.assert_allclose(bound.reconstruction.detach(), reconstruction, rtol=1e-10)
    np.testing.assert_allclose(bound.kl.detach(), kl, rtol=1e-10, atol=1e-12)
    for parameter, expected in zip(vae.parameters(), gradients, strict=True):
        np.testing.assert_allclose(parameter.grad, expected, rtol=1e-10, atol=1e-12)


def test_terms_are_per_image_and_do_not_mix_images():
    vae, x = make_vae("gauss", None), images()
    whole = elbo(vae, x, torch.Generator().manual_seed(3))
    assert whole.reconstruction.shape == whole.kl.shape == (5,)
    single = elbo(vae, x[:1], torch.Generator().manual_seed(3))
    torch.testing.assert_close(whole.kl[:1], single.kl)


@pytest.mark.parametrize(("family", "df"), [("gauss", None), ("t", 4.0)])
def test_more_draws_average(family, df):
    vae, x = make_vae(family, df), images()
    z = vae.posterior(x).rsample(torch.Generator().manual_seed(4), (6,))
    expected = torch.stack([vae.likelihood(draw).log_prob(x) for draw in z]).mean(0)
    bound = elbo(vae, x, torch.Generator().manual_seed(4), n_draws=6)
    torch.testing.assert_close(bound.reconstruction, expected)
    assert bound.kl.shape == (5,)


def test_infinite_df_is_the_gaussian_model_term_by_term():
    gauss, student, x = make_vae("gauss", None), make_vae("t", math.inf), images()
    n_draws = 20_000
    exact = elbo(gauss, x, torch.Generator().manual_seed(5), n_draws=n_draws)
    estimate = elbo(student, x, torch.Generator().manual_seed(5), n_draws=n_draws)
    assert torch.equal(exact.reconstruction, estimate.reconstruction)
    # The KL is exact here and a Monte Carlo mean there.
    torch.testing.assert_close(estimate.kl, exact.kl, rtol=0, atol=0.05)
