"""The loss and its gradients against the slides' hand-written backward pass."""

import math

import numpy as np
import pytest
import torch
from exact import gen

from benchmarks.numpy_vae import loss_and_gradients
from vaefill.errors import InputError
from vaefill.models.distributions import polar_noise
from vaefill.models.divergences import exact_kl
from vaefill.models.elbo import elbo
from vaefill.models.vae import VAE

both_joints = pytest.mark.parametrize("joint", ["product", "multivariate"])
both_likelihoods = pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli"])
SIZES = {"pixels": 12, "hidden": [9, 7], "latent": 3}


def make_vae(family: str, df: float | None, **settings: str) -> VAE:
    return VAE(family, df=df, **settings, **SIZES, generator=gen(0)).double()


def images(n: int = 5) -> torch.Tensor:
    return torch.rand(n, 12, generator=gen(1), dtype=torch.float64)


@pytest.mark.parametrize(("family", "df"), [("gauss", None), ("t", 21.0), ("t", 3.0), ("t", 0.8)])
def test_loss_and_gradients_are_the_slides(family, df):
    vae, x = make_vae(family, df), images()
    bound = elbo(vae, x, gen(2))
    (bound.kl - bound.reconstruction).mean().backward()

    generator = gen(2)
    eps = polar_noise(math.inf if df is None else df, (1, len(x), 3), generator)[0].numpy()
    weights = [parameter.detach().numpy() for parameter in vae.parameters()]
    reconstruction, kl, gradients = loss_and_gradients(weights, x.numpy(), eps, df)
    np.testing.assert_allclose(bound.reconstruction.detach(), reconstruction, rtol=1e-10)
    np.testing.assert_allclose(bound.kl.detach(), kl, rtol=1e-10, atol=1e-12)
    for parameter, expected in zip(vae.parameters(), gradients, strict=True):
        np.testing.assert_allclose(parameter.grad, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("family", "df"), [("gauss", None), ("t", 4.0)])
def test_more_draws_average(family, df):
    vae, x = make_vae(family, df), images()
    z = vae.posterior(x).rsample(gen(4), (6,))
    expected = torch.stack([vae.likelihood(draw).log_prob(x) for draw in z]).mean(0)
    bound = elbo(vae, x, gen(4), n_draws=6)
    torch.testing.assert_close(bound.reconstruction, expected)
    assert bound.kl.shape == (5,)
    if df is None:  # exact, and of its own image alone
        torch.testing.assert_close(elbo(vae, x[:1], gen(3)).kl, bound.kl[:1])
    else:
        expected = (vae.posterior(x).log_prob(z) - vae.prior.log_prob(z)).mean(0)
        torch.testing.assert_close(bound.kl, expected)
    with pytest.raises(InputError, match="kl = 'exact': must be one of monte_carlo, quadrature"):
        elbo(vae, x, gen(), kl="exact")


@both_joints
@both_likelihoods
def test_infinite_df_is_the_gaussian_model_term_by_term(joint, likelihood):
    x = images()
    gauss = make_vae("gauss", None, likelihood=likelihood)
    student = make_vae("t", math.inf, joint=joint, likelihood=likelihood)
    expected = elbo(gauss, x, gen(5))
    bound = elbo(student, x, gen(5), kl="quadrature")
    assert torch.equal(bound.reconstruction, expected.reconstruction)
    torch.testing.assert_close(bound.kl, expected.kl, rtol=1e-12, atol=1e-15)
    for model, terms in ((gauss, expected), (student, bound)):
        (terms.kl - terms.reconstruction).mean().backward()
        assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())
    for a, b in zip(gauss.parameters(), student.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-12, atol=1e-15)


@both_joints
@both_likelihoods
def test_every_model_by_hand(joint, likelihood):
    vae, x = make_vae("t", 5.0, joint=joint, likelihood=likelihood), images()
    posterior = vae.posterior(x)
    z = posterior.rsample(gen(6), (1,))[0]
    estimate = elbo(vae, x, gen(6))
    exact = elbo(vae, x, gen(6), kl="quadrature")
    torch.testing.assert_close(estimate.kl, posterior.log_prob(z) - vae.prior.log_prob(z))
    torch.testing.assert_close(exact.kl, exact_kl(posterior, vae.prior))
    for bound in (estimate, exact):
        torch.testing.assert_close(bound.reconstruction, vae.likelihood(z).log_prob(x))
        gradients = torch.autograd.grad(
            (bound.kl - bound.reconstruction).mean(), list(vae.parameters()), retain_graph=True
        )
        assert all(gradient.isfinite().all() and gradient.any() for gradient in gradients)
