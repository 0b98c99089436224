"""Expectation-maximisation against a target known in closed form, and a step by hand."""

import torch
from exact import F64, gen

from vaefill.inference.adaptive import FLOOR, STIFFNESS, adapt
from vaefill.inference.convergence import weight_ess
from vaefill.inference.mixtures import FullT, Mixture
from vaefill.models.distributions import Normal

PRIOR = Normal(torch.zeros(2, dtype=F64), torch.zeros(2, dtype=F64))


def start(n: int, *places: tuple[float, float]) -> Mixture:
    unit = torch.eye(2, dtype=F64).expand(n, 2, 2)
    laws = [FullT(torch.tensor(place, dtype=F64).expand(n, 2), unit, 5.0) for place in places]
    shares = torch.full((len(laws), n), 1 / len(laws), dtype=F64)
    return Mixture.defended(laws, shares, PRIOR, 0.1)


def test_learns_a_target_that_it_missed():
    # A t of another place and shape, so that the mixture can become it but for the prior's share.
    factor = torch.linalg.inv(torch.tensor([[0.3, 0.0], [0.4, 0.2]], dtype=F64)).mT
    factor = torch.linalg.cholesky(factor @ factor.mT)
    target = FullT(torch.tensor([[1.5, -1.0]], dtype=F64), factor[None], 5.0)
    mixture, generator = start(1, (0.0, 0.0)), gen()
    ess = []
    for _ in range(8):
        z = mixture.sample(generator, 4000)
        log_weights = target.log_prob(z) - mixture.log_prob(z)
        ess.append(weight_ess(log_weights).item() / 4000)
        mixture = adapt(mixture, z, log_weights + 123.0)  # known up to a constant
    law = mixture.components[0]
    assert ess[0] < 0.2
    assert ess[-1] > 0.85
    torch.testing.assert_close(law.mu, target.mu, rtol=0, atol=0.03)
    scale, expected = torch.cholesky_inverse(law.factor), torch.cholesky_inverse(target.factor)
    torch.testing.assert_close(scale, expected, rtol=0.15, atol=0.01)


def test_shares_follow_the_mass():
    # Two bumps of 3 : 1 where the components are.
    mixture = start(1, (-4.0, 0.0), (4.0, 0.0))
    left, right = mixture.components[:2]
    z = mixture.sample(gen(), 20_000)
    target = torch.logaddexp(left.log_prob(z) + torch.tensor(3.0).log(), right.log_prob(z))
    adapted = adapt(mixture, z, target - mixture.log_prob(z))
    share = 0.9 * ((1 - FLOOR) * 0.75 + FLOOR / 2)
    torch.testing.assert_close(adapted.shares[0].item(), share, rtol=0, atol=0.01)
    torch.testing.assert_close(adapted.shares[-1], mixture.shares[-1])
    torch.testing.assert_close(adapted.shares.sum(0), torch.ones(1, dtype=F64))
    assert adapted.components[-1] is mixture.components[-1]


def test_one_step_by_hand():
    mixture = start(2, (0.5, 0.0))
    z = torch.randn(6, 2, 2, generator=gen(), dtype=F64)
    log_weights = torch.randn(6, 2, generator=gen(2), dtype=F64) * 0.1  # none is truncated
    adapted = adapt(mixture, z, log_weights).components[0]
    law = mixture.components[0]
    for image in range(2):
        w = torch.softmax(log_weights[:, image], 0)
        assert w.max() < 6**-0.5
        density, total = law.log_prob(z).exp()[:, image], mixture.log_prob(z).exp()[:, image]
        w = w * 0.9 * density / total
        u = 7 / (5 + (z[:, image] - law.mu[image]).square().sum(-1))
        mu = (w * u) @ z[:, image] / (w * u).sum()
        spread = z[:, image] - mu
        scatter = (spread.T * w * u) @ spread / w.sum()
        count = w.sum() ** 2 / w.square().sum()
        kept = 2 * STIFFNESS
        scale = (count * scatter + kept * torch.eye(2, dtype=F64)) / (count + kept)
        torch.testing.assert_close(adapted.mu[image], mu)
        torch.testing.assert_close(torch.cholesky_inverse(adapted.factor)[image], scale)


def test_one_draw_does_not_take_it_all():
    mixture = start(1, (0.0, 0.0))
    z = mixture.sample(gen(), 100)
    log_weights = torch.zeros(100, 1, dtype=F64)
    log_weights[0] = 1e4
    law = adapt(mixture, z, log_weights).components[0]
    assert law.mu.isfinite().all()
    assert torch.linalg.eigvalsh(torch.cholesky_inverse(law.factor)).min() > 0.1
