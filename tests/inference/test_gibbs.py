"""What the chains do beside being exact; `test_exact_methods` holds them to exact means."""

import pytest
import scipy.linalg
import torch
from exact import LinearGaussian, errors, gen, incomplete, make, quadrature

from vaefill.inference.gibbs import metropolis_within_gibbs, pseudo_gibbs

CHAINS = [pseudo_gibbs, metropolis_within_gibbs]


def check_spread(codes, expected, tolerance):
    """Hold that the covariance of an image's codes is this, in units of the variances."""
    scale = expected.diagonal().sqrt()
    assert ((torch.cov(codes.T) - expected) / scale / scale[:, None]).abs().max() < tolerance


def test_spread_of_pseudo_gibbs_is_that_of_means_without_noise():
    # z' = mu(x_o, W_m z) + noise of covariance S: P = B P B' + S, less than the posterior's.
    model = LinearGaussian()
    x, observed = model.incomplete(6)
    _, covariance = model.exact(x, observed)
    inferred = pseudo_gibbs(model, x, observed, generator=gen(), n_chains=80, n_draws=16_000)
    pull = model.encoder(torch.eye(6, dtype=x.dtype))[0]  # of each pixel on the code
    noise = torch.diag(model.encoder(x[:1])[1][0].exp())
    for image in range(6):
        own = pull.T @ (model.weights * ~observed[image]).T
        expected = scipy.linalg.solve_discrete_lyapunov(own.numpy(), noise.numpy())
        expected = torch.from_numpy(expected)
        check_spread(inferred.codes[:, image], expected, 0.12)
        assert (torch.linalg.eigvalsh(covariance[image] - expected) > -1e-9).all()


def test_spread_of_metropolis_is_the_posteriors_for_a_wrong_encoder():
    model = LinearGaussian(widened=0.7)
    x, observed = model.incomplete(6)
    exact, covariance = model.exact(x, observed)
    inferred = metropolis_within_gibbs(
        model, x, observed, generator=gen(), n_chains=80, n_draws=16_000
    )
    assert errors(inferred, exact).abs().max() < 5
    for image in range(6):
        check_spread(inferred.codes[:, image], covariance[image], 0.15)


def test_an_encoder_that_is_the_prior_accepts_by_the_likelihood_alone():
    # All proposals come from the prior: acceptance is E min(1, p(x_o|z') / p(x_o|z)).
    vae, (x, observed) = make(latent=2), incomplete(6)
    with torch.no_grad():
        for parameter in vae.encoder.layers[-1].parameters():
            parameter.zero_()
    inferred = metropolis_within_gibbs(vae, x, observed, generator=gen(), n_chains=40)
    z = torch.randn(2, 2000, 1, 2, generator=gen(), dtype=x.dtype)
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
