"""Incomplete images, taken in and given back by every function that a person calls with them."""

from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaefill.errors import InputError

Images = TypeVar("Images", Tensor, NDArray[Any])
AnyImages = Tensor | NDArray[Any]


def as_batch(
    images: AnyImages, missing: AnyImages | None = None, *, name: str = "images"
) -> tuple[Tensor, Tensor]:
    """Take in one image or many, or say what is wrong with them.

    What lies under the missing pixels is not looked at; it may be nan.

    Parameters
    ----------
    images : float array or Tensor of shape (height, width) or (n, height, width)
        Pixels in [0, 1] where observed; n may be 0.
    missing : bool array or Tensor of the shape of `images`, optional
        True where a pixel is missing; by default none is.
    name : str, default="images"
        What the message calls them.

    Returns
    -------
    images : Tensor of shape (n, height, width)
        float64 where the images were, else float32; on their device.
    missing : bool Tensor of shape (n, height, width)
        On the same device.

    Raises
    ------
    InputError
        When shapes or types are others, or an observed pixel is nan or outside [0, 1].
    """
    shape, kind = tuple(images.shape), _kind(images)
    if len(shape) not in (2, 3) or "float" not in kind:
        raise InputError(
            f"{name}: {kind} of shape {shape}; must be floats in [0, 1] of shape "
            "(height, width) or (n, height, width)"
        )
    x = _tensor(images, "float64" if kind == "float64" else "float32")
    if missing is None:
        gaps = torch.zeros_like(x, dtype=torch.bool)
    elif _kind(missing) != "bool" or missing.shape != images.shape:
        raise InputError(
            f"missing: {_kind(missing)} of shape {tuple(missing.shape)}; must be bool, True where "
            f"a pixel is missing, of the shape of the {name}, {shape}"
        )
    else:
        gaps = _tensor(missing, "bool").to(x.device)
    x, gaps = (part.reshape(-1, *shape[-2:]) for part in (x, gaps))
    bad = ~(gaps | ((x >= 0) & (x <= 1)))
    if bool(bad.any()):
        rows = bad.flatten(1).any(1).nonzero().flatten()
        first = int(rows[0])
        raise InputError(
            f"{name}: {len(rows)} of {len(x)} have an observed pixel outside [0, 1], "
            f"first number {first}: {x[first][bad[first]][0].item():g}; "
            "scale pixels to [0, 1], or mark what is unknown as missing"
        )
    return x, gaps


def like(images: Images, batch: Tensor) -> Images:
    """Give a batch of images the form of those that were taken in.

    Parameters
    ----------
    images : array or Tensor of shape (height, width) or (n, height, width)
        As a person gave them.
    batch : Tensor of shape (n, height, width)
        What was made of them.

    Returns
    -------
    array or Tensor of the shape of `images`
        A Tensor lies on the device of `images`; the dtype is that of `batch`.
    """
    batch = batch.reshape(tuple(images.shape))
    return batch.to(images.device) if isinstance(images, Tensor) else batch.cpu().numpy()


def _kind(values: AnyImages) -> str:
    """Name the type of the numbers, alike for arrays and Tensors."""
    dtype = values.dtype
    return str(dtype).removeprefix("torch.") if isinstance(dtype, torch.dtype) else dtype.name


def _tensor(values: AnyImages, kind: str) -> Tensor:
    if isinstance(values, Tensor):
        dtype: torch.dtype = getattr(torch, kind)
        return values.detach().to(dtype)
    # PyTorch takes no array of another byte order or of negative strides, and warns of one that
    # may not be written to.
    return torch.from_numpy(np.require(values, kind, ["C", "W"]))
