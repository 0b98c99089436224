r"""Distributions of the latent code.

`Normal`, `StudentT` and `MultivariateT` are location-scale families over the latent coordinates:
at ``mu = 0``, ``logvar = 0`` they are the prior p(z), at the encoder's outputs the posterior
q(z|x). `StudentT` is the **product of univariate** t distributions, one per coordinate; in
`MultivariateT` the coordinates share one chi-square draw.

All densities are in nats and of all coordinates together: one number per image.

References
----------
.. [1] R. W. Bailey, "Polar generation of random variates with the t-distribution",
   Mathematics of Computation 62 (1994), 779-781.
.. [2] S. Kotz, S. Nadarajah, "Multivariate t distributions and their applications", Cambridge
   University Press (2004), sections 1.1 and 1.11.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


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
        noise = polar_noise(math.inf, (*sample_shape, *self.mu.shape), generator)
        return _scale(self.mu, self.logvar, noise)

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
        noise = polar_noise(self.df, (*sample_shape, *self.mu.shape), generator)
        return _scale(self.mu, self.logvar, noise)

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


@dataclass(frozen=True)
class MultivariateT:
    r"""Multivariate Student-t: normal coordinates that share one chi-square draw [2]_.

    .. math:: \ln p(z) = \ln \Gamma(\tfrac{\nu + m}{2}) - \ln \Gamma(\tfrac{\nu}{2})
        - \tfrac m2 \ln (\nu \pi) - \sum_i \ln \sigma_i - \tfrac{\nu + m}{2} \ln \Big(1 +
        \tfrac1\nu \sum_i \tfrac{(z_i - \mu_i)^2}{\sigma_i^2}\Big)

    for :math:`m` coordinates. Each of them alone is t with the same `df`, but they are not
    independent: an outlier in one makes outliers in the others likely.

    Parameters
    ----------
    mu : Tensor of shape (..., latent)
        Location: the mean, where ``df > 1``.
    logvar : Tensor of shape (..., latent)
        Log of the squared scales; the scale matrix is diagonal.
    df : float
        Degrees of freedom, above 0; ``inf`` is the normal distribution.
    """

    mu: Tensor
    logvar: Tensor
    df: float

    def rsample(self, generator: torch.Generator, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw z = mu + sigma eps, differentiable in mu and logvar.

        A generator in the same state gives the signs of `Normal.rsample`, and its very draws at
        ``df = inf``.

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
        noise = joint_polar_noise(self.df, (*sample_shape, *self.mu.shape), generator)
        return _scale(self.mu, self.logvar, noise)

    def log_prob(self, z: Tensor) -> Tensor:
        """Joint log density at `z`, of all coordinates."""
        if math.isinf(self.df):
            return Normal(self.mu, self.logvar).log_prob(z)
        m = self.mu.shape[-1]
        squared = ((z - self.mu).square() * torch.exp(-self.logvar)).sum(-1)
        log_normalizer = (
            math.lgamma((self.df + m) / 2)
            - math.lgamma(self.df / 2)
            - m / 2 * math.log(self.df * math.pi)
        )
        tail = (self.df + m) / 2 * torch.log1p(squared / self.df)
        return log_normalizer - 0.5 * self.logvar.sum(-1) - tail


def _scale(mu: Tensor, logvar: Tensor, noise: Tensor) -> Tensor:
    return mu + torch.exp(0.5 * logvar) * noise.to(mu.dtype)


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
    squared_radius, cosine = _polar(df, shape, generator)
    return squared_radius.sqrt_() * cosine


def joint_polar_noise(df: float, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    r"""Draw standard multivariate t variates, coordinate by coordinate.

    Given :math:`z_1 \dots z_{k-1}`, coordinate :math:`k` of a multivariate t is t with
    :math:`\nu_k = \nu + k - 1` degrees of freedom and squared scale :math:`S_k / \nu_k`, where
    :math:`S_k = \nu + \sum_{i<k} z_i^2` [2]_. With [1]_ for each, U and V as there,

    .. math:: z_k = \sqrt{S_k f_k}, \qquad f_k = (U_k^{-2/\nu_k} - 1) \cos^2 2\pi V_k, \qquad
        S_{k+1} = S_k (1 + f_k)

    so that :math:`S` is a cumulative product, and no gamma variate is needed.

    Parameters
    ----------
    df : float
        Degrees of freedom, above 0; ``inf`` gives standard normal variates.
    shape : sequence of int
        Shape of the result; the coordinates of one variate lie along the last axis.
    generator : torch.Generator
        Source of the uniforms; the result lies on its device.

    Returns
    -------
    Tensor of float64
    """
    if math.isinf(df):
        return polar_noise(df, shape, generator)
    conditional_df = df + torch.arange(shape[-1], dtype=torch.float64, device=generator.device)
    squared_radius, cosine = _polar(conditional_df, shape, generator)
    # eps_k = sqrt(nu_k f_k) is the variate of coordinate k alone, before it is scaled.
    log_growth = torch.log1p(squared_radius * cosine.square() / conditional_df)
    log_total = math.log(df) + log_growth.cumsum(-1) - log_growth
    return torch.sqrt(squared_radius / conditional_df * torch.exp(log_total)) * cosine


def _polar(
    df: float | Tensor, shape: Sequence[int], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Squared radius and cosine of Bailey's method, from the same two uniforms for every `df`."""
    # float64, because the smallest uniform bounds the tail: 2^-53 reaches far beyond any sample.
    u, v = torch.rand(2, *shape, generator=generator, dtype=torch.float64, device=generator.device)
    log_u = torch.log1p(-u)  # of 1 - U, which is never 0
    infinite = isinstance(df, float) and math.isinf(df)
    squared_radius = -2 * log_u if infinite else df * torch.expm1(-2 / df * log_u)
    return squared_radius, torch.cos(2 * math.pi * v)
