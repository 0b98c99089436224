"""Models whose posterior given observed pixels is known, and exact ways to compute it."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.stats
import torch
from torch import Tensor

from vaefill.inference.target import Inferred
from vaefill.models.distributions import MultivariateT, Normal, StudentT
from vaefill.models.vae import VAE

F64 = torch.float64
#: Every kind of latent, and a second likelihood.
KINDS = {
    "gauss": ("gauss", {}),
    "t": ("t", {"df": 3.0}),
    "multivariate": ("t", {"df": 3.0, "joint": "multivariate"}),
    "continuous": ("t", {"df": 21.0, "likelihood": "continuous_bernoulli"}),
}


def gen(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(kind: str = "gauss", latent: int = 2, pixels: int = 12, scale: float = 2.0) -> VAE:
    """A model of small images; fresh weights hardly use the code, so they are scaled up."""
    family, options = KINDS[kind]
    sizes = {"pixels": pixels, "hidden": [9, 7], "latent": latent}
    vae = VAE(family, **sizes, **options, generator=gen(0)).double()
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter *= scale
    return vae


def incomplete(n: int, pixels: int = 12) -> tuple[Tensor, Tensor]:
    """Grey images with zeros where pixels are missing, and which are observed: about half."""
    x = torch.rand(n, pixels, generator=gen(2), dtype=F64)
    observed = torch.rand(n, pixels, generator=gen(3)) < 0.5
    return x.where(observed, 0), observed


class Exact(NamedTuple):
    """Of p(z|x_o), per image: moments of the decoder's means and of the code."""

    mean: Tensor
    variance: Tensor
    code: Tensor


def quadrature(vae: VAE, x: Tensor, observed: Tensor, n: int = 300) -> Exact:
    """Integrate over a code of two coordinates by the midpoint rule.

    In coordinates that make the prior uniform on the unit square, so that it weighs nothing.
    """
    u = (np.arange(n) + 0.5) / n
    df = vae.architecture["df"]
    if isinstance(vae.prior, MultivariateT):
        radius, angle = np.sqrt(2 * scipy.stats.f(2, df).ppf(u)), 2 * np.pi * u[:, None]
        z = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)
    else:
        line = scipy.stats.norm.ppf(u) if df is None else scipy.stats.t(df).ppf(u)
        z = np.stack(np.meshgrid(line, line), -1)
    z = torch.from_numpy(z.reshape(-1, 2))
    with torch.no_grad():
        likelihood = vae.likelihood(z)
        weights = torch.stack(
            [likelihood.log_prob(*image) for image in zip(x, observed, strict=True)]
        )
    weights, means = weights.softmax(-1), likelihood.mean.detach()
    mean = weights @ means
    return Exact(mean, weights @ means.square() - mean.square(), weights @ z)


@torch.no_grad()
def elliptical_slice(
    vae: VAE, x: Tensor, observed: Tensor, n_chains: int = 300, n_warmup: int = 60, n: int = 40
) -> tuple[Tensor, Tensor]:
    """Sample p(z|x_o) without tuning or error: I. Murray, R. Adams, D. MacKay, AISTATS 2010.

    Given the precisions lambda, which a t is a mixture over, the prior is N(0, 1 / lambda); given
    the code they are gamma. Returns the mean of the decoder's means and its standard error, from
    the independent chains.
    """
    generator, prior = gen(7), vae.prior

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=F64)

    def precision(z: Tensor) -> Tensor:
        if isinstance(prior, Normal):
            return torch.ones_like(z[..., :1])
        m, squared = 1, z.square()
        if isinstance(prior, MultivariateT):
            m, squared = z.shape[-1], squared.sum(-1, keepdim=True)
        shape = torch.full_like(squared, (prior.df + m) / 2)
        return torch._standard_gamma(shape, generator=generator) * 2 / (prior.df + squared)

    assert isinstance(prior, Normal | StudentT | MultivariateT)
    z = prior.rsample(generator, (n_chains, len(x)))
    height = vae.likelihood(z).log_prob(x, observed)
    total = torch.zeros(n_chains, *x.shape, dtype=F64)
    for iteration in range(-n_warmup, n):
        other = torch.randn(z.shape, generator=generator, dtype=F64) * precision(z).rsqrt()
        level = height + uniform(n_chains, len(x)).log()
        angle = 2 * math.pi * uniform(n_chains, len(x))
        low, high = angle - 2 * math.pi, angle.clone()
        new, searching = z.clone(), torch.ones_like(height, dtype=torch.bool)
        while searching.any():
            point = z * angle.cos()[..., None] + other * angle.sin()[..., None]
            value = vae.likelihood(point).log_prob(x, observed)
            found = searching & (value > level)
            new[found], height[found] = point[found], value[found]
            searching &= ~found
            low = low.where(~searching | (angle > 0), angle)
            high = high.where(~searching | (angle <= 0), angle)
            angle = (low + (high - low) * uniform(n_chains, len(x))).where(searching, angle)
        z = new
        if iteration >= 0:
            total += vae.likelihood(z).mean
    return total.mean(0) / n, total.std(0) / n / n_chains**0.5


@dataclass
class Pixels:
    """x|z ~ N(mean, scale^2), given by its natural parameter, mean / scale^2."""

    logits: Tensor
    scale: float

    @property
    def mean(self) -> Tensor:
        return self.logits * self.scale**2

    def log_prob(self, x: Tensor, where: Tensor | None = None) -> Tensor:
        constant = math.log(self.scale) + 0.5 * math.log(2 * math.pi)
        values = -(0.5 * ((x - self.mean) / self.scale).square() + constant)
        return (values if where is None else values.where(where, 0)).sum(-1)


class LinearGaussian:
    """z ~ N(0, 1), x|z ~ N(z W, scale^2): the rows of W are orthogonal, so z|x factorises.

    Given some pixels alone it does not. The encoder is exact; `moved` or `widened` it is not.
    """

    def __init__(self, widened: float = 1.0, moved: float = 0.0) -> None:
        rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
        self.weights = torch.from_numpy(rotation[:2] * np.array([[2.0], [1.0]]))
        self.scale, self.widened, self.moved, self.family = 0.7, widened, moved, Normal
        self.prior = Normal(torch.zeros(2, dtype=F64), torch.zeros(2, dtype=F64))

    def encoder(self, x: Tensor) -> tuple[Tensor, Tensor]:
        precision = 1 + self.weights.square().sum(1) / self.scale**2
        mu = x @ self.weights.T / self.scale**2 / precision
        return mu + self.moved, (self.widened**2 / precision).log().expand_as(mu)

    def posterior(self, x: Tensor) -> Normal:
        return Normal(*self.encoder(x))

    def likelihood(self, z: Tensor) -> Pixels:
        return Pixels(z @ self.weights / self.scale**2, self.scale)

    def incomplete(self, n: int) -> tuple[Tensor, Tensor]:
        z = torch.randn(n, 2, generator=gen(4), dtype=F64)
        x = z @ self.weights + self.scale * torch.randn(n, 6, generator=gen(5), dtype=F64)
        observed = torch.rand(n, 6, generator=gen(6)) < 0.6
        return x.where(observed, 0), observed

    def exact(self, x: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and covariance of z|x_o."""
        known = self.weights * observed.unsqueeze(1)  # (n, 2, 6)
        precision = torch.eye(2, dtype=F64) + known @ known.mT / self.scale**2
        covariance = torch.linalg.inv(precision)
        return (covariance @ (known @ x.unsqueeze(-1))).squeeze(-1) / self.scale**2, covariance


def errors(inferred: Inferred, exact: Exact) -> Tensor:
    """Errors of the mean in standard errors, from the posterior's variance and the method's ess."""
    variance = exact.variance / inferred.diagnostics["ess"].unsqueeze(-1)
    return (inferred.mean - exact.mean) / variance.sqrt()


def check_codes(inferred: Inferred, exact: Exact, vae: VAE) -> None:
    """Hold that the draws alone give the mean, with the error of so many draws."""
    drawn = vae.likelihood(inferred.codes).mean.mean(0)
    effective = inferred.diagnostics["ess"].clamp(max=len(inferred.codes)).unsqueeze(-1)
    # Draws from weighted draws, so that both errors add up.
    assert ((drawn - exact.mean) / (2 * exact.variance / effective).sqrt()).abs().max() < 5
