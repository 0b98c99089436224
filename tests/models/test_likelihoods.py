import math

import mpmath
import numpy as np
import pytest
import scipy.integrate
import torch
from exact import F64, gen

from vaefill.models.likelihoods import Bernoulli, ContinuousBernoulli

# The mean changes formula at 0.5, the log normalizer at 1e-6.
SIZES = [1e-7, 1e-3, 0.2, 0.499, 0.501, 0.8, 2.0, 20.0, 80.0]
LOGITS = [0.0, *SIZES, *(-size for size in SIZES)]
BOTH = [Bernoulli, ContinuousBernoulli]


def test_bernoulli_is_torchs_cross_entropy():
    logits, x = torch.randn(5, 11, generator=gen(10)) * 6, torch.rand(5, 11, generator=gen(11))
    expected = -torch.nn.functional.binary_cross_entropy_with_logits(
        logits.double(), x.double(), reduction="none"
    ).sum(-1)
    torch.testing.assert_close(Bernoulli(logits.double()).log_prob(x.double()), expected)
    torch.testing.assert_close(Bernoulli(logits).log_prob(x), expected.float(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("family", BOTH)
def test_gradient_is_the_numerical_one_and_the_residual(family):
    logits = (torch.randn(3, 7, generator=gen(12), dtype=F64) * 3).requires_grad_()
    x = torch.rand(3, 7, generator=gen(13), dtype=F64)
    assert torch.autograd.gradcheck(lambda a: family(a).log_prob(x), logits)
    (gradient,) = torch.autograd.grad(family(logits).log_prob(x).sum(), logits)
    torch.testing.assert_close(gradient, x - family(logits).mean.detach())


def test_bernoulli_by_hand():
    # Two pixels with p = 1/2 and p = 3/4; x = 1 and 0: ln 1/2 + ln 1/4 = -3 ln 2.
    value = Bernoulli(torch.tensor([0.0, math.log(3)])).log_prob(torch.tensor([1.0, 0.0]))
    assert value.item() == pytest.approx(-3 * math.log(2))


@pytest.mark.parametrize("logit", LOGITS)
def test_continuous_bernoulli_is_a_density_with_this_mean(logit):
    law = ContinuousBernoulli(torch.tensor([logit], dtype=F64))

    def density(x: float) -> float:
        return law.log_prob(torch.tensor([x], dtype=F64)).exp().item()

    options = {"epsabs": 1e-12, "epsrel": 1e-12, "limit": 200}
    total, _ = scipy.integrate.quad(density, 0, 1, **options)
    mean, _ = scipy.integrate.quad(lambda x: x * density(x), 0, 1, **options)
    assert total == pytest.approx(1, abs=1e-10)
    assert law.mean.item() == pytest.approx(mean, abs=1e-8)


def test_continuous_bernoulli_is_torchs_away_from_a_half():
    # Near 1/2 torch takes a Taylor series, and near 0 and 1 it clamps.
    logits = torch.tensor([x for x in LOGITS if 0.1 < abs(x) < 30], dtype=F64)[:, None]
    x = torch.rand(len(logits), 5, generator=gen(14), dtype=F64)
    expected = torch.distributions.ContinuousBernoulli(logits=logits)
    law = ContinuousBernoulli(logits.expand_as(x))
    torch.testing.assert_close(law.log_prob(x), expected.log_prob(x).sum(-1), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(law.mean[:, :1], expected.mean, rtol=0, atol=1e-8)


def test_continuous_bernoulli_by_hand():
    # At l = ln 3 the density is 3^x ln 3 / 2; at l = 0 it is uniform.
    law = ContinuousBernoulli(torch.tensor([math.log(3)], dtype=F64))
    for x in (0.0, 0.5, 1.0):
        expected = x * math.log(3) + math.log(math.log(3) / 2)
        assert law.log_prob(torch.tensor([x], dtype=F64)).item() == pytest.approx(expected)
    assert law.mean.item() == pytest.approx(1.5 - 1 / math.log(3))
    uniform = ContinuousBernoulli(torch.zeros(4))
    assert uniform.log_prob(torch.rand(4, generator=gen(15))).item() == pytest.approx(0, abs=1e-6)
    assert (uniform.mean == 0.5).all()


def test_continuous_bernoulli_is_the_bernoulli_times_its_constant():
    # The constant 2 artanh(1 - 2 lambda) / (1 - 2 lambda) of the original paper.
    logits = torch.tensor([-3.0, -0.4, 0.7, 5.0], dtype=F64)[:, None]
    x = torch.rand(4, 1, generator=gen(16), dtype=F64)
    odds = 1 - 2 * torch.sigmoid(logits)
    constant = torch.log(2 * torch.atanh(odds) / odds).squeeze(-1)
    difference = ContinuousBernoulli(logits).log_prob(x) - Bernoulli(logits).log_prob(x)
    torch.testing.assert_close(difference, constant)


FAR = [1e-8, 2e-6, 0.3, 10, 79.9, 80.1, 88, 90, 200, 710, 1e3, 1e4]
EXTREME = [s * x for s in (-1, 1) for x in SIZES + FAR]


def exact(family, logit: float) -> tuple[float, float, float]:
    """A, A' and A'' in 60 digits."""
    with mpmath.workdps(60):
        x = mpmath.mpf(logit)
        mean = 1 / (1 + mpmath.exp(-x))
        if family is Bernoulli:
            return tuple(map(float, (mpmath.log1p(mpmath.exp(x)), mean, mean * (1 - mean))))
        size = mpmath.log(mpmath.expm1(x) / x)
        variance = 1 / x**2 - 1 / (4 * mpmath.sinh(x / 2) ** 2)
        return tuple(map(float, (size, -1 / mpmath.expm1(-x) - 1 / x, variance)))


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("family", BOTH)
def test_value_gradient_and_curvature_to_the_ends_of_the_range(family, dtype):
    # Where an exponential overflows its gradient must not be 0 * inf: Laplace's method needs it.
    logits = torch.tensor(EXTREME, dtype=dtype)[:, None].requires_grad_()
    known = np.array([exact(family, logit) for logit in logits.flatten().tolist()])
    size, mean, curvature = known.T
    law, tiny = family(logits), torch.finfo(dtype).eps
    value = -law.log_prob(torch.zeros_like(logits))
    (first,) = torch.autograd.grad(value.sum(), logits)
    (second,) = torch.autograd.grad(law.mean.sum(), logits)
    np.testing.assert_allclose(value.detach(), size, rtol=8 * tiny, atol=max(8 * tiny, 5e-14))
    bright = family(logits.detach()).log_prob(torch.ones_like(logits))
    np.testing.assert_allclose(bright, np.array(EXTREME) - size, atol=4e4 * tiny)
    assert value.dtype == law.mean.dtype == dtype
    for found in (first, law.mean.detach()):
        np.testing.assert_allclose(found.flatten(), mean, rtol=1e-6, atol=tiny)
    # In float32 the curvature loses a digit near the places where the formulas change.
    well = np.isin(np.abs(EXTREME), FAR) | (dtype == F64)
    np.testing.assert_allclose(second.flatten()[well], curvature[well], rtol=2e-6, atol=tiny)


@pytest.mark.parametrize("family", BOTH)
def test_draws_share_their_image(family):
    logits, x = torch.randn(6, 3, 4, generator=gen(17)), torch.rand(3, 4, generator=gen(18))
    single = torch.stack([family(draw).log_prob(x) for draw in logits])
    torch.testing.assert_close(family(logits).log_prob(x.expand(6, 3, 4)), single)
    assert family(logits).mean.shape == (6, 3, 4)
