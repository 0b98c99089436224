"""What every way to fill in images asks of its input."""

import torch
from torch import Tensor

from vaefill.errors import InputError


def check_images(images: Tensor, missing: Tensor, *, name: str = "images") -> None:
    """Refuse what is no batch of images in [0, 1] with a boolean Tensor of missing pixels.

    What lies under the missing pixels is not looked at; it may be nan.

    Parameters
    ----------
    images : float Tensor of shape (n, height, width)
        Pixels in [0, 1] where observed.
    missing : bool Tensor of shape (n, height, width)
        True where a pixel is missing.
    name : str, default="images"
        What the message calls them.

    Raises
    ------
    InputError
        When shapes or types are others, or an observed pixel is nan or outside [0, 1].
    """
    if images.ndim != 3 or not images.is_floating_point():
        raise InputError(
            f"{name}: {images.dtype} of shape {tuple(images.shape)}; "
            f"must be floats of shape (n, height, width)"
        )
    if missing.dtype != torch.bool or missing.shape != images.shape:
        raise InputError(
            f"missing: {missing.dtype} of shape {tuple(missing.shape)}; "
            f"must be torch.bool of the images' shape, {tuple(images.shape)}"
        )
    bad = ~(missing | ((images >= 0) & (images <= 1)))
    if bad.any():
        rows = bad.flatten(1).any(1).nonzero().flatten()
        first = int(rows[0])
        raise InputError(
            f"{name}: {len(rows)} of {len(images)} have an observed pixel outside [0, 1], "
            f"first number {first}: {images[first][bad[first]][0].item():g}; "
            f"scale pixels to [0, 1], or mark what is unknown as missing"
        )
