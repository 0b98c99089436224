"""Inference by the encoder alone: of a zero-filled image, or of its own imputation, iterated.

The encoder knows complete images. Where zeros stand for missing pixels it sees a background that
is not there; filling in what the decoder expects, and encoding again, removes most of that bias.
The fixed point is the location of pseudo-Gibbs sampling (`vaefill.inference.gibbs`) without its
noise. Both are quick, and neither is the posterior: they are where the other methods start.
"""

import torch
from torch import Tensor

from vaefill.inference import single_pass as imputation
from vaefill.inference.target import Inferred, at_least
from vaefill.models.vae import VAE


@torch.no_grad()
def single_pass(
    vae: VAE, x: Tensor, observed: Tensor, *, generator: torch.Generator, n_draws: int = 100
) -> Inferred:
    """Decode the location of q(z|x) of the zero-filled image, as `vaefill.inference.predict` does.

    Parameters
    ----------
    vae : VAE
        Trained model.
    x : Tensor of shape (n, pixels)
        Images in [0, 1], with 0 where a pixel is missing.
    observed : bool Tensor of shape (n, pixels)
        False where a pixel is missing.
    generator : torch.Generator
        Source of the draws, on the device of `x`.
    n_draws : int, default=100
        Draws from q(z|x) to return.

    Returns
    -------
    Inferred
        Without diagnostics.
    """
    codes = vae.posterior(x).rsample(generator, (n_draws,))
    return Inferred(imputation.single_pass(vae, x, observed), codes, {})


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
    """Encode the own imputation again, several times; see `single_pass` for what is shared.

    Parameters
    ----------
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
    filled, mean = x, imputation.single_pass(vae, x, observed)
    for _ in range(n_iterations):
        filled = x.where(observed, mean)
        mean = vae.likelihood(vae.encoder(filled)[0]).mean
    return filled, mean
