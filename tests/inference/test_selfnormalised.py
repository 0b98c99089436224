"""Weights and draws by hand; `test_exact_methods` holds the estimates to exact ones."""

import pytest
import torch
from exact import F64, errors, gen, incomplete, make, quadrature

from vaefill.inference import selfnormalised
from vaefill.inference.convergence import pareto_k, weight_ess
from vaefill.inference.mixtures import Mixture, Shared
from vaefill.inference.selfnormalised import importance, weigh, weighted


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
    vae, (x, observed) = make("t", df=0.25).float(), incomplete(20)
    inferred = importance(vae, x.float(), observed, generator=gen(), n_proposals=500)
    assert all(part.isfinite().all() for part in (inferred.mean, inferred.diagnostics["ess"]))


def test_the_prior_guards_against_an_encoder_that_is_far_off():
    vae, (x, observed) = make(), incomplete(6)
    exact = quadrature(vae, x, observed)
    with torch.no_grad():
        vae.encoder.layers[-1].bias += torch.tensor([9.0, -9.0, -2.0, -2.0], dtype=F64)
    inferred = importance(vae, x, observed, generator=gen(), n_proposals=20_000)
    assert errors(inferred, exact).abs().max() < 5
