"""Sheets of small grey images: kept as PNG files that a person can open and code can read back."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vaefill.errors import InputError
from vaefill.storage import unreadable, write_bytes


def save_tiles(path: str | Path, tiles: NDArray[np.uint8]) -> None:
    """Write tiles side by side as one grey PNG, without loss.

    Parameters
    ----------
    path : path-like
        The target; replaced whole or left as it was.
    tiles : uint8 array of shape (rows, columns, h, w)
        0 is black, 255 white.

    Raises
    ------
    ValueError
        When `tiles` is not such an array.
    OSError
        When the file cannot be written.
    """
    if tiles.ndim != 4 or tiles.dtype != np.uint8 or not tiles.size:
        raise ValueError(f"tiles: {tiles.dtype} {tiles.shape}; must be uint8 [rows, columns, h, w]")
    rows, columns, height, width = tiles.shape
    sheet = tiles.swapaxes(1, 2).reshape(rows * height, columns * width)
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, format="PNG", optimize=True)
    write_bytes(path, buffer.getvalue())


def load_tiles(path: str | Path, *, height: int = 28, width: int = 28) -> NDArray[np.uint8]:
    """Read what `save_tiles` wrote.

    Parameters
    ----------
    path : path-like
        A grey PNG.
    height, width : int, default=28
        Pixels of one tile; the sheet does not record them.

    Returns
    -------
    uint8 array of shape (rows, columns, height, width)

    Raises
    ------
    InputError
        When the file is missing, damaged, no grey PNG, or not a whole number of tiles.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise unreadable(path, "a grey PNG", error) from error
    sheet = _decode(path, content)
    rows, spare_rows = divmod(sheet.shape[0], height)
    columns, spare_columns = divmod(sheet.shape[1], width)
    if spare_rows or spare_columns:
        raise InputError(
            f"{path}: {sheet.shape[0]} x {sheet.shape[1]} pixels is not a whole number of tiles of "
            f"{height} x {width}; delete it, and `dvc repro` makes it"
        )
    return sheet.reshape(rows, height, columns, width).swapaxes(1, 2)


def _decode(path: str | Path, content: bytes) -> NDArray[np.uint8]:
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if image.mode != "L":
                raise ValueError(f"its mode is {image.mode}, not L")
            return np.array(image, dtype=np.uint8)
    except (OSError, SyntaxError, ValueError) as error:
        raise unreadable(path, "a grey PNG", error) from error
