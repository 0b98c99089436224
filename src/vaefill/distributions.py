r"""Distributions of the latent code and of the pixels.

`Normal` and `StudentT` are location-scale families over the latent coordinates: at ``mu = 0``,
``logvar = 0`` they are the prior p(z), at the encoder's outputs the posterior q(z|x). The
Student-t is the **product of univariate** t distributions, one per coordinate, not the
multivariate t, whose coordinates share one chi-square draw. `Bernoulli` is the likelihood.

All densities are in nats and summed over the last axis: one number per image.

References
----------
.. [1] R. W. Bailey, "Polar generation of random variates with the t-distribution",
   Mathematics of Computation 62 (1994), 779-781.
.. [2] D. P. Kingma, M. Welling, "Auto-encoding variational Bayes", 2014, Appendix B.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import softplus


class Latent(Protocol):
    """What the VAE needs of a distribution over codes."""

    def rsample(self, generator: torch.Generator, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw codes that are differentiable in the parameters."""
        ...

    def log_prob(self, z: Tensor) -> Tensor:
        """Log density of codes, summed over the coordinates."""
        ...


@dataclass(frozen=True)
class Normal:
    """Independent normal coordinates, N(mu, exp(logvar)).

    Parameters
    ----------
    mu : Tensor of shape (..., latent)
        Location.
    logvar : Tensor of shape (..., latent)
        Log of the variance.
    """

    mu: Tensor
    logvar: Tensor

    def rsample(self, generator: torch.Generator, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw z = mu + sigma eps with eps ~ N(0, 1), differentiable in mu and logvar.

        Parameters
        ----------
        generator : torch.Generator
            On the device of `mu`.
        sample_shape : sequence of int, default=()
            Leading axes of independent draws.

        Returns
        -------
        Tensor of shape (*sample_shape, ..., latent)
        """
        return _reparameterize(self.mu, self.logvar, math.inf, generator, sample_shape)

    def log_prob(self, z: Tensor) -> Tensor:
        """Log density at `z`, summed over the coordinates."""
        squared = (z - self.mu).square() * torch.exp(-self.logvar)
        return -0.5 * (squared + self.logvar + math.log(2 * math.pi)).sum(-1)


@dataclass(frozen=True)
class StudentT:
    """Independent Student-t coordinates: a product of univariate t distributions.

    Parameters
    ----------
    mu : Tensor of shape (..., latent)
        Location: the mean, where ``df > 1``.
    logvar : Tensor of shape (..., latent)
        Log of the squared scale. Not the variance, which is ``df / (df - 2) * exp(logvar)``
        and exists for ``df > 2`` only.
    df : float
        Degrees of freedom, above 0; ``inf`` is the normal distribution.
    """

    mu: Tensor
    logvar: Tensor
    df: float

    def rsample(self, generator: torch.Generator, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw z = mu + sigma eps with eps ~ t(df), differentiable in mu and logvar.

        A generator in the same state gives the draws of `Normal.rsample`, each moved outwards
        by the heavier tail: models that differ in the prior alone see the same randomness.

        Parameters
        ----------
        generator : torch.Generator
            On the device of `mu`.
        sample_shape : sequence of int, default=()
            Leading axes of independent draws.

        Returns
        -------
        Tensor of shape (*sample_shape, ..., latent)
        """
        return _reparameterize(self.mu, self.logvar, self.df, generator, sample_shape)

    def log_prob(self, z: Tensor) -> Tensor:
        """Log density at `z`, summed over the coordinates."""
        if math.isinf(self.df):
            return Normal(self.mu, self.logvar).log_prob(z)
        squared = (z - self.mu).square() * torch.exp(-self.logvar)
        log_normalizer = (
            math.lgamma((self.df + 1) / 2)
            - math.lgamma(self.df / 2)
            - 0.5 * math.log(self.df * math.pi)
        )
        tail = (self.df + 1) / 2 * torch.log1p(squared / self.df)
        return (log_normalizer - 0.5 * self.logvar - tail).sum(-1)


def kl(posterior: Latent, prior: Latent, z: Tensor) -> Tensor:
    r"""Kullback-Leibler divergence of `posterior` from `prior`, in nats per image.

    Between two normals it is the closed form of [2]_,
    :math:`\frac12\sum(\sigma_q^2/\sigma_p^2 + (\mu_q-\mu_p)^2/\sigma_p^2
    - \ln(\sigma_q^2/\sigma_p^2) - 1)`. Between t distributions it is estimated without bias by
    :math:`\ln q(z) - \ln p(z)` at the given draw, as the slides do;
    `vaefill.divergences.kl_student_t` is exact.

    Parameters
    ----------
    posterior, prior : Latent
        q and p.
    z : Tensor of shape (..., latent)
        Draw from `posterior`; the closed form does not use it.

    Returns
    -------
    Tensor of shape (...)
        The estimate can be negative, its mean cannot.
    """
    if isinstance(posterior, Normal) and isinstance(prior, Normal):
        logratio = posterior.logvar - prior.logvar
        shift = (posterior.mu - prior.mu).square() * torch.exp(-prior.logvar)
        return 0.5 * (torch.exp(logratio) + shift - logratio - 1).sum(-1)
    return posterior.log_prob(z) - prior.log_prob(z)


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

    def log_prob(self, x: Tensor) -> Tensor:
        """Sum over pixels of x ln p + (1 - x) ln (1 - p); `x` is data and gets no gradient."""
        value: Tensor = _CrossEntropy.apply(self.logits, x)  # type: ignore[no-untyped-call]
        return value


class _CrossEntropy(torch.autograd.Function):
    """x l - ln(1 + e^l) summed over pixels, for logits l; its gradient is x - mean.

    Written out because autograd would walk back through each factor: a tenth of a training
    step, for the same gradient.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(x - torch.sigmoid(logits))
        return (x * logits).sub_(softplus(logits)).sum(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (residual,) = ctx.saved_tensors
        return residual * grad.unsqueeze(-1), None


def _reparameterize(
    mu: Tensor, logvar: Tensor, df: float, generator: torch.Generator, sample_shape: Sequence[int]
) -> Tensor:
    shape = (*sample_shape, *mu.shape)
    return mu + torch.exp(0.5 * logvar) * polar_noise(df, shape, generator).to(mu.dtype)


def polar_noise(df: float, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    r"""Draw standard t variates by Bailey's polar method [1]_.

    :math:`\epsilon = \sqrt{\nu (U^{-2/\nu} - 1)} \cos 2 \pi V` with U, V uniform is t with
    :math:`\nu` degrees of freedom, for any real :math:`\nu > 0`; its limit for large
    :math:`\nu` is the Box-Muller transform.

    Parameters
    ----------
    df : float
        Degrees of freedom, above 0; ``inf`` gives standard normal variates.
    shape : sequence of int
        Shape of the result.
    generator : torch.Generator
        Source of the uniforms; the result lies on its device.

    Returns
    -------
    Tensor of float64
        The sine of the same angle would be t as well but not independent, so it is not used.
    """
    # float64, because the smallest uniform bounds the tail: 2^-53 reaches far beyond any sample.
    u, v = torch.rand(2, *shape, generator=generator, dtype=torch.float64, device=generator.device)
    log_u = torch.log1p(-u)  # of 1 - U, which is never 0
    squared_radius = -2 * log_u if math.isinf(df) else df * torch.expm1(-2 / df * log_u)
    return squared_radius.sqrt_() * torch.cos(2 * math.pi * v)
