"""The loss and its gradients against the slides' hand-written backward pass."""

import math

import numpy as np
import pytest
import torch

from benchmarks.numpy_vae import loss_and_gradients
from vaefill.distributions import polar_noise
from vaefill.elbo import elbo
from vaefill.vae import VAE

SIZES = {"pixels": 12, "hidden": [9, 7], "latent": 3}


def make_vae(family: str, df: float | None) -> VAE:
    return VAE(family, df=df, **SIZES, generator=torch.Generator().manual_seed(0)).double()


def images(n: int = 5) -> torch.Tensor:
    return torch.rand(n, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize(("family", "df"), [("gauss", None), ("t", 21.0), ("t", 3.0), ("t", 0.8)])
def test_loss_and_gradients_are_the_slides(family, df):
    vae, x = make_vae(family, df), images()
    bound = elbo(vae, x, torch.Generator().manual_seed(2))
    (bound.kl - bound.reconstruction).mean().backward()

    generator = torch.Generator().manual_seed(2)
    eps = polar_noise(math.inf if df is None else df, (1, len(x), 3), generator)[0].numpy()
    weights = [parameter.detach().numpy() for parameter in vae.parameters()]
    reconstruction, kl, gradients = loss_and_gradients(weights, x.numpy(), eps, df)
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
