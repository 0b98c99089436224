r"""The evidence lower bound.

.. math:: \ln p(x) \ge \mathbb E_{q(z|x)} \ln p(x|z) - \mathrm{KL}(q(z|x) \| p(z))

The expectation is estimated by draws z from the posterior. This is the one place where the
terms are computed; they stay per image, in nats, and whoever needs a mean takes it.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from vaefill.errors import InputError
from vaefill.models.distributions import Normal
from vaefill.models.divergences import exact_kl, monte_carlo_kl
from vaefill.models.vae import VAE

#: How the KL of t distributions is computed; that of normals is always in closed form.
KL_METHODS = ("monte_carlo", "quadrature")


class Elbo(NamedTuple):
    """The two terms of the bound, per image; ``reconstruction - kl`` is the bound.

    Attributes
    ----------
    reconstruction : Tensor of shape (n,)
        Estimate of E ln p(x|z), in nats.
    kl : Tensor of shape (n,)
        KL(q(z|x) || p(z)), in nats: exact or an estimate, as asked for.
    """

    reconstruction: Tensor
    kl: Tensor

    def loss(self, kl_weight: float = 1.0) -> Tensor:
        """Return what training minimises: the mean over images of `kl_weight` kl less the rest."""
        return -self.reconstruction.mean() + kl_weight * self.kl.mean()


def elbo(
    vae: VAE,
    x: Tensor,
    generator: torch.Generator,
    *,
    n_draws: int = 1,
    kl: str = "monte_carlo",
) -> Elbo:
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
    kl : {"monte_carlo", "quadrature"}
        Whether the KL of t distributions is estimated at the very draws of the reconstruction, as
        the slides do, or exact (`vaefill.models.divergences`). That of normals is always exact.

    Returns
    -------
    Elbo
        Differentiable in the model's parameters.

    Raises
    ------
    InputError
        When `kl` is unknown.
    """
    if kl not in KL_METHODS:
        raise InputError(f"kl = {kl!r}: must be one of {', '.join(KL_METHODS)}")
    posterior = vae.posterior(x)
    z = posterior.rsample(generator, (n_draws,))
    reconstruction = vae.likelihood(z).log_prob(x.expand(n_draws, *x.shape))
    if kl == "quadrature" or isinstance(posterior, Normal):
        divergence = exact_kl(posterior, vae.prior)
    else:
        divergence = monte_carlo_kl(posterior, vae.prior, z).mean(0)
    return Elbo(reconstruction.mean(0), divergence)
