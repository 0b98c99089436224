"""Against the log joint at each draw, a closed form, scipy, and finite differences."""

import numpy as np
import pytest
import scipy.optimize
import torch
from exact import KINDS, LinearGaussian, gen, incomplete, make

from vaefill.inference import starts
from vaefill.inference.iterated import fill
from vaefill.inference.modes import find_modes, posterior_mode
from vaefill.inference.starts import find_starts
from vaefill.inference.target import log_joint


def smooth(kind: str, latent: int = 3) -> torch.nn.Module:
    """A model without kinks, where the gradient vanishes at every maximum."""
    vae = make(kind, latent)
    for layers in (vae.encoder.layers, vae.decoder.layers):
        for number, layer in enumerate(layers):
            if isinstance(layer, torch.nn.ReLU):
                layers[number] = torch.nn.Tanh()
    return vae


def objective(vae, x, observed):
    """Minus the log joint of one image and its gradient, for scipy."""

    def value_and_gradient(z):
        z = torch.from_numpy(z)[None].requires_grad_()
        value = -log_joint(vae.likelihood(z), vae.prior, z, x[None], observed[None])
        return value.item(), torch.autograd.grad(value.sum(), z)[0][0].numpy()

    return value_and_gradient


@pytest.mark.parametrize("kind", KINDS)
def test_starts_are_the_draws_of_the_highest_joint_density(kind):
    vae, (x, observed) = make(kind), incomplete(8)
    x[0], observed[0] = 0, False
    found = find_starts(vae, x, observed, n_best=3)
    assert torch.equal(found[0], vae.encoder(x)[0])
    assert torch.equal(found[1], vae.encoder(fill(vae, x, observed)[0])[0])
    z = vae.prior.rsample(gen(0), (starts.CANDIDATES,))
    z[0] = 0
    z = z[:, None].expand(-1, 8, -1)
    height = log_joint(vae.likelihood(z), vae.prior, z, x, observed)
    for image in range(8):
        best = z[height[:, image].argsort(descending=True)[:3], image]
        torch.testing.assert_close(found[2:, image], best)
    assert (found[2, 0] == 0).all()  # nothing is observed: the prior's mode


def test_the_most_probable_starts_are_kept():
    vae, (x, observed) = make(), incomplete(8)
    every = find_starts(vae, x, observed)
    height = log_joint(vae.likelihood(every), vae.prior, every, x, observed)
    kept = find_starts(vae, x, observed, n_starts=3)
    found = log_joint(vae.likelihood(kept), vae.prior, kept, x, observed)
    assert torch.equal(found, height.sort(0, descending=True).values[:3])


def test_a_start_is_near_the_maximum_of_a_linear_gaussian():
    model = LinearGaussian()
    x, observed = model.incomplete(30)
    exact, covariance = model.exact(x, observed)
    away = (find_starts(model, x, observed)[2] - exact.code).unsqueeze(-1)
    distance = (away.mT @ torch.linalg.inv(covariance) @ away).flatten()
    # One of 2048 draws lies within the posterior, most of the times far within.
    assert distance.max() < 2
    assert distance.median() < 0.2


def test_linear_gaussian_has_its_mean_and_covariance():
    model = LinearGaussian()
    x, observed = model.incomplete(20)
    exact, covariance = model.exact(x, observed)
    modes = find_modes(model, x, observed, tolerance=0)
    torch.testing.assert_close(modes.z, exact.code.expand(4, -1, -1), rtol=0, atol=1e-7)
    torch.testing.assert_close(torch.linalg.inv(modes.precision)[1], covariance)
    inferred = posterior_mode(model, x, observed, generator=gen(), tolerance=0)
    torch.testing.assert_close(inferred.mean, exact.mean, rtol=0, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_smooth_maxima_are_those_of_scipy(kind):
    vae, (x, observed) = smooth(kind), incomplete(3)
    modes = find_modes(vae, x, observed, tolerance=0, max_iterations=500)
    assert modes.gradient.abs().max() < 1e-5
    for image in range(len(x)):
        function = objective(vae, x[image], observed[image])
        for start, z in enumerate(modes.z[:, image]):
            found = scipy.optimize.minimize(function, z.numpy() + 0.01, jac=True, tol=1e-9)
            np.testing.assert_allclose(found.x, z, atol=1e-4)
            assert -found.fun == pytest.approx(modes.log_joint[start, image].item(), abs=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_kinks_do_not_stop_the_ascent_early(kind):
    # No descent by Nelder and Mead, which needs no derivative, gets above.
    vae, (x, observed) = make(kind), incomplete(3)
    inferred = posterior_mode(vae, x, observed, generator=gen(), tolerance=0, max_iterations=200)
    for image in range(len(x)):
        function = objective(vae, x[image], observed[image])
        start = inferred.codes[0, image].numpy()
        found = scipy.optimize.minimize(lambda z, f=function: f(z)[0], start, method="Nelder-Mead")
        assert -found.fun < inferred.diagnostics["log_joint"][image] + 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_and_curvature_by_finite_differences(kind):
    vae, (x, observed) = make(kind, latent=3), incomplete(6)
    # No step at all: derivatives at the starts.
    modes = find_modes(vae, x, observed, max_iterations=0)
    prior = vae.prior

    def gradients(z):
        z = z.detach().requires_grad_()
        likelihood = vae.likelihood(z)
        heights = (
            log_joint(likelihood, prior, z, x, observed),
            likelihood.log_prob(x, observed),
        )
        return [torch.autograd.grad(h.sum(), z, retain_graph=True)[0] for h in heights]

    torch.testing.assert_close(modes.gradient, gradients(modes.z)[0])
    steps = 1e-5 * torch.eye(3, dtype=modes.z.dtype)
    rows = [gradients(modes.z - s)[1] - gradients(modes.z + s)[1] for s in steps]
    # The decoder is linear here, so that the likelihood's Hessian is the Fisher information.
    fisher = torch.stack(rows, -2) / 2e-5
    assert (fisher - fisher.mT).abs().max() < 1e-3, "near a kink"
    squared = modes.z.square()
    if kind == "gauss":
        expected = torch.ones_like(squared)
    elif kind == "multivariate":
        expected = (prior.df + 3) / (prior.df + squared.sum(-1, keepdim=True)).expand_as(squared)
    else:
        expected = (prior.df + 1) / (prior.df + squared)
    torch.testing.assert_close(
        modes.precision - fisher, torch.diag_embed(expected), rtol=0, atol=1e-5
    )


def test_the_best_start_wins_and_is_decoded():
    vae, (x, observed) = make(), incomplete(8)
    modes = find_modes(vae, x, observed, tolerance=1e-3)
    inferred = posterior_mode(vae, x, observed, generator=gen(), n_draws=7)
    assert inferred.codes.shape == (1, 8, 2)
    torch.testing.assert_close(inferred.diagnostics["log_joint"], modes.log_joint.amax(0))
    likelihood = vae.likelihood(inferred.codes[0])
    torch.testing.assert_close(inferred.mean, likelihood.mean)
    value = log_joint(likelihood, vae.prior, inferred.codes[0], x, observed)
    torch.testing.assert_close(inferred.diagnostics["log_joint"], value)
