r"""The evidence lower bound.

.. math:: \ln p(x) \ge \mathbb E_{q(z|x)} \ln p(x|z) - \mathrm{KL}(q(z|x) \| p(z))

The expectation is estimated by draws z from the posterior. This is the one place where the
terms are computed; they stay per image, in nats, and whoever needs a mean takes it.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from vaefill.distributions import kl
from vaefill.vae import VAE


class Elbo(NamedTuple):
    """The two terms of the bound, per image; ``reconstruction - kl`` is the bound.

    Attributes
    ----------
    reconstruction : Tensor of shape (n,)
        Estimate of E ln p(x|z), in nats.
    kl : Tensor of shape (n,)
        KL(q(z|x) || p(z)), in nats: exact or an estimate, see `vaefill.distributions.kl`.
    """

    reconstruction: Tensor
    kl: Tensor


def elbo(vae: VAE, x: Tensor, generator: torch.Generator, *, n_draws: int = 1) -> Elbo:
    """Estimate both terms of the bound for each image.

    Parameters
    ----------
    vae : VAE
        The model.
    x : Tensor of shape (n, pixels)
        Images, in [0, 1].
    generator : torch.Generator
        Source of the draws, on the device of `x`.
    n_draws : int, default=1
        Draws per image, averaged.

    Returns
    -------
    Elbo
        Differentiable in the model's parameters.
    """
    posterior = vae.posterior(x)
    z = posterior.rsample(generator, (n_draws,))
    reconstruction = vae.likelihood(z).log_prob(x.expand(n_draws, *x.shape))
    divergence = kl(posterior, vae.prior, z)
    return Elbo(reconstruction.mean(0), divergence.reshape(-1, len(x)).mean(0))
