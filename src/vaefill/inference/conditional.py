r"""Inference of the missing pixels with a model that was trained to impute.

The encoder of such a model gives p(z|x_o) itself (`vaefill.models.conditional`), so that there is
nothing to search, weigh or iterate: codes are drawn from it, independently.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from vaefill.inference.batches import batches
from vaefill.inference.target import Inferred, at_least
from vaefill.missingness.checks import AnyImages
from vaefill.models.conditional import ConditionalVAE
from vaefill.models.likelihoods import Likelihood


@torch.no_grad()
def draws(
    vae: ConditionalVAE,
    x: Tensor,
    observed: Tensor,
    *,
    generator: torch.Generator,
    n_draws: int = 100,
    n_averaged: int = 20,
) -> Inferred:
    """Decode draws of p(z|x_o), and average.

    Parameters
    ----------
    vae, x, observed, generator, n_draws
        See `vaefill.inference.single_pass.single_pass`.
    n_averaged : int, default=20
        The first draws, over which the mean is taken.

    Returns
    -------
    Inferred
        Draws are independent: there are no diagnostics.
    """
    at_least("n_averaged", n_averaged, 1)
    _, prior, likelihood = vae.condition(x, observed)
    z = prior.rsample(generator, (n_draws,))
    return Inferred(_average(likelihood, z[:n_averaged]), z, {})


@torch.no_grad()
def decode(
    vae: ConditionalVAE,
    codes: Tensor,
    images: AnyImages,
    missing: AnyImages,
    *,
    batch_size: int = 250,
) -> Tensor:
    """Expect the pixels that codes (J, n, latent) stand for, given the observed ones.

    Returns
    -------
    Tensor of shape (J, n, height, width)
        On the CPU.
    """
    expected = torch.empty(*codes.shape[:2], *images.shape[-2:])
    start = 0
    for x, observed in batches(vae, images, missing, batch_size):
        *_, likelihood = vae.condition(x, observed)
        some = slice(start, start := start + len(x))
        for out, z in zip(expected, codes, strict=True):
            out[some] = likelihood(z[None, some].to(x)).mean.reshape(out[some].shape)
    return expected


def _average(likelihood: Callable[[Tensor], Likelihood], z: Tensor) -> Tensor:
    """Mean over draws of what each expects, one draw at a time."""
    total = likelihood(z[:1]).mean[0]
    for draw in z[1:].split(1):
        total = total + likelihood(draw).mean[0]
    return total / len(z)
