r"""A VAE of the missing pixels given the observed ones.

The model of an incomplete image is conditional from the start [1]_ [2]_:

.. math:: p(x_m | x_o) = \int p(x_m | z, x_o) \, p(z | x_o) \, \mathrm d z

The encoder of :math:`p(z|x_o)` sees the observed pixels and where they are, and so does the
decoder. Training knows the whole image, and bounds the log-likelihood of what it hides:

.. math:: \ln p(x_m | x_o) \ge \mathbb E_{q(z|x)} \ln p(x_m | z, x_o)
    - \mathrm{KL}(q(z|x) \| p(z|x_o))

Prior and posterior are of one family, Gaussian or Student-t, as in `vaefill.models.vae`. The
divergence is exact for both. One estimated at the draw of the reconstruction is so noisy where
posterior and prior are both learned that the code of a t model dies: the encoder escapes the noise
by making q(z|x) equal to p(z|x_o).

An image is filled in by one code that knows nothing of what is hidden, the location
:math:`\mu(x_o)` of p(z|x_o), while the bound trains the decoder at codes of q(z|x), which does.
Training closes that gap by the hybrid objective of [1]_, with the single pass in place of a draw
of p(z|x_o):

.. math:: \tfrac12 \big( \mathbb E_{q(z|x)} \ln p(x_m | z, x_o)
    - \mathrm{KL}(q(z|x) \| p(z|x_o)) \big) + \tfrac12 \ln p(x_m | \mu(x_o), x_o)

References
----------
.. [1] K. Sohn, H. Lee, X. Yan, "Learning structured output representation using deep conditional
   generative models", NeurIPS 2015.
.. [2] O. Ivanov, M. Figurnov, D. Vetrov, "Variational autoencoder with arbitrary conditioning",
   ICLR 2019, arXiv:1806.02382.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vaefill.models.conditional_networks import ARCHITECTURES, ConditionalNetworks
from vaefill.models.distributions import Latent
from vaefill.models.divergences import exact_kl
from vaefill.models.likelihoods import Likelihood
from vaefill.models.vae import FAMILIES, LIKELIHOODS, one_of


class Conditioned(NamedTuple):
    """What the observed pixels make of the model.

    Attributes
    ----------
    mu : Tensor of shape (n, latent)
        Location of p(z|x_o).
    prior : Latent
        p(z|x_o).
    likelihood : callable
        p(x|z, x_o) as a function of codes (..., n, latent).
    """

    mu: Tensor
    prior: Latent
    likelihood: Callable[[Tensor], Likelihood]


class ConditionalElbo(NamedTuple):
    """The two terms of the bound, per image, and the single pass that is trained beside it.

    Attributes
    ----------
    reconstruction : Tensor of shape (n,)
        Estimate of E ln p(x_m|z, x_o) over q(z|x), in nats.
    kl : Tensor of shape (n,)
        KL(q(z|x) || p(z|x_o)), in nats, exact.
    single_pass : Tensor of shape (n,)
        ln p(x_m|mu, x_o) at the location mu of p(z|x_o), in nats; no part of the bound.
    """

    reconstruction: Tensor
    kl: Tensor
    single_pass: Tensor

    def loss(self, kl_weight: float = 1.0) -> Tensor:
        """Return what training minimises: minus the hybrid objective, the mean over images."""
        pixels = self.reconstruction + self.single_pass
        return (kl_weight * self.kl.mean() - pixels.mean()) / 2


class ConditionalVAE(nn.Module):
    """Encoders, decoder and the family that p(z|x_o) and q(z|x) belong to.

    Parameters
    ----------
    family : {"gauss", "t"}
        Normal, or Student-t.
    df : float, optional
        Degrees of freedom of the t family. None for "gauss".
    joint : {"product", "multivariate"}, optional
        Of the t's coordinates, see `vaefill.models.vae.VAE`. None for "gauss".
    likelihood : {"bernoulli", "continuous_bernoulli"}
        Distribution of the pixels given code and observed pixels.
    networks : {"mlp", "conv"}
        A key of `vaefill.models.conditional_networks.ARCHITECTURES`.
    shape : (int, int)
        Height and width of an image.
    widths : sequence of int
        Of the layers, see the architecture.
    latent : int
        Number of latent coordinates.
    generator : torch.Generator
        Source of the initial weights, on the CPU.

    Raises
    ------
    InputError
        When `family`, `joint`, `likelihood` or `networks` is unknown, or `df` or `joint` does not
        fit `family`.
    """

    def __init__(
        self,
        family: str,
        *,
        df: float | None = None,
        joint: str | None = None,
        likelihood: str = "bernoulli",
        networks: str = "mlp",
        shape: Sequence[int] = (28, 28),
        widths: Sequence[int] = (400, 128),
        latent: int = 10,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.family = FAMILIES[one_of("family", family, FAMILIES)](df, joint)
        self._likelihood = LIKELIHOODS[one_of("likelihood", likelihood, LIKELIHOODS)]
        make = ARCHITECTURES[one_of("networks", networks, ARCHITECTURES)]
        self.networks: ConditionalNetworks = make(shape, widths, latent, generator)
        self.architecture: dict[str, Any] = {
            "family": family,
            "df": df,
            "joint": joint,
            "likelihood": likelihood,
            "networks": networks,
            "shape": list(shape),
            "widths": list(widths),
            "latent": latent,
        }

    def condition(self, x: Tensor, observed: Tensor) -> Conditioned:
        """Take in the observed pixels of images (n, pixels); the others may hold anything."""
        if not len(x):  # which PyTorch's `pixel_unshuffle` does not take
            none = x.new_empty(0, self.architecture["latent"])
            law = self.family(none, none)
            return Conditioned(none, law, lambda z: self._likelihood(x.expand(*z.shape[:-1], -1)))
        context = self.networks.context(x.where(observed, 0), observed)

        def likelihood(z: Tensor) -> Likelihood:
            return self._likelihood(self.networks.decode(z, context.features))

        prior = self.family(context.mu, context.logvar)
        return Conditioned(context.mu, prior, likelihood)

    def posterior(self, x: Tensor, observed: Tensor) -> Latent:
        """q(z|x) for complete images (n, pixels), of which `observed` will be known."""
        return self.family(*self.networks.encode(x, observed))


def conditional_elbo(
    vae: ConditionalVAE,
    x: Tensor,
    generator: torch.Generator,
    *,
    hide: Callable[[int, np.random.Generator], NDArray[np.bool_]],
    mixed_precision: bool = False,
) -> ConditionalElbo:
    """Hide pixels anew, and estimate the terms of the objective on what was hidden.

    Parameters
    ----------
    vae : ConditionalVAE
        The model.
    x : Tensor of shape (n, pixels)
        Complete images, in [0, 1].
    generator : torch.Generator
        Source of missing pixels and draws, on the device of `x`.
    hide : callable
        Draws which pixels of n images are missing, (n, height, width), such as
        `vaefill.missingness.mixture.draw_mixture` does.
    mixed_precision : bool, default=False
        Run the networks in bfloat16, twice as fast on processors that have it; the weights and
        the terms of the bound stay in float32.

    Returns
    -------
    ConditionalElbo
        In nats per image, summed over its missing pixels.
    """
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    missing = hide(len(x), np.random.default_rng(seed))
    hidden = torch.from_numpy(missing).flatten(1).to(x.device)
    with torch.autocast(x.device.type, torch.bfloat16, enabled=mixed_precision):
        mu, prior, likelihood = vae.condition(x, ~hidden)
        posterior = vae.posterior(x, ~hidden)
        pixels = likelihood(torch.stack([posterior.rsample(generator), mu]))
    reconstruction, single_pass = pixels.log_prob(x.expand(2, -1, -1), hidden.expand(2, -1, -1))
    return ConditionalElbo(reconstruction, exact_kl(posterior, prior), single_pass)
