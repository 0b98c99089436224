"""Inference of the missing pixels with a trained VAE.

A method maps images and their `observed` pixels to a *prediction*: the decoder's whole output.
The *imputation* keeps the observed pixels and takes the missing ones from the prediction. What
lies under the missing pixels is never looked at; it may be nan.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from vaefill.errors import InputError
from vaefill.models.vae import VAE

Method = Callable[[VAE, Tensor, Tensor], Tensor]


def single_pass(vae: VAE, x: Tensor, observed: Tensor) -> Tensor:
    """Predict by one pass: zeros where pixels are missing, encode, decode the location of q(z|x).

    The encoder was trained on complete images and reads the zeros as pixels without ink, so that
    the prediction is biased towards the background. This is the slides' method.

    Parameters
    ----------
    vae : VAE
        Trained model.
    x : Tensor of shape (n, pixels)
        Images in [0, 1].
    observed : bool Tensor of shape (n, pixels)
        False where a pixel is missing.

    Returns
    -------
    Tensor of shape (n, pixels)
        Expected pixels under p(x|z), in [0, 1].
    """
    mu, _ = vae.encoder(x.where(observed, 0))
    return vae.likelihood(mu).mean


METHODS: dict[str, Method] = {"single_pass": single_pass}


@torch.no_grad()
def predict(
    vae: VAE,
    images: Tensor,
    missing: Tensor,
    *,
    method: str = "single_pass",
    batch_size: int = 1000,
) -> Tensor:
    """Predict all images with one of `METHODS`, a batch at a time.

    Parameters
    ----------
    vae : VAE
        Trained model.
    images : Tensor of shape (n, height, width)
        Pixels in [0, 1].
    missing : bool Tensor of shape (n, height, width)
        True where a pixel is missing.
    method : str, default="single_pass"
        A key of `METHODS`.
    batch_size : int, default=1000
        Images at a time; bounds the memory.

    Returns
    -------
    Tensor of shape (n, height, width)
        Predictions on the CPU.

    Raises
    ------
    InputError
        When the shapes differ, `missing` is not boolean, or the images are not of the model's
        size.
    """
    if missing.dtype != torch.bool or missing.shape != images.shape:
        raise InputError(
            f"missing: {missing.dtype} of shape {tuple(missing.shape)}; "
            f"must be torch.bool of the images' shape, {tuple(images.shape)}"
        )
    pixels = images[0].numel()
    if pixels != vae.architecture["pixels"]:
        raise InputError(
            f"images: {pixels} pixels each; the model was trained on {vae.architecture['pixels']}"
        )
    device = next(vae.parameters()).device
    predictions = [
        METHODS[method](vae, x.flatten(1).to(device), ~gaps.flatten(1).to(device)).cpu()
        for x, gaps in zip(images.split(batch_size), missing.split(batch_size), strict=True)
    ]
    return torch.cat(predictions).reshape(images.shape)


def impute(images: Tensor, missing: Tensor, prediction: Tensor) -> Tensor:
    """Keep the observed pixels, bit by bit, and take the missing ones from `prediction`."""
    return prediction.where(missing, images)
