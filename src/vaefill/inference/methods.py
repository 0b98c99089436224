"""Inference of the missing pixels with a trained model: the methods by name, for many images.

With a `VAE`, which was trained on complete images:

=========================== ==================================================== ===============
name                        estimate of E[x_m|x_o]                               module
=========================== ==================================================== ===============
``single_pass``             decoder at the code of the zero-filled image         `single_pass`
``single_draw``             decoder at one draw of the encoder's distribution    `single_pass`
``iterated``                single pass of the own imputation, again and again `iterated`
``map``                     decoder at the most probable code                    `modes`
``pseudo_gibbs``            chain of encoder and decoder, without correction     `gibbs`
``metropolis_within_gibbs`` the chain, corrected                                 `gibbs`
``importance``              weighted draws of encoder and prior                  `selfnormalised`
``laplace``                 weighted draws around the modes                      `laplace`
``refit``                   weighted draws of the encoder's refitted output      `refit`
=========================== ==================================================== ===============

The last five average over the posterior p(z|x_o), the last four of them exactly in the limit of
many draws; `flagged` tells where they did not get there. With a `ConditionalVAE`, which was trained
to impute:

=========================== ==================================================== ===============
``single_pass``             decoder at the location of p(z|x_o)                  `single_pass`
``draws``                   decoder averaged over draws of p(z|x_o)              `conditional`
=========================== ==================================================== ===============
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from vaefill.inference.batches import batches
from vaefill.inference.conditional import draws
from vaefill.inference.gibbs import metropolis_within_gibbs, pseudo_gibbs
from vaefill.inference.iterated import iterated
from vaefill.inference.laplace import laplace
from vaefill.inference.modes import posterior_mode
from vaefill.inference.refit import refit
from vaefill.inference.selfnormalised import importance
from vaefill.inference.single_pass import single_draw, single_pass
from vaefill.inference.target import Inferred, at_least
from vaefill.missingness.checks import AnyImages
from vaefill.models.conditional import ConditionalVAE
from vaefill.models.files import Model
from vaefill.models.vae import VAE, one_of

METHODS: dict[type[Model], dict[str, Callable[..., Inferred]]] = {
    VAE: {
        "single_pass": single_pass,
        "single_draw": single_draw,
        "iterated": iterated,
        "map": posterior_mode,
        "pseudo_gibbs": pseudo_gibbs,
        "metropolis_within_gibbs": metropolis_within_gibbs,
        "importance": importance,
        "laplace": laplace,
        "refit": refit,
    },
    ConditionalVAE: {"single_pass": single_pass, "draws": draws},
}


def infer(
    model: Model,
    images: AnyImages,
    missing: AnyImages,
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
    model : VAE or ConditionalVAE
        Trained model.
    images : float array or Tensor of shape (height, width) or (n, height, width)
        Pixels in [0, 1]; those that are missing are not looked at, and may be nan.
    missing : bool array or Tensor of the shape of `images`
        True where a pixel is missing.
    method : str
        A key of `METHODS` for the kind of model.
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
        Of Tensors on the CPU, whatever the images are. ``mean`` is of the shape of `images` and
        holds the prediction of all pixels, the observed ones as well
        (`vaefill.inference.impute` keeps those as they are). An image without an observed pixel
        gets the prior: draws from it as codes, and the average of their decoder means; a `VAE`
        has nan for all its diagnostics.

    Raises
    ------
    InputError
        When `method` is unknown, the images are not of the model's size, or a setting is out of
        range, and as for `vaefill.missingness.checks.as_batch`.
    """
    methods = METHODS[type(model)]
    one_of("method", method, methods)
    at_least("n_draws", n_draws, 1)
    run = (
        partial(_apart_from_blanks, methods[method]) if isinstance(model, VAE) else methods[method]
    )
    parts = []
    for x, observed in batches(model, images, missing, batch_size):
        found = run(model, x, observed, generator=generator, n_draws=n_draws, **settings)
        diagnostics = {name: values.cpu() for name, values in found.diagnostics.items()}
        parts.append(Inferred(found.mean.cpu(), found.codes.cpu(), diagnostics))
    mean, codes, each = zip(*parts, strict=True)
    return Inferred(
        torch.cat(mean).reshape(tuple(images.shape)),
        torch.cat(codes, dim=1),
        {name: torch.cat([part[name] for part in each]) for name in each[0]},
    )


@torch.no_grad()
def _apart_from_blanks(
    method: Callable[..., Inferred],
    vae: VAE,
    x: Tensor,
    observed: Tensor,
    *,
    generator: torch.Generator,
    n_draws: int,
    **settings: Any,
) -> Inferred:
    """Infer by a method, but by the prior where nothing is observed."""
    some = observed.any(1)
    found = method(vae, x[some], observed[some], generator=generator, n_draws=n_draws, **settings)
    drawn = vae.prior.rsample(generator, (n_draws, int((~some).sum())))
    codes = found.codes.new_empty(len(found.codes), len(some), drawn.shape[-1])
    codes[:, some], codes[:, ~some] = found.codes, drawn[: len(codes)]
    mean = found.mean.new_empty(x.shape)
    mean[some], mean[~some] = found.mean, vae.likelihood(drawn).mean.mean(0)
    diagnostics = {}
    for name, values in found.diagnostics.items():
        diagnostics[name] = values.new_full(some.shape, torch.nan).masked_scatter(some, values)
    return Inferred(mean, codes, diagnostics)
