"""The variational autoencoder.

One class serves every prior: `family` makes both the prior p(z), at mu = 0 and logvar = 0, and
the posterior q(z|x), at the encoder's outputs. Two models that are compared differ in that
argument and in nothing else.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from vaefill.errors import InputError
from vaefill.models.distributions import Latent, MultivariateT, Normal, StudentT
from vaefill.models.likelihoods import Bernoulli, ContinuousBernoulli, Likelihood
from vaefill.models.networks import INITS, Decoder, Encoder

Family = Callable[[Tensor, Tensor], Latent]


#: The t distribution over several coordinates, by its params key `joint`.
JOINTS: dict[str, Callable[..., Latent]] = {"product": StudentT, "multivariate": MultivariateT}
LIKELIHOODS: dict[str, Callable[[Tensor], Likelihood]] = {
    "bernoulli": Bernoulli,
    "continuous_bernoulli": ContinuousBernoulli,
}


def _gauss(df: float | None, joint: str | None) -> Family:
    for name, value in {"df": df, "joint": joint}.items():
        if value is not None:
            raise InputError(f"{name} = {value}: the Gaussian model has none; leave it out")
    return Normal


def _student(df: float | None, joint: str | None) -> Family:
    if df is None or math.isnan(df) or df <= 0:
        raise InputError(f"df = {df}: degrees of freedom are a number above 0")
    return partial(JOINTS[one_of("joint", joint or "product", JOINTS)], df=df)


FAMILIES: dict[str, Callable[[float | None, str | None], Family]] = {
    "gauss": _gauss,
    "t": _student,
}


def one_of(name: str, value: str, choices: Iterable[str]) -> str:
    """Return `value` if it is one of `choices`; refuse it by name otherwise."""
    if value not in choices:
        raise InputError(f"{name} = {value!r}: must be one of {', '.join(choices)}")
    return value


class VAE(nn.Module):
    """Encoder, decoder and the family that prior and posterior belong to.

    Parameters
    ----------
    family : {"gauss", "t"}
        Normal, or Student-t.
    df : float, optional
        Degrees of freedom of the t family, above 0; ``inf`` is the normal distribution. None
        for "gauss".
    joint : {"product", "multivariate"}, optional
        Whether the coordinates of the t family are independent, the default, or share one
        chi-square draw. None for "gauss".
    likelihood : {"bernoulli", "continuous_bernoulli"}
        Distribution of the pixels given the code.
    pixels : int, default=784
        Length of an image.
    hidden : sequence of int, default=(400, 128)
        Widths of the encoder's hidden layers; the decoder mirrors them.
    latent : int, default=10
        Number of latent coordinates.
    init : {"torch", "he", "xavier", "normal"}
        How weights begin, a key of `vaefill.models.networks.INITS`; no part of the architecture.
    generator : torch.Generator
        Source of the initial weights, on the CPU.

    Raises
    ------
    InputError
        When `family`, `joint`, `likelihood` or `init` is unknown, or `df` or `joint` does not fit
        `family`.

    Examples
    --------
    >>> vae = VAE("t", df=21, generator=torch.Generator().manual_seed(0))
    >>> x = torch.rand(5, 784)
    >>> vae.likelihood(vae.posterior(x).mu).mean.shape
    torch.Size([5, 784])
    """

    _origin: Tensor

    def __init__(
        self,
        family: str,
        *,
        df: float | None = None,
        joint: str | None = None,
        likelihood: str = "bernoulli",
        pixels: int = 784,
        hidden: Sequence[int] = (400, 128),
        latent: int = 10,
        init: str = "torch",
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.family = FAMILIES[one_of("family", family, FAMILIES)](df, joint)
        self._likelihood = LIKELIHOODS[one_of("likelihood", likelihood, LIKELIHOODS)]
        one_of("init", init, INITS)
        self.encoder = Encoder(pixels, hidden, latent, generator, init)
        self.decoder = Decoder(latent, hidden, pixels, generator, init)
        self.register_buffer("_origin", torch.zeros(latent), persistent=False)
        self.architecture = {
            "family": family,
            "df": df,
            "joint": joint,
            "likelihood": likelihood,
            "pixels": pixels,
            "hidden": list(hidden),
            "latent": latent,
        }

    @property
    def prior(self) -> Latent:
        """p(z): the family at location 0 and scale 1."""
        return self.family(self._origin, self._origin)

    def posterior(self, x: Tensor) -> Latent:
        """q(z|x) for images of shape (n, pixels)."""
        return self.family(*self.encoder(x))

    def likelihood(self, z: Tensor) -> Likelihood:
        """p(x|z) for codes of shape (..., latent)."""
        return self._likelihood(self.decoder(z))
