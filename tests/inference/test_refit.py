"""The refitted q; `test_exact_methods` holds the estimates to exact ones."""

import copy

import pytest
import torch
from exact import KINDS, LinearGaussian, gen, incomplete, make

from vaefill.inference.iterated import fill
from vaefill.inference.refit import refitted
from vaefill.models.divergences import exact_kl


def test_linear_gaussian_reaches_the_best_factorised_normal():
    # Mean that of the posterior, precisions the diagonal of the posterior's.
    model = LinearGaussian(widened=1.3)
    x, observed = model.incomplete(20)
    exact, covariance = model.exact(x, observed)
    q = refitted(model, x, observed, generator=gen(), n_steps=600, lr=0.03, batch_draws=64)
    precision = torch.linalg.inv(covariance).diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(q.mu, exact.code, rtol=0, atol=0.02)
    torch.testing.assert_close(q.logvar, -precision.log(), rtol=0, atol=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_raises_the_bound(kind):
    vae, (x, observed) = make(kind), incomplete(10)

    def bound(q):
        z = q.rsample(gen(9), (4000,))
        fit = vae.likelihood(z).log_prob(x, observed).mean(0)
        return (fit - exact_kl(q, vae.prior)).detach()

    state = copy.deepcopy(vae.state_dict())
    before = bound(vae.posterior(fill(vae, x, observed)[0]))
    after = bound(refitted(vae, x, observed, generator=gen()))
    assert (after > before - 0.02).all()
    assert (after - before).mean() > 0.1
    longer = bound(refitted(vae, x, observed, generator=gen(), n_steps=300))
    assert (longer - after).abs().max() < 0.05
    # And leaves the model as it is.
    assert all(torch.equal(value, state[name]) for name, value in vae.state_dict().items())
    assert all(parameter.grad is None for parameter in vae.parameters())


def test_images_do_not_meet():
    vae, (x, observed) = make(), incomplete(6)
    x[3:], observed[3:] = x[:3], observed[:3]
    both = refitted(vae, x, observed, generator=gen(), n_steps=300, batch_draws=16)
    torch.testing.assert_close(both.mu[3:], both.mu[:3], rtol=0, atol=0.1)


def test_no_step_is_the_encoder():
    vae, (x, observed) = make(), incomplete(6)
    q = refitted(vae, x, observed, generator=gen(), n_steps=0)
    expected = vae.posterior(fill(vae, x, observed)[0])
    torch.testing.assert_close(q.mu, expected.mu)
    torch.testing.assert_close(q.logvar, expected.logvar)
