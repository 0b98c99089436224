"""Models whose posterior given observed pixels is known, and exact ways to compute it."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.stats
import torch
from torch import Tensor

from vaefill.inference.target import Inferred
from vaefill.models.distributions import MultivariateT, Normal
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


def make(kind: str = "gauss", latent: int = 2, scale: float = 2.0, **changes: Any) -> VAE:
    """A model of small images; fresh weights hardly use the code, so they are scaled up."""
    family, options = KINDS[kind]
    options = {"pixels": 12, "hidden": [9, 7], "latent": latent, **options, **changes}
    vae = VAE(family, **options, generator=gen(0)).double()
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


def quadrature(vae: VAE, x: Tensor, observed: Tensor) -> Exact:
    """Integrate over a code of up to three coordinates by the midpoint rule.

    In coordinates that make a product prior uniform on the unit cube, so that it weighs nothing.
    """
    df, latent = vae.architecture["df"], vae.architecture["latent"]
    law = scipy.stats.norm() if df is None else scipy.stats.t(df)
    n = (20_000, 300, 60)[latent - 1]
    z = np.meshgrid(*[law.ppf((np.arange(n) + 0.5) / n)] * latent)
    z = np.stack(z, -1).reshape(-1, latent)
    height = np.zeros(len(z))
    if isinstance(vae.prior, MultivariateT):
        joint = scipy.stats.multivariate_t(np.zeros(latent), df=df)
        height = joint.logpdf(z) - law.logpdf(z).sum(-1)
    z, height = torch.from_numpy(z), torch.from_numpy(height)
    with torch.no_grad():
        likelihood = vae.likelihood(z)
        means = likelihood.mean
        fit = [likelihood.log_prob(*image) for image in zip(x, observed, strict=True)]
    weights = (height + torch.stack(fit)).softmax(-1)
    mean = weights @ means
    return Exact(mean, weights @ means.square() - mean.square(), weights @ z)


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

    def exact(self, x: Tensor, observed: Tensor) -> tuple[Exact, Tensor]:
        """Moments given x_o, and the covariance of z|x_o."""
        known = self.weights * observed.unsqueeze(1)  # (n, 2, 6)
        precision = torch.eye(2, dtype=F64) + known @ known.mT / self.scale**2
        covariance = torch.linalg.inv(precision)
        code = (covariance @ (known @ x.unsqueeze(-1))).squeeze(-1) / self.scale**2
        variance = torch.einsum("ip,nij,jp->np", self.weights, covariance, self.weights)
        return Exact(code @ self.weights, variance, code), covariance


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
