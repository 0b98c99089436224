"""Inference by the encoder alone: of its own imputation, iterated.

The encoder knows complete images. Where zeros stand for missing pixels it sees a background that
is not there; filling in what the decoder expects, and encoding again, removes most of that bias.
The fixed point is the location of pseudo-Gibbs sampling (`vaefill.inference.gibbs`) without its
noise. It is quick and not the posterior: it is where the other methods start.
"""

import torch
from torch import Tensor

from vaefill.inference.target import Inferred, at_least
from vaefill.models.vae import VAE


@torch.no_grad()
def iterated(
    vae: VAE,
    x: Tensor,
    observed: Tensor,
    *,
    generator: torch.Generator,
    n_draws: int = 100,
    n_iterations: int = 10,
) -> Inferred:
    """Encode the own imputation again, several times.

    Parameters
    ----------
    vae, x, observed, generator, n_draws
        See `vaefill.inference.single_pass.single_pass`.
    n_iterations : int, default=10
        Encodings after that of the zero-filled image; 0 is the single pass.

    Returns
    -------
    Inferred
        With draws of the last q(z|x). The diagnostic ``change`` is the root mean square change
        of the missing pixels in the last iteration; nan where none is missing.
    """
    filled, mean = fill(vae, x, observed, n_iterations=n_iterations)
    codes = vae.posterior(filled).rsample(generator, (n_draws,))
    squared = (mean - filled).square().where(~observed, 0)
    change = (squared.sum(-1) / (~observed).sum(-1)).sqrt()
    return Inferred(mean, codes, {"change": change})


@torch.no_grad()
def fill(vae: VAE, x: Tensor, observed: Tensor, *, n_iterations: int = 10) -> tuple[Tensor, Tensor]:
    """Fill the missing pixels for the last encoding.

    Returns
    -------
    filled, mean : Tensor of shape (n, pixels)
        What is encoded last, and the decoder's mean at its location.
    """
    at_least("n_iterations", n_iterations, 0)
    mean = torch.zeros_like(x)
    for _ in range(1 + n_iterations):
        filled = x.where(observed, mean)
        mean = vae.likelihood(vae.encoder(filled)[0]).mean
    return filled, mean
