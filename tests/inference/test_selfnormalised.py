"""Against closed forms, integration, and elliptical slice sampling."""

import pytest
import torch
from exact import (
    F64,
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
from vaefill.inference import selfnormalised
from vaefill.inference.convergence import pareto_k, weight_ess
from vaefill.inference.methods import METHODS
from vaefill.inference.mixtures import Mixture, Shared
from vaefill.inference.selfnormalised import importance, weigh, weighted
from vaefill.models import VAE

WEIGHTED = ["importance", "laplace", "refit"]


@pytest.mark.parametrize("method", WEIGHTED)
def test_linear_gaussian_in_closed_form(method):
    model = LinearGaussian()
    x, observed = model.incomplete(30)
    mean, covariance = model.exact(x, observed)
    variance = torch.einsum("ip,nij,jp->np", model.weights, covariance, model.weights)
    exact = Exact(mean @ model.weights, variance, mean)
    inferred = METHODS[VAE][method](model, x, observed, generator=gen(), n_draws=400)
    assert inferred.diagnostics["ess"].min() > 25
    error = errors(inferred, exact)
    assert error.abs().max() < 5
    assert 0.5 < error.square().mean().sqrt() < 1.5
    check_codes(inferred, exact, model)
    spread = inferred.codes.var(0)
    torch.testing.assert_close(
        spread.mean(0), covariance.diagonal(dim1=1, dim2=2).mean(0), rtol=0.15, atol=0
    )


@pytest.mark.parametrize("method", WEIGHTED)
@pytest.mark.parametrize("kind", KINDS)
def test_two_coordinates_against_integration(kind, method):
    vae, (x, observed) = make(kind), incomplete(6)
    exact = quadrature(vae, x, observed)
    inferred = METHODS[VAE][method](vae, x, observed, generator=gen(), n_proposals=2000)
    assert inferred.diagnostics["ess"].min() > 100
    assert errors(inferred, exact).abs().max() < 5
    check_codes(inferred, exact, vae)
    # Another method is told apart: the bias of a single pass is many of these errors.
    biased = inferred._replace(mean=vae.likelihood(vae.encoder(x)[0]).mean)
    assert errors(biased, exact).abs().max() > 15


@pytest.mark.parametrize("kind", ["gauss", "t", "multivariate"])
def test_three_coordinates_against_elliptical_slice_sampling(kind):
    vae, (x, observed) = make(kind, latent=3), incomplete(3)
    mean, error = elliptical_slice(vae, x, observed)
    for method in WEIGHTED:
        inferred = METHODS[VAE][method](vae, x, observed, generator=gen(), n_proposals=8000)
        own = (inferred.mean - mean).abs()
        # The variance of a pixel's mean is at most 1 / 4.
        allowed = (error.square() + 0.25 / inferred.diagnostics["ess"].unsqueeze(-1)).sqrt()
        assert (own < 4 * allowed).all()
        assert own.mean() < 0.02


def test_one_image_by_hand():
    vae, (x, observed) = make(), incomplete(1)
    prior = Mixture([Shared(vae.prior, 1)], torch.ones(1, 1))
    z = vae.prior.rsample(gen(), (50, 1))
    log_weights, mean = weighted(vae, x, observed, z, prior)
    likelihood = vae.likelihood(z[:, 0])
    pixels = x * likelihood.mean.log() + (1 - x) * (1 - likelihood.mean).log()
    expected = pixels[:, observed[0]].sum(-1)
    torch.testing.assert_close(log_weights[:, 0], expected.detach())
    weights = expected.exp() / expected.exp().sum()
    torch.testing.assert_close(mean[0], (weights[:, None] * likelihood.mean).sum(0))


def test_chunks_do_not_matter(monkeypatch):
    vae, (x, observed) = make(), incomplete(7)
    whole = importance(vae, x, observed, generator=gen(), n_proposals=60)
    monkeypatch.setitem(selfnormalised.CHUNK, "cpu", 60 * 12 * 3)
    parts = importance(vae, x, observed, generator=gen(), n_proposals=60)
    torch.testing.assert_close(parts, whole)


def test_codes_are_drawn_as_often_as_they_weigh():
    vae, (x, observed) = make(), incomplete(5)
    mixture = Mixture([Shared(vae.prior, 5)], torch.ones(1, 5))
    n = 500
    inferred = weigh(vae, x, observed, mixture, generator=gen(), n_draws=n, n_proposals=40)
    z = mixture.sample(gen(), 40)  # the same, from the same generator
    log_weights, _ = weighted(vae, x, observed, z, mixture)
    count = (inferred.codes[:, None] == z).all(-1).sum(0)
    assert ((count - n * log_weights.softmax(0)).abs() < 1).all()
    torch.testing.assert_close(inferred.diagnostics["ess"], weight_ess(log_weights))
    torch.testing.assert_close(inferred.diagnostics["pareto_k"], pareto_k(log_weights))
    # Not in the order of the proposals: the first half of the codes stands for all.
    half = (inferred.codes[: n // 2, None] == z).all(-1).sum(0)
    assert ((half - count / 2).abs() < 5 * (count / 4).sqrt() + 1).all()


@pytest.mark.filterwarnings("ignore:df = 0.25")
def test_draws_far_out_in_the_tail_are_weighed():
    vae = make("t").float()
    vae.family.keywords["df"] = 0.25
    x, observed = incomplete(20)
    inferred = importance(vae, x.float(), observed, generator=gen(), n_proposals=500)
    assert all(part.isfinite().all() for part in (inferred.mean, inferred.diagnostics["ess"]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_proposals": 0}, "n_proposals = 0: must be at least 1"),
        ({"defensive": 0.0}, "defensive = 0.0: must lie strictly between 0 and 1"),
        ({"defensive": 1.0}, "defensive = 1.0: must lie strictly between 0 and 1"),
    ],
)
@pytest.mark.parametrize("method", WEIGHTED)
def test_bad_settings_are_named(method, settings, message):
    x, observed = incomplete(2)
    with pytest.raises(InputError, match=message):
        METHODS[VAE][method](make(), x, observed, generator=gen(), **settings)


def test_the_prior_guards_against_an_encoder_that_is_far_off():
    vae, (x, observed) = make(), incomplete(6)
    exact = quadrature(vae, x, observed)
    with torch.no_grad():
        vae.encoder.layers[-1].bias += torch.tensor([9.0, -9.0, -2.0, -2.0], dtype=F64)
    inferred = importance(vae, x, observed, generator=gen(), n_proposals=20_000)
    assert errors(inferred, exact).abs().max() < 5
