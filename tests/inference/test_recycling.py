"""Rounds by hand, and estimates from them against closed forms."""

import math

import pytest
import torch
from exact import LinearGaussian, errors, gen, incomplete, make

from vaefill.inference.adaptive import adapt
from vaefill.inference.convergence import pareto_k, weight_ess
from vaefill.inference.laplace import laplace_mixture
from vaefill.inference.mixtures import FullT, Mixture
from vaefill.inference.modes import find_modes
from vaefill.inference.recycling import weigh_rounds
from vaefill.inference.selfnormalised import weigh, weighted
from vaefill.inference.target import log_joint


def around_modes(model, x, observed, defensive: float = 0.1, n_starts: int = 2) -> Mixture:
    modes = find_modes(model, x, observed, n_starts=n_starts)
    laws, shares = laplace_mixture(modes, 5.0)
    return Mixture.defended(laws, shares, model.prior, defensive)


def off(mixture: Mixture, far: float) -> Mixture:
    """The same a few standard deviations away, and four times as wide as it should be."""
    *laws, rest = mixture.components
    moved = [FullT(law.mu + far, law.factor / 2, law.df) for law in laws]
    return Mixture([*moved, rest], mixture.shares)


def test_one_round_is_plain_importance_sampling():
    vae, (x, observed) = make(), incomplete(7)
    given = (vae, x, observed, around_modes(vae, x, observed))
    once = weigh_rounds(*given, generator=gen(), n_draws=30, n_proposals=60, n_rounds=1)
    plain = weigh(*given, generator=gen(), n_draws=30, n_proposals=60)
    torch.testing.assert_close(once, plain)


def test_two_rounds_by_hand():
    vae, (x, observed) = make(), incomplete(5)
    first = around_modes(vae, x, observed)
    found = weigh_rounds(
        vae, x, observed, first, generator=gen(), n_draws=20, n_proposals=61, n_rounds=2
    )
    generator = gen()
    early = first.sample(generator, 30)
    second = adapt(first, early, weighted(vae, x, observed, early, first)[0])
    z = torch.cat([early, second.sample(generator, 31)])
    likelihood = vae.likelihood(z)
    proposal = (30 * first.log_prob(z).exp() + 31 * second.log_prob(z).exp()) / 61
    log_weights = log_joint(likelihood, vae.prior, z, x, observed) - proposal.log()
    mean = (log_weights.softmax(0).unsqueeze(-1) * likelihood.mean).sum(0)
    torch.testing.assert_close(found.mean, mean)
    torch.testing.assert_close(found.diagnostics["ess"], weight_ess(log_weights))
    torch.testing.assert_close(found.diagnostics["pareto_k"], pareto_k(log_weights))


@pytest.mark.parametrize("far", [0.0, 1.5])
def test_no_bias_is_left_of_learning_from_draws_that_count(far):
    # One image many times: the errors of its estimates average out, but for a bias.
    model, n = LinearGaussian(), 300
    x, observed = (part[:1].expand(n, -1) for part in model.incomplete(1))
    exact, _ = model.exact(x, observed)
    mixture = off(around_modes(model, x, observed, n_starts=1), far)
    found = weigh_rounds(
        model, x, observed, mixture, generator=gen(), n_draws=1, n_proposals=200, n_rounds=5
    )
    error = errors(found, exact)
    assert (error.mean(0) * math.sqrt(n)).abs().max() < 4
    # As many effective draws as the weights say, and no fewer.
    assert 0.7 < error.square().mean().sqrt() < 1.2


def test_rounds_make_good_what_the_first_proposal_lacks():
    model = LinearGaussian()
    x, observed = model.incomplete(40)
    mixture = off(around_modes(model, x, observed, defensive=0.02, n_starts=1), 1.5)
    given = {"n_draws": 1, "n_proposals": 400}
    once, rounds = (
        weigh_rounds(model, x, observed, mixture, generator=gen(), n_rounds=n, **given).diagnostics
        for n in (1, 8)
    )
    assert rounds["ess"].mean() > 3 * once["ess"].mean()
    assert (rounds["pareto_k"] < 0.5).double().mean() > 0.9


def test_a_round_has_a_draw():
    vae, (x, observed) = make(), incomplete(3)
    mixture = around_modes(vae, x, observed)
    found = weigh_rounds(
        vae, x, observed, mixture, generator=gen(), n_draws=5, n_proposals=3, n_rounds=8
    )
    assert found.mean.isfinite().all()
    assert (found.diagnostics["ess"] <= 3 + 1e-9).all()
