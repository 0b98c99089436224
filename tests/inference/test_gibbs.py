"""Against closed forms, integration, and elliptical slice sampling."""

import pytest
import scipy.linalg
import torch
from exact import (
    KINDS,
    Exact,
    LinearGaussian,
    check_codes,
    elliptical_slice,
    errors,
    gen,
    incomplete,
    make,
    quadrature,
)

from vaefill.errors import InputError
from vaefill.inference.convergence import flagged
from vaefill.inference.gibbs import metropolis_within_gibbs, pseudo_gibbs

CHAINS = [pseudo_gibbs, metropolis_within_gibbs]


def linear_gaussian(model, n):
    x, observed = model.incomplete(n)
    mean, covariance = model.exact(x, observed)
    variance = torch.einsum("ip,nij,jp->np", model.weights, covariance, model.weights)
    return x, observed, Exact(mean @ model.weights, variance, mean), covariance


@pytest.mark.parametrize("method", CHAINS)
def test_mean_of_a_linear_gaussian(method):
    # The encoder is exact, so that pseudo-Gibbs is unbiased for the mean.
    model = LinearGaussian()
    x, observed, exact, _ = linear_gaussian(model, 30)
    inferred = method(model, x, observed, generator=gen(), n_chains=10, n_iterations=800)
    assert not flagged(inferred.diagnostics).any()
    assert inferred.diagnostics["ess"].min() > 100
    error = errors(inferred, exact)
    assert error.abs().max() < 5
    assert 0.4 < error.square().mean().sqrt() < 1.3
    check_codes(inferred, exact, model)


def test_spread_of_pseudo_gibbs_is_that_of_means_without_noise():
    # z' = mu(x_o, W_m z) + noise of covariance S: P = B P B' + S, less than the posterior's.
    model = LinearGaussian()
    x, observed, _, covariance = linear_gaussian(model, 6)
    inferred = pseudo_gibbs(model, x, observed, generator=gen(), n_chains=80, n_draws=16_000)
    pull = model.encoder(torch.eye(6, dtype=x.dtype))[0]  # of each pixel on the code
    noise = torch.diag(model.encoder(x[:1])[1][0].exp())
    for image in range(6):
        own = pull.T @ (model.weights * ~observed[image]).T
        expected = scipy.linalg.solve_discrete_lyapunov(own.numpy(), noise.numpy())
        spread = torch.cov(inferred.codes[:, image].T)
        scale = torch.from_numpy(expected).diagonal().sqrt()
        assert ((spread - torch.from_numpy(expected)) / scale / scale[:, None]).abs().max() < 0.12
        assert (torch.linalg.eigvalsh(covariance[image] - torch.from_numpy(expected)) > -1e-9).all()


def test_spread_of_metropolis_is_the_posteriors_for_a_wrong_encoder():
    model = LinearGaussian(widened=0.7)
    x, observed, exact, covariance = linear_gaussian(model, 6)
    inferred = metropolis_within_gibbs(
        model, x, observed, generator=gen(), n_chains=80, n_draws=16_000
    )
    assert errors(inferred, exact).abs().max() < 5
    for image in range(6):
        spread = torch.cov(inferred.codes[:, image].T)
        scale = covariance[image].diagonal().sqrt()
        assert ((spread - covariance[image]) / scale / scale[:, None]).abs().max() < 0.15


@pytest.mark.parametrize("kind", KINDS)
def test_metropolis_against_integration(kind):
    vae, (x, observed) = make(kind), incomplete(6)
    exact = quadrature(vae, x, observed)
    inferred = metropolis_within_gibbs(vae, x, observed, generator=gen(), n_chains=30)
    assert inferred.diagnostics["ess"].min() > 80
    assert errors(inferred, exact).abs().max() < 5
    check_codes(inferred, exact, vae)
    # The chain without the correction is elsewhere.
    pseudo = pseudo_gibbs(vae, x, observed, generator=gen(), n_chains=8)
    assert errors(pseudo, exact).abs().max() > 10


@pytest.mark.parametrize("kind", ["gauss", "t", "multivariate"])
def test_metropolis_against_elliptical_slice_sampling(kind):
    vae, (x, observed) = make(kind, latent=3), incomplete(3)
    mean, error = elliptical_slice(vae, x, observed)
    inferred = metropolis_within_gibbs(vae, x, observed, generator=gen(), n_chains=60)
    allowed = (error.square() + 0.25 / inferred.diagnostics["ess"].unsqueeze(-1)).sqrt()
    assert ((inferred.mean - mean).abs() < 4 * allowed).all()
    assert (inferred.mean - mean).abs().mean() < 0.02


def test_an_encoder_that_is_the_prior_accepts_by_the_likelihood_alone():
    # All proposals come from the prior: acceptance is E min(1, p(x_o|z') / p(x_o|z)).
    vae, (x, observed) = make(latent=2), incomplete(6)
    with torch.no_grad():
        for parameter in vae.encoder.layers[-1].parameters():
            parameter.zero_()
    inferred = metropolis_within_gibbs(vae, x, observed, generator=gen(), n_chains=40)
    z = torch.randn(2, 3000, 1, 2, generator=gen(), dtype=x.dtype)
    with torch.no_grad():
        height = vae.likelihood(z).log_prob(x, observed)
    weights = height[0].softmax(0)  # so that the first are from the posterior
    ratio = (height[1][:, None] - height[0][None]).exp().clamp(max=1)
    expected = (ratio.mean(0) * weights).sum(0)
    torch.testing.assert_close(inferred.diagnostics["acceptance"], expected, rtol=0.1, atol=0)
    exact = quadrature(vae, x, observed)
    assert errors(inferred, exact).abs().max() < 5


@pytest.mark.parametrize("method", CHAINS)
def test_codes_are_thinned_states(method):
    vae, (x, observed) = make(), incomplete(3)
    options = {"n_iterations": 10, "n_chains": 2, "n_warmup": 3}
    whole = method(vae, x, observed, generator=gen(), n_draws=20, **options)
    torch.testing.assert_close(vae.likelihood(whole.codes).mean.mean(0), whole.mean)
    part = method(vae, x, observed, generator=gen(), n_draws=10, **options)
    # Of every second state of each chain, each once.
    same = (part.codes[:, None] == whole.codes).all(-1)
    assert (same.any(1).sum(0) == 10).all()
    half = method(vae, x, observed, generator=gen(), n_draws=2, **options)
    chains = method(vae, x, observed, generator=gen(), n_draws=2, **options | {"n_chains": 1})
    assert half.codes.shape == chains.codes.shape == (2, 3, 2)


@pytest.mark.parametrize("method", CHAINS)
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_chains": 0}, "n_chains = 0: must be at least 1"),
        ({"n_warmup": -1}, "n_warmup = -1: must be at least 0"),
        ({"n_iterations": 3}, "n_iterations = 3: must be at least 4"),
        ({"n_draws": 801}, r"n_draws = 801: must be at most .* = 800; raise n_iterations"),
    ],
)
def test_bad_settings_are_named(method, settings, message):
    x, observed = incomplete(2)
    with pytest.raises(InputError, match=message):
        method(make(), x, observed, generator=gen(), **settings)


@pytest.mark.parametrize("epsilon", [0.0, 1.0])
def test_both_proposals_have_a_share(epsilon):
    x, observed = incomplete(2)
    with pytest.raises(InputError, match=r"epsilon = .*: must lie strictly between 0 and 1"):
        metropolis_within_gibbs(make(), x, observed, generator=gen(), epsilon=epsilon)
