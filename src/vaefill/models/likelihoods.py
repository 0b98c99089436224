r"""Distributions of the pixels given the code.

Both are natural exponential families in the logits l that the decoder gives: ln p(x) = x l - A(l)
for pixels x in [0, 1], with mean A'(l). Log densities are in nats and summed over the pixels.

References
----------
.. [1] G. Loaiza-Ganem, J. P. Cunningham, "The continuous Bernoulli: fixing a pervasive error in
   variational autoencoders", NeurIPS 2019.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import softplus


class Likelihood(Protocol):
    """What the VAE needs of a distribution over pixels."""

    @property
    def mean(self) -> Tensor:
        """Expected pixel, in [0, 1]."""
        ...

    def log_prob(self, x: Tensor, where: Tensor | None = None) -> Tensor:
        """Log density of images, summed over pixels, or over those that are True in `where`."""
        ...


@dataclass(frozen=True)
class Bernoulli:
    """Independent Bernoulli pixels, given by their logits.

    On grey pixels in [0, 1] `log_prob` is the cross-entropy, which is not a normalised density:
    values are comparable between models on the same data, not with those of binary images.

    Parameters
    ----------
    logits : Tensor of shape (..., pixels)
        Log odds of a white pixel.
    """

    logits: Tensor

    @property
    def mean(self) -> Tensor:
        """Expected pixel, in [0, 1]."""
        return torch.sigmoid(self.logits)

    def log_prob(self, x: Tensor, where: Tensor | None = None) -> Tensor:
        """Sum over pixels of x ln p + (1 - x) ln (1 - p); `x` is data and gets no gradient.

        With `where`, a bool Tensor of the shape of `x`, over the pixels that are True in it
        alone; what `x` holds in the others does not matter.
        """
        value: Tensor = _NaturalLogProb.apply(  # type: ignore[no-untyped-call]
            self.logits, x, where, softplus, torch.sigmoid
        )
        return value


@dataclass(frozen=True)
class ContinuousBernoulli:
    r"""Independent continuous Bernoulli pixels [1]_, given by their logits.

    The Bernoulli's cross-entropy made a density on [0, 1]:

    .. math:: p(x) = e^{l x} \frac{l}{e^l - 1}, \qquad
        \mathbb E x = \frac{1}{1 - e^{-l}} - \frac1l

    Log densities are likelihoods of grey images, and their mean is not ``sigmoid(logits)``.

    Parameters
    ----------
    logits : Tensor of shape (..., pixels)
        The natural parameter l = ln(lambda / (1 - lambda)), with lambda as in [1]_.
    """

    logits: Tensor

    @property
    def mean(self) -> Tensor:
        """Expected pixel, in (0, 1)."""
        return _grey_mean(self.logits)

    def log_prob(self, x: Tensor, where: Tensor | None = None) -> Tensor:
        """Sum over pixels of the log density; `x` is data and gets no gradient.

        With `where`, a bool Tensor of the shape of `x`, over the pixels that are True in it
        alone; what `x` holds in the others does not matter.
        """
        value: Tensor = _NaturalLogProb.apply(  # type: ignore[no-untyped-call]
            self.logits, x, where, _grey_log_normalizer, _grey_mean
        )
        return value


def _grey_log_normalizer(logits: Tensor) -> Tensor:
    """ln((e^l - 1) / l), which is l / 2 plus an even function; softplus for grey pixels."""
    size = logits.abs().clamp(min=1e-6)  # at 0 the limit, to the last digit of float32
    return (logits + size) / 2 + torch.log(-torch.expm1(-size) / size)


def _grey_mean(logits: Tensor) -> Tensor:
    """1 / (1 - e^-l) - 1 / l, the derivative of the log normalizer."""
    # Near 0 the difference of two large numbers; its series is right to 1e-8 there.
    near = logits.abs() < 0.5
    far = torch.where(near, torch.ones_like(logits), logits)
    squared = logits.square()
    series = 0.5 + logits * (1 / 12 - squared * (1 / 720 - squared / 30240))
    # Beyond 80 the exponential is lost beside 1 / l, and soon infinite, with a gradient of nan.
    return torch.where(near, series, -1 / torch.expm1((-far).clamp(max=80)) - 1 / far)


class _NaturalLogProb(torch.autograd.Function):
    """x l - A(l) summed over pixels, for natural parameters l; its gradient is x - A'(l).

    A' is the mean. Written out because autograd would walk back through each factor: a tenth of
    a training step, for the same gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        x: Tensor,
        where: Tensor | None,
        log_normalizer: Callable[[Tensor], Tensor],
        mean: Callable[[Tensor], Tensor],
    ) -> Tensor:
        values = (x * logits).sub_(log_normalizer(logits))
        if ctx.needs_input_grad[0]:
            residual = x - mean(logits)
            ctx.save_for_backward(residual if where is None else residual.where(where, 0))
        return (values if where is None else values.where(where, 0)).sum(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        (residual,) = ctx.saved_tensors
        return residual * grad.unsqueeze(-1), None, None, None, None
