"""Missingness mechanisms: which pixels of an image are missing.

Both are missing completely at random (MCAR): where an image is incomplete depends neither on
its observed nor on its missing values, P(missing | image) = P(missing). A whole block is MCAR
too, because its place is drawn without a look at the pixels; that its pixels are missing
together does not matter for that.

References
----------
Rubin: Inference and missing data. Biometrika 63 (1976) 581-592.
Little, Rubin: Statistical analysis with missing data, 3rd ed. (2019), section 1.3.
"""

import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaefill.errors import InputError


def random(
    shape: tuple[int, int, int], *, fraction: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Let every pixel be missing independently, with the same probability.

    Parameters
    ----------
    shape : (n_samples, height, width)
    fraction : float
        The probability, strictly between 0 and 1.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of bool, shape (n_samples, height, width)
        True where a pixel is missing; drawn anew for every image.

    Raises
    ------
    InputError
        When `fraction` is not strictly between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise InputError(f"random: fraction = {fraction}: must lie strictly between 0 and 1")
    return rng.random(shape) < fraction


def square(
    shape: tuple[int, int, int], *, size: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Let one square be missing from every image, at a place drawn uniformly.

    Parameters
    ----------
    shape : (n_samples, height, width)
    size : int
        Side in pixels, from 1 to the shorter side of the image; the square is always whole.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of bool, shape (n_samples, height, width)
        True where a pixel is missing.

    Raises
    ------
    InputError
        When no such square fits into the image.
    """
    n_samples, height, width = shape
    if not 1 <= size <= min(height, width):
        raise InputError(
            f"square: size = {size}: must be from 1 to {min(height, width)} pixels to fit into "
            f"images of {height} x {width}"
        )
    in_rows = _intervals(n_samples, height, size, rng)
    in_columns = _intervals(n_samples, width, size, rng)
    return in_rows[:, :, None] & in_columns[:, None, :]


MECHANISMS: dict[str, Callable[..., NDArray[np.bool_]]] = {"random": random, "square": square}


def draw(
    shape: tuple[int, int, int], *, seed: int, settings: Mapping[str, Mapping[str, Any]]
) -> dict[str, NDArray[np.bool_]]:
    """Draw the missing pixels of every image, once per mechanism.

    Parameters
    ----------
    shape : (n_samples, height, width)
    seed : int
        At least 0. Each mechanism draws from a stream of its own, made from the seed and its
        name: it does not change with the settings of the others, nor with how many there are.
    settings : mapping
        Name in `MECHANISMS` to that function's keywords.

    Returns
    -------
    dict of str to ndarray of bool, shape (n_samples, height, width)
        True where a pixel is missing, per mechanism.
    """
    return {
        name: MECHANISMS[name](
            shape, **keywords, rng=np.random.default_rng([seed, zlib.crc32(name.encode())])
        )
        for name, keywords in settings.items()
    }


def _intervals(
    n_samples: int, length: int, size: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Per sample True on `size` neighbours of `length`, every whole place equally likely."""
    start = rng.integers(length - size + 1, size=(n_samples, 1))
    places = np.arange(length)
    return (start <= places) & (places < start + size)
