"""Laplace's mixture; `test_exact_methods` holds the estimates to exact ones."""

import math

import torch
from exact import LinearGaussian, errors, gen, incomplete, make, quadrature

from vaefill.inference.adaptive import FLOOR
from vaefill.inference.laplace import laplace, laplace_mixture
from vaefill.inference.modes import Modes, find_modes


def test_components_of_a_linear_gaussian():
    model = LinearGaussian()
    x, observed = model.incomplete(9)
    exact, covariance = model.exact(x, observed)
    laws, shares = laplace_mixture(find_modes(model, x, observed, tolerance=0), df=5.0)
    for law in laws:
        torch.testing.assert_close(law.mu, exact.code, rtol=0, atol=1e-7)
        torch.testing.assert_close(torch.cholesky_inverse(law.factor), covariance)
    torch.testing.assert_close(shares, torch.full_like(shares, 1 / 4), rtol=0, atol=1e-7)


def test_the_first_proposals_are_wider():
    model = LinearGaussian()
    x, observed = model.incomplete(9)
    _, covariance = model.exact(x, observed)
    laws, _ = laplace_mixture(find_modes(model, x, observed, tolerance=0), df=5.0, widened=3.0)
    torch.testing.assert_close(torch.cholesky_inverse(laws[0].factor), 3 * covariance)


def test_efficiency_of_the_t_at_a_normal_target():
    # E w^2 of a normal over a t5 of the same scale, by integration over the squared radius.
    radius = torch.linspace(0, 20, 200_001, dtype=torch.float64)[1:]
    log_p = -(radius.square() / 2) - math.log(2 * math.pi)
    log_t = -math.log(2 * math.pi) - 3.5 * torch.log1p(radius.square() / 5)
    ratio = (2 * log_p - log_t).exp() / 0.95
    expected = 1 / torch.trapezoid(ratio * 2 * math.pi * radius, radius)
    model = LinearGaussian()
    x, observed = model.incomplete(40)
    inferred = laplace(
        model, x, observed, generator=gen(), n_rounds=1, df=5.0, defensive=0.05, widened=1.0
    )
    ess = inferred.diagnostics["ess"] / 1000
    assert (ess > 0.97 * expected).all()  # the prior's share can but help
    assert ess.mean() < expected + 0.05


def test_shares_by_hand():
    # Twice as wide in each of two coordinates, but e^-1 as high: 4 / e to 1.
    precision = (
        torch.eye(2, dtype=torch.float64).expand(2, 1, 2, 2)
        * torch.tensor([1.0, 0.25])[:, None, None, None]
    )
    height = torch.tensor([[0.0], [-1.0]], dtype=torch.float64)
    modes = Modes(torch.zeros(2, 1, 2), height, torch.zeros(2, 1, 2), precision)
    _, shares = laplace_mixture(modes, df=5.0)
    expected = (1 - FLOOR) * 1 / (1 + 4 / math.e) + FLOOR / 2
    torch.testing.assert_close(shares[0, 0].item(), expected)


def test_two_modes_far_apart_are_both_found():
    # A decoder that sees |z| alone: the posterior is symmetric, the modes as well.
    vae = make(latent=1, pixels=12, scale=1.0)
    with torch.no_grad():
        first = vae.decoder.layers[0]
        first.weight.copy_(torch.tensor([[1.0], [-1.0]]).repeat(4, 1)[: len(first.weight)])
        first.bias.zero_()
        second = vae.decoder.layers[2]
        even = second.weight[:, 0::2][:, :3] * 6
        second.weight.zero_()
        second.weight[:, 0:6:2], second.weight[:, 1:6:2] = even, even
        vae.encoder.layers[-1].weight.mul_(20)
    x, observed = incomplete(12)
    found = laplace(vae, x, observed, generator=gen(), n_proposals=4000, n_draws=1000)
    assert errors(found, quadrature(vae, x, observed)).abs().max() < 5
    assert (found.diagnostics["pareto_k"] < 0.7).all()
    positive = (found.codes > 0).double().mean(0).squeeze(-1)
    assert ((positive - 0.5).abs() < 0.1).all()


def test_rounds_help_where_modes_mislead():
    vae, (x, observed) = make("multivariate", latent=6), incomplete(30)
    once, learned = (
        laplace(vae, x, observed, generator=gen(), n_proposals=400, n_rounds=rounds).diagnostics
        for rounds in (1, 8)
    )
    assert learned["ess"].mean() > 1.2 * once["ess"].mean()
    assert learned["ess"].min() > once["ess"].min()
    assert learned["pareto_k"].mean() < once["pareto_k"].mean()
