"""The methods that are exact in the limit, against closed forms and integration."""

import functools

import pytest
import torch
from exact import KINDS, LinearGaussian, check_codes, errors, gen, incomplete, make, quadrature

from vaefill.errors import InputError
from vaefill.inference import METHODS, flagged
from vaefill.models import VAE

CHAINS = ("pseudo_gibbs", "metropolis_within_gibbs")
WEIGHTED = ("importance", "laplace", "refit")
CASES = [*((kind, 2) for kind in KINDS), ("gauss", 3), ("t", 3), ("multivariate", 3)]


def run(method: str, *arguments, **settings):
    return METHODS[VAE][method](*arguments, generator=gen(), **settings)


@pytest.mark.parametrize("method", [*CHAINS, *WEIGHTED])
def test_linear_gaussian_in_closed_form(method):
    # The encoder is exact, so that pseudo-Gibbs is unbiased for the mean.
    model = LinearGaussian()
    x, observed = model.incomplete(30)
    exact, covariance = model.exact(x, observed)
    settings = {"n_chains": 10, "n_iterations": 800} if method in CHAINS else {"n_draws": 400}
    inferred = run(method, model, x, observed, **settings)
    assert inferred.diagnostics["ess"].min() > (100 if method in CHAINS else 25)
    error = errors(inferred, exact)
    assert error.abs().max() < 5
    assert 0.4 < error.square().mean().sqrt() < (1.3 if method in CHAINS else 1.5)
    check_codes(inferred, exact, model)
    if method in CHAINS:
        assert not flagged(inferred.diagnostics).any()
    else:
        assert error.square().mean().sqrt() > 0.5
        spread = inferred.codes.var(0).mean(0)
        expected = covariance.diagonal(dim1=1, dim2=2).mean(0)
        torch.testing.assert_close(spread, expected, rtol=0.15, atol=0)


@functools.cache
def integrated(kind: str, latent: int):
    vae, (x, observed) = make(kind, latent), incomplete(6)
    x[0], observed[0] = 0, False
    x[1], observed[1] = torch.rand(12, generator=gen(4), dtype=x.dtype), True
    return vae, x, observed, quadrature(vae, x, observed)


@pytest.mark.parametrize("method", [*CHAINS[1:], *WEIGHTED])
@pytest.mark.parametrize(("kind", "latent"), CASES)
def test_against_integration(kind, latent, method):
    vae, x, observed, exact = integrated(kind, latent)
    settings = {"n_chains": 40} if method in CHAINS else {"n_proposals": 2000}
    inferred = run(method, vae, x, observed, **settings)
    assert inferred.diagnostics["ess"].min() > (80 if method in CHAINS else 100)
    assert errors(inferred, exact).abs().max() < 5
    check_codes(inferred, exact, vae)
    # Another method is told apart: the chain without its correction, and a single pass, whose
    # bias is many of these errors.
    if method in CHAINS:
        biased, far = run("pseudo_gibbs", vae, x, observed, n_chains=8), 10
    else:
        biased, far = inferred._replace(mean=vae.likelihood(vae.encoder(x)[0]).mean), 15
    assert errors(biased, exact).abs().max() > far


@pytest.mark.parametrize(("method", "times"), [("laplace", 1), ("refit", 2)])
def test_better_proposals_than_the_encoders(method, times):
    vae, (x, observed) = make(), incomplete(20)
    ess, plain = (run(m, vae, x, observed).diagnostics["ess"] for m in (method, "importance"))
    assert ess.mean() > times * plain.mean()
    assert method == "refit" or (ess > plain).all()


@pytest.mark.parametrize(
    ("methods", "settings", "message"),
    [
        (WEIGHTED, {"n_proposals": 0}, "n_proposals = 0: must be at least 1"),
        (WEIGHTED, {"defensive": 0.0}, "defensive = 0.0: must lie strictly between 0 and 1"),
        (WEIGHTED, {"defensive": 1.0}, "defensive = 1.0: must lie strictly between 0 and 1"),
        (WEIGHTED[2:], {"n_steps": -1}, "n_steps = -1: must be at least 0"),
        (CHAINS, {"n_chains": 0}, "n_chains = 0: must be at least 1"),
        (CHAINS, {"n_warmup": -1}, "n_warmup = -1: must be at least 0"),
        (CHAINS, {"n_iterations": 3}, "n_iterations = 3: must be at least 4"),
        (CHAINS, {"n_draws": 801}, r"n_draws = 801: must be at most .* = 800; raise n_iterations"),
        (CHAINS[1:], {"epsilon": 0.0}, "epsilon = 0.0: must lie strictly between 0 and 1"),
        (CHAINS[1:], {"epsilon": 1.0}, "epsilon = 1.0: must lie strictly between 0 and 1"),
        (("iterated",), {"n_iterations": -1}, "n_iterations = -1: must be at least 0"),
    ],
)
def test_bad_settings_are_named(methods, settings, message):
    for method in methods:
        with pytest.raises(InputError, match=message):
            run(method, make(), *incomplete(2), **settings)
