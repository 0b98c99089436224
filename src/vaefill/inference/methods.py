"""Inference of the missing pixels with a trained VAE: the methods by name, for many images.

=========================== ==================================================== ===============
name                        estimate of E[x_m|x_o]                               module
=========================== ==================================================== ===============
``single_pass``             decoder at the code of the zero-filled image         `iterated`
``iterated``                the same of the own imputation, encoded repeatedly   `iterated`
``map``                     decoder at the most probable code                    `modes`
``pseudo_gibbs``            chain of encoder and decoder, without correction     `gibbs`
``metropolis_within_gibbs`` the chain, corrected                                 `gibbs`
``importance``              weighted draws of encoder and prior                  `selfnormalised`
``laplace``                 weighted draws around the modes                      `laplace`
``refit``                   weighted draws of the encoder's refitted output      `refit`
=========================== ==================================================== ===============

The last five average over the posterior p(z|x_o), the last four of them exactly in the limit of
many draws; `flagged` tells where they did not get there.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vaefill.errors import InputError
from vaefill.inference.convergence import flagged
from vaefill.inference.gibbs import metropolis_within_gibbs, pseudo_gibbs
from vaefill.inference.iterated import iterated, single_pass
from vaefill.inference.laplace import laplace
from vaefill.inference.modes import posterior_mode
from vaefill.inference.refit import refit
from vaefill.inference.selfnormalised import importance
from vaefill.inference.target import Inferred, at_least
from vaefill.models.vae import VAE, one_of

__all__ = ["METHODS", "Inferred", "flagged", "infer"]

METHODS: dict[str, Callable[..., Inferred]] = {
    "single_pass": single_pass,
    "iterated": iterated,
    "map": posterior_mode,
    "pseudo_gibbs": pseudo_gibbs,
    "metropolis_within_gibbs": metropolis_within_gibbs,
    "importance": importance,
    "laplace": laplace,
    "refit": refit,
}


def infer(
    vae: VAE,
    images: Tensor,
    missing: Tensor,
    *,
    method: str,
    generator: torch.Generator,
    n_draws: int = 100,
    batch_size: int = 250,
    **settings: Any,
) -> Inferred:
    """Infer the missing pixels of all images with one of `METHODS`, a batch at a time.

    Parameters
    ----------
    vae : VAE
        Trained model.
    images : Tensor of shape (n, height, width)
        Pixels in [0, 1]; those that are missing are not looked at, and may be nan.
    missing : bool Tensor of shape (n, height, width)
        True where a pixel is missing.
    method : str
        A key of `METHODS`.
    generator : torch.Generator
        Source of the draws, on the model's device.
    n_draws : int, default=100
        Codes per image, at least 1.
    batch_size : int, default=250
        Images at a time; bounds the memory. Draws depend on it.
    **settings
        What else the method takes.

    Returns
    -------
    Inferred
        On the CPU; ``mean`` is of shape (n, height, width) and holds the prediction of all pixels,
        the observed ones as well (`vaefill.inference.impute` keeps those as they are). An image
        without an observed pixel gets the prior: draws from it as codes, the average of their
        decoder means, and nan for all diagnostics.

    Raises
    ------
    InputError
        When `method` is unknown, the shapes differ, `missing` is not boolean, the images are not
        of the model's size, an observed pixel is not in [0, 1], or a setting is out of range.
    """
    one_of("method", method, METHODS)
    at_least("n_draws", n_draws, 1)
    at_least("batch_size", batch_size, 1)
    _check(vae, images, missing)
    weight = next(vae.parameters())  # of the dtype and on the device to compute in
    parts = []
    for x, gaps in zip(images.split(batch_size), missing.split(batch_size), strict=True):
        observed = ~gaps.flatten(1).to(weight.device)
        x = x.flatten(1).to(weight).where(observed, 0)
        some = observed.any(1)
        inferred = METHODS[method](
            vae, x[some], observed[some], generator=generator, n_draws=n_draws, **settings
        )
        parts.append(_with_blanks(vae, inferred, some, generator, n_draws))
    mean, codes, diagnostics = zip(*parts, strict=True)
    return Inferred(
        torch.cat(mean).reshape(images.shape),
        torch.cat(codes, dim=1),
        {name: torch.cat([part[name] for part in diagnostics]) for name in diagnostics[0]},
    )


@torch.no_grad()
def _with_blanks(
    vae: VAE, inferred: Inferred, some: Tensor, generator: torch.Generator, n_draws: int
) -> Inferred:
    """Put images that the method was not given, as nothing of them is observed, in their places."""
    drawn = vae.prior.rsample(generator, (n_draws, int((~some).sum())))
    codes = inferred.codes.new_empty(len(inferred.codes), len(some), drawn.shape[-1])
    codes[:, some], codes[:, ~some] = inferred.codes, drawn[: len(codes)]
    mean = inferred.mean.new_empty(len(some), inferred.mean.shape[1])
    mean[some], mean[~some] = inferred.mean, vae.likelihood(drawn).mean.mean(0)
    diagnostics = {}
    for name, values in inferred.diagnostics.items():
        diagnostics[name] = values.new_full(some.shape, torch.nan).masked_scatter(some, values)
    return Inferred(mean.cpu(), codes.cpu(), {k: v.cpu() for k, v in diagnostics.items()})


def _check(vae: VAE, images: Tensor, missing: Tensor) -> None:
    if missing.dtype != torch.bool or missing.shape != images.shape:
        raise InputError(
            f"missing: {missing.dtype} of shape {tuple(missing.shape)}; "
            f"must be torch.bool of the images' shape, {tuple(images.shape)}"
        )
    pixels = vae.architecture["pixels"]
    if images.ndim < 2 or images[:1].flatten(1).shape[1] != pixels:
        raise InputError(
            f"images: of shape {tuple(images.shape)}; the model was trained on images of "
            f"{pixels} pixels, so it must be (n, height, width) with height * width = {pixels}"
        )
    bad = ~((images >= 0) & (images <= 1) | missing).flatten(1)
    if bool(bad.any()):
        first = int(bad.any(1).nonzero()[0])
        raise InputError(
            f"images: {int(bad.sum())} observed pixels are nan or outside [0, 1], first in image "
            f"{first}; scale them to [0, 1], or mark them as missing"
        )
