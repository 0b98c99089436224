r"""Where to climb from in search of the most probable code.

The encoder sees the zero-filled or the imputed image, and both may mislead it, where what is
missing decides. Draws from the prior, many and the same for all images, are another way in: in the
logits l the likelihood is :math:`x l - A(l)`, so that all images are compared with all draws by two
matrix products,

.. math:: \ln p(x_o | z_k) = \sum_{o} x \, l_k - \sum_{o} A(l_k)
"""

import dataclasses
from typing import Any

import torch
from torch import Tensor

from vaefill.inference.iterated import fill
from vaefill.inference.target import log_joint
from vaefill.models.vae import VAE

CANDIDATES = 2048  # draws from the prior


@torch.no_grad()
def find_starts(
    vae: VAE, x: Tensor, observed: Tensor, *, n_best: int = 2, n_starts: int | None = None
) -> Tensor:
    """Encode the image, zero-filled and imputed, and take the best of `CANDIDATES` draws.

    Parameters
    ----------
    vae : VAE
        Trained model, whose likelihood is given by natural parameters, its ``logits``.
    x : Tensor of shape (n, pixels)
        Images in [0, 1], with 0 where a pixel is missing.
    observed : bool Tensor of shape (n, pixels)
        False where a pixel is missing.
    n_best : int, default=2
        Draws to take.
    n_starts : int, optional
        Of all of these the most probable given the observed pixels, image by image.

    Returns
    -------
    Tensor of shape (2 + n_best, n, latent), or (n_starts, n, latent)
    """
    encoded = vae.encoder(x)[0], vae.encoder(fill(vae, x, observed)[0])[0]
    # Always the same draws: a mode is no matter of chance, nor of the other images in its batch.
    generator = torch.Generator(x.device).manual_seed(0)
    z = vae.prior.rsample(generator, (CANDIDATES,))
    z[0] = 0  # the most probable code of all, where nothing is observed
    likelihood: Any = vae.likelihood(z)
    each = dataclasses.replace(likelihood, logits=likelihood.logits.unsqueeze(-1))
    log_normalizer = -each.log_prob(x.new_zeros(1))
    height = (x * observed) @ likelihood.logits.T - observed.to(x) @ log_normalizer.T
    best = (height + vae.prior.log_prob(z)).topk(n_best, dim=1).indices
    starts = torch.cat([torch.stack(encoded), z[best.T]])
    if n_starts is None:
        return starts
    value = log_joint(vae.likelihood(starts), vae.prior, starts, x, observed)
    return starts.take_along_dim(value.topk(n_starts, dim=0).indices.unsqueeze(-1), 0)
