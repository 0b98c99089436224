"""Images as methods take them: checked against the model, flat, a batch at a time."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from vaefill.errors import InputError
from vaefill.inference.target import at_least
from vaefill.missingness.checks import AnyImages, as_batch
from vaefill.models.files import Model


def batches(
    model: Model, images: AnyImages, missing: AnyImages, batch_size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images and their observed pixels; at least one batch, which may be empty.

    Parameters
    ----------
    model : VAE or ConditionalVAE
        Trained model.
    images, missing : array or Tensor of shape (height, width) or (n, height, width)
        See `vaefill.missingness.checks.as_batch`.
    batch_size : int
        Images at a time.

    Yields
    ------
    x : Tensor of shape (batch, pixels)
        Of the model's dtype and on its device, with 0 where a pixel is missing.
    observed : bool Tensor of shape (batch, pixels)
        False where a pixel is missing.

    Raises
    ------
    InputError
        When the images are not of the model's size, and as for `as_batch`.
    """
    at_least("batch_size", batch_size, 1)
    x, gaps = as_batch(images, missing)
    architecture: dict[str, Any] = model.architecture
    height, width = x.shape[1:]
    size, asked = (
        ([height, width], architecture["shape"])
        if "shape" in architecture
        else (height * width, architecture["pixels"])
    )
    if size != asked:
        raise InputError(
            f"images: {height} x {width} pixels; the model was trained on images of {asked}"
        )
    weight = next(model.parameters())
    for part, hidden in zip(x.split(batch_size), gaps.split(batch_size), strict=True):
        observed = ~hidden.flatten(1).to(weight.device)
        yield part.flatten(1).to(weight).where(observed, 0), observed
