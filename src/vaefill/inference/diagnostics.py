r"""What a trained model does with its code: which coordinates and hidden units it uses.

A coordinate is **active** where the posterior's location follows the image [1]_:
:math:`\mathrm{Var}_x(\mu_u(x)) > 0.01`. A hidden unit is **dead** where its ReLU is 0 for every
image. The **aggregate posterior** is :math:`q(z) = \mathbb E_x q(z|x)`, which a perfect model
would make equal to the prior.

References
----------
.. [1] Y. Burda, R. Grosse, R. Salakhutdinov, "Importance weighted autoencoders",
   arXiv:1509.00519 (2016), Section 5.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vaefill.models.divergences import kl_student_t
from vaefill.models.vae import VAE

ACTIVE = 0.01  # variance over images, in units of the prior's squared scale
TAIL = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4)
PROBABILITIES = (*TAIL, 0.5, *(1 - p for p in reversed(TAIL)))


@torch.no_grad()
def diagnose(vae: VAE, images: Tensor, *, generator: torch.Generator) -> dict[str, Any]:
    """Describe a model's use of its code on images.

    Parameters
    ----------
    vae : VAE
        Trained model.
    images : Tensor of shape (n, ...)
        Pixels in [0, 1]; all are encoded at once.
    generator : torch.Generator
        Source of the draws for the quantiles, on the model's device.

    Returns
    -------
    dict
        ``active``, the number of active coordinates; ``dead_units``, as `dead_units` gives them
        for ``encoder.0``, ``encoder.1``, … and, at the codes mu, for ``decoder.0``, …; ``kl``,
        the means of `coordinate_kl` over the images, in nats, by coordinate (``0``, ``1``, …);
        and ``quantiles``, those of the aggregate posterior (`aggregate_quantiles`).
    """
    x = images.flatten(1).to(generator.device)
    mu, logvar = vae.encoder(x)
    active = active_coordinates(mu)
    codes = vae.family(mu, logvar).rsample(generator)
    df = getattr(vae.prior, "df", math.inf)  # a normal has none
    divergence = coordinate_kl(mu, logvar, df).mean(0)
    return {
        "active": int(active.sum()),
        "dead_units": {
            f"{name}.{number}": dead
            for name, layers, entry in (
                ("encoder", vae.encoder.layers, x),
                ("decoder", vae.decoder.layers, mu),
            )
            for number, dead in enumerate(dead_units(layers, entry))
        },
        "kl": {str(number): value for number, value in enumerate(divergence.tolist())},
        "quantiles": aggregate_quantiles(codes, active),
    }


def active_coordinates(mu: Tensor) -> Tensor:
    """Tell which coordinates follow the image: bool of shape (latent,) for `mu` (n, latent)."""
    return mu.double().var(0, correction=0) > ACTIVE


def coordinate_kl(mu: Tensor, logvar: Tensor, df: float) -> Tensor:
    """KL of each coordinate of the posterior from that of the standard prior.

    For normals and products of t's, the sum over coordinates is the KL of the code. The
    coordinates of a multivariate t share a draw: each is a univariate t with the same `df`, whose
    KL this is, but their sum is not the KL of the code.

    Parameters
    ----------
    mu, logvar : Tensor of shape (n, latent)
        Location, and log of the squared scale.
    df : float
        Degrees of freedom; ``inf`` for normals.

    Returns
    -------
    Tensor of shape (n, latent)
        In nats, exact (`vaefill.models.divergences.kl_student_t`).
    """
    return kl_student_t(mu.unsqueeze(-1), logvar.unsqueeze(-1), df)


def dead_units(layers: nn.Sequential, x: Tensor) -> list[int]:
    """Count, per ReLU layer, the units that are 0 for every row of `x`."""
    dead = []
    for layer in layers:
        x = layer(x)
        if isinstance(layer, nn.ReLU):
            dead.append(int((x == 0).all(0).sum()))
    return dead


def aggregate_quantiles(codes: Tensor, active: Tensor) -> dict[str, float]:
    """Quantiles of codes, pooled over the active coordinates, for a QQ plot against the prior.

    The prior has the same distribution in each coordinate. An inactive one follows the prior
    whatever the images are, and would hide how the others differ from it; where none is active,
    all are pooled.

    Parameters
    ----------
    codes : Tensor of shape (n, latent)
        One draw from each image's posterior.
    active : bool Tensor of shape (latent,)
        See `active_coordinates`.

    Returns
    -------
    dict of str to float
        By probability, written as ``%g``.
    """
    pooled = codes[:, active if bool(active.any()) else ~active].flatten().double()
    quantiles = np.quantile(pooled.cpu().numpy(), PROBABILITIES).tolist()
    return {f"{p:g}": quantile for p, quantile in zip(PROBABILITIES, quantiles, strict=True)}
