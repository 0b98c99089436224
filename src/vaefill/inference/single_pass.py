"""Inference by one pass through encoder and decoder, with a model of either kind.

A *prediction* is the decoder's whole output. The *imputation* keeps the observed pixels and takes
the missing ones from the prediction. What lies under the missing pixels is never looked at; it may
be nan.
"""

import torch
from torch import Tensor

from vaefill.errors import InputError
from vaefill.inference.batches import batches
from vaefill.inference.target import Inferred
from vaefill.missingness.checks import AnyImages, Images, as_batch, like
from vaefill.models.conditional import ConditionalVAE, Conditioned
from vaefill.models.files import Model


def encode(model: Model, x: Tensor, observed: Tensor) -> Conditioned:
    """Say what the encoder makes of the observed pixels.

    That of a `ConditionalVAE` was trained to see what is missing, and gives p(z|x_o). That of a
    `VAE` was trained on complete images: it reads zeros in place of the missing pixels as pixels
    without ink, so that a prediction is biased towards the background.

    Parameters
    ----------
    model : VAE or ConditionalVAE
        Trained model.
    x : Tensor of shape (n, pixels)
        Images in [0, 1]; what is missing is not looked at.
    observed : bool Tensor of shape (n, pixels)
        False where a pixel is missing.
    """
    if isinstance(model, ConditionalVAE):
        return model.condition(x, observed)
    mu, logvar = model.encoder(x.where(observed, 0))
    return Conditioned(mu, model.family(mu, logvar), model.likelihood)


@torch.no_grad()
def single_pass(
    model: Model, x: Tensor, observed: Tensor, *, generator: torch.Generator, n_draws: int = 100
) -> Inferred:
    """Decode the location of the encoder's distribution, as `predict` does.

    Parameters
    ----------
    model : VAE or ConditionalVAE
        Trained model.
    x : Tensor of shape (n, pixels)
        Images in [0, 1], with 0 where a pixel is missing.
    observed : bool Tensor of shape (n, pixels)
        False where a pixel is missing.
    generator : torch.Generator
        Source of the draws, on the device of `x`.
    n_draws : int, default=100
        Draws from the encoder's distribution to return.

    Returns
    -------
    Inferred
        Without diagnostics.
    """
    mu, law, likelihood = encode(model, x, observed)
    return Inferred(likelihood(mu).mean, law.rsample(generator, (n_draws,)), {})


@torch.no_grad()
def single_draw(
    model: Model, x: Tensor, observed: Tensor, *, generator: torch.Generator, n_draws: int = 100
) -> Inferred:
    """Decode one draw of the encoder's distribution, instead of its location.

    So does a model's own forward pass, as training runs it. The noise of the draw is part of the
    guess: its expected squared error is that of the mean over draws, plus the draws' variance.

    Parameters
    ----------
    model, x, observed, generator
        As for `single_pass`.
    n_draws : int, default=100
        Draws from the encoder's distribution to return; the first is the one that is decoded.

    Returns
    -------
    Inferred
        Without diagnostics.
    """
    _, law, likelihood = encode(model, x, observed)
    codes = law.rsample(generator, (n_draws,))
    return Inferred(likelihood(codes[0]).mean, codes, {})


@torch.no_grad()
def predict(model: Model, images: Images, missing: AnyImages, *, batch_size: int = 1000) -> Images:
    """Predict all pixels of images in one pass: the slides' method, where the model is a `VAE`.

    Parameters
    ----------
    model : VAE or ConditionalVAE
        Trained model.
    images : float array or Tensor of shape (height, width) or (n, height, width)
        Pixels in [0, 1] where observed.
    missing : bool array or Tensor of the shape of `images`
        True where a pixel is missing.
    batch_size : int, default=1000
        Images at a time; bounds the memory.

    Returns
    -------
    array or Tensor of the shape of `images`
        Expected pixels, in [0, 1]; an array where `images` is one, of the model's dtype.

    Raises
    ------
    InputError
        When the images are not of the model's size, and as for
        `vaefill.missingness.checks.as_batch`.
    """
    parts = []
    for x, observed in batches(model, images, missing, batch_size):
        mu, _, likelihood = encode(model, x, observed)
        parts.append(likelihood(mu).mean.cpu())
    return like(images, torch.cat(parts))


def impute(images: Images, missing: AnyImages, prediction: AnyImages) -> Images:
    """Keep the observed pixels, bit by bit, and take the missing ones from `prediction`.

    Parameters
    ----------
    images : float array or Tensor of shape (height, width) or (n, height, width)
        Pixels in [0, 1] where observed.
    missing : bool array or Tensor of the shape of `images`
        True where a pixel is missing.
    prediction : float array or Tensor of the shape of `images`
        Of `predict`, or the ``mean`` of `vaefill.inference.infer`.

    Returns
    -------
    array or Tensor of the shape of `images`
        An array where `images` is one.

    Raises
    ------
    InputError
        When the shapes differ, and as for `vaefill.missingness.checks.as_batch`.
    """
    x, gaps = as_batch(images, missing)
    # A prediction may leave [0, 1] by its rounding: none of its values is looked at.
    unseen = torch.ones(tuple(prediction.shape), dtype=torch.bool)
    filled, _ = as_batch(prediction, unseen, name="prediction")
    if filled.shape != x.shape:
        raise InputError(
            f"prediction: shape {tuple(filled.shape)}; must be the images', {tuple(x.shape)}"
        )
    return like(images, filled.to(x.device).where(gaps, x))
