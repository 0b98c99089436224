r"""Factor models of tables: the control's truths, and the models that are held to them.

.. math:: z \sim p(z), \qquad x = f(z) + \sigma \epsilon, \quad \epsilon \sim N(0, I)

with p of one of the study's families, and f linear or bent by a hidden layer. A `FactorModel` is
a `vaefill.models.vae.VAE` with another likelihood: the library's own inference fills in what is
missing, by a truth as by a model that was learned.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from study.control.cases import MODELS
from vaefill.models.networks import linear, mlp
from vaefill.models.vae import VAE


@dataclass(frozen=True)
class Noise:
    r"""Independent normal cells of one variance, given by their natural parameters.

    .. math:: \ln p(x) = -\frac{(x - \mu)^2}{2 \sigma^2} - \tfrac12 \ln 2 \pi \sigma^2,
        \qquad l = \mu / \sigma^2

    Parameters
    ----------
    logits : Tensor of shape (..., columns)
        l above; the library's inference works with natural parameters under this name.
    logvar : Tensor of shape ()
        :math:`\ln \sigma^2`.
    """

    logits: Tensor
    logvar: Tensor

    @property
    def mean(self) -> Tensor:
        """Expected cells."""
        return self.logits * torch.exp(self.logvar)

    def log_prob(self, x: Tensor, where: Tensor | None = None) -> Tensor:
        """Log density in nats, summed over the cells, or over those that are True in `where`."""
        squared = (x - self.mean).square() * torch.exp(-self.logvar)
        values = -0.5 * (squared + self.logvar + math.log(2 * math.pi))
        return (values if where is None else values.where(where, 0)).sum(-1)


class Bent(nn.Module):
    """A linear map, and added to it one through a hidden layer of ReLUs, which begins as 0.

    Parameters
    ----------
    n_in, n_out : int
        Lengths of what comes in and goes out.
    hidden : int
        Units of the hidden layer; 0 leaves the map linear.
    generator : torch.Generator
        Source of the initial weights.
    """

    def __init__(self, n_in: int, n_out: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.straight = linear(n_in, n_out, generator)
        self.bend = mlp([n_in, hidden, n_out], generator) if hidden else None
        if self.bend:
            for parameter in self.bend[-1].parameters():
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Any:
        """Map (..., n_in) to (..., n_out)."""
        straight = self.straight(x)
        return straight + self.bend(x) if self.bend else straight


class BentEncoder(nn.Module):
    r"""x -> (mu, logvar) of q(z|x).

    Far out, the width of a posterior follows from the direction alone, as what is linear, or made
    of ReLUs, stretches a ray alike all along. So logvar is a map of
    :math:`x / \sqrt{1 + \lVert x \rVert^2 / p}`, which is bounded for all rows of p columns: the
    exponential of an unbounded one overflows in heavy tails.

    Parameters
    ----------
    columns, latent, hidden, generator
        See `FactorModel`.
    """

    def __init__(self, columns: int, latent: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.mu = Bent(columns, latent, hidden, generator)
        self.logvar = Bent(columns, latent, hidden, generator)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map rows (n, columns) to `mu` and `logvar`, both (n, latent)."""
        bounded = x / torch.sqrt(1 + x.square().mean(-1, keepdim=True))
        return self.mu(x), self.logvar(bounded)


class FactorModel(VAE):
    """A VAE of the rows of a table.

    Parameters
    ----------
    model : str
        A key of `study.control.cases.MODELS`.
    df : float
        Degrees of freedom of the t's, above 2: the codes of all models have a variance. It does
        not matter to the Gaussian.
    columns : int
        Length of a row.
    latent : int
        Number of latent coordinates.
    hidden : int
        Units of the hidden layer of encoder and decoder; 0 leaves both linear.
    generator : torch.Generator
        Source of the initial weights.
    """

    def __init__(
        self,
        model: str,
        *,
        df: float,
        columns: int,
        latent: int,
        hidden: int,
        generator: torch.Generator,
    ) -> None:
        gauss = model == "gauss"
        super().__init__(
            **MODELS[model], df=None if gauss else df, pixels=columns, hidden=[], latent=latent,
            generator=generator,
        )  # fmt: skip
        self.encoder: Any = BentEncoder(columns, latent, hidden, generator)
        self.decoder: Any = Bent(latent, columns, hidden, generator)
        self.logvar = nn.Parameter(torch.zeros(()))
        #: Of each coordinate of the prior: that of a t is df / (df - 2).
        self.code_variance = 1.0 if gauss or math.isinf(df) else df / (df - 2)

    def likelihood(self, z: Tensor) -> Any:
        """p(x|z) for codes of shape (..., latent)."""
        return Noise(self.decoder(z) * torch.exp(-self.logvar), self.logvar)

    @torch.no_grad()
    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n rows: (n, columns)."""
        mean: Tensor = self.decoder(self.prior.rsample(generator, (n,)))
        noise = torch.randn(mean.shape, generator=generator)
        return mean + torch.exp(0.5 * self.logvar) * noise
