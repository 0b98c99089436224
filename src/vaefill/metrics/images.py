"""How far an output lies from its image: one value per image, never averaged beforehand.

Every metric here is the mean, over a region of the image, of a map: squared error has one
value per pixel, SSIM one per window. `METRICS` lists each map with the regions over which its
mean is defined; a new metric is one more entry.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vaefill.errors import InputError

Pixels: TypeAlias = NDArray[np.floating[Any]]
Booleans: TypeAlias = NDArray[np.bool_]
Floats: TypeAlias = NDArray[np.float64]

# So few images, and what is made of them on the way, stay within a processor's cache.
CHUNK = 100


def squared_error_map(image: Pixels, output: Pixels) -> Floats:
    """Squared difference of every pixel, ``[..., n, h, w]``."""
    return np.square(np.asarray(output, np.float64) - image)


def ssim_map(image: Pixels, output: Pixels, window: int | None = 7) -> Floats:
    r"""Structural similarity (SSIM) within every window that lies wholly inside the image.

    With the means :math:`\mu`, variances :math:`\sigma^2` and covariance :math:`\sigma_{xy}`
    of the pixels in a window,

    .. math::
        \frac{(2 \mu_x \mu_y + C_1) (2 \sigma_{xy} + C_2)}
             {(\mu_x^2 + \mu_y^2 + C_1) (\sigma_x^2 + \sigma_y^2 + C_2)},
        \qquad C_1 = 0.01^2, \; C_2 = 0.03^2,

    which is equation 13 of Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from
    error visibility to structural similarity", IEEE Trans. Image Process. 13(4), 2004, for
    pixels of range 1. As in scikit-image's default, all pixels of a window weigh the same, and
    variances and covariance divide by the number of pixels less one.

    Parameters
    ----------
    image : float array of shape (n, h, w)
        Pixels in [0, 1].
    output : float array of shape (..., n, h, w)
        Pixels in [0, 1]; leading axes hold several outputs for the same images.
    window : int or None, default=7
        Pixels per side, odd, at least 3; None is one window over the whole image.

    Returns
    -------
    float64 array of shape (..., n, h - window + 1, w - window + 1)
        Values in [-1, 1], placed as the centre pixels of their windows.

    Raises
    ------
    InputError
        When `window` is even, below 3 or larger than the image.
    """
    x, y = np.asarray(image, np.float64), np.asarray(output, np.float64)
    height, width = x.shape[-2:]
    if window is not None and (window < 3 or window % 2 == 0 or window > min(height, width)):
        raise InputError(
            f"SSIM window = {window} on images of {height} x {width} pixels: "
            "it must be odd, at least 3 and no larger than the image"
        )
    rows, columns = _averaging(height, window or height), _averaging(width, window or width)
    mean_x, mean_y, mean_xx, mean_yy, mean_xy = (
        _window_means(a, rows, columns) for a in (x, y, x * x, y * y, x * y)
    )
    pixels = (window or height) * (window or width)
    sample = pixels / (pixels - 1)
    product, squares = mean_x * mean_y, mean_x**2 + mean_y**2
    covariance, variances = sample * (mean_xy - product), sample * (mean_xx + mean_yy - squares)
    c1, c2 = 0.01**2, 0.03**2
    similarity: Floats = (2 * product + c1) * (2 * covariance + c2)
    return similarity / ((squares + c1) * (variances + c2))


def _averaging(size: int, window: int) -> Floats:
    """Banded matrix, ``[size - window + 1, size]``, that averages every run of `window` values."""
    offset = np.arange(size) - np.arange(size - window + 1)[:, np.newaxis]
    return np.where((offset >= 0) & (offset < window), 1 / window, 0.0)


def _window_means(a: Floats, rows: Floats, columns: Floats) -> Floats:
    # Image by image: products this small stay on one thread. One large product would be shared
    # among threads, which gains nothing here and stalls when another program has the cores.
    means: Floats = rows @ a @ columns.T
    return means


class Metric(NamedTuple):
    """A map of an output against its image, and the regions over which its mean is defined."""

    evaluate: Callable[[Pixels, Pixels], Floats]
    regions: tuple[str, ...]


METRICS = {
    "mse": Metric(squared_error_map, ("image", "missing", "observed")),
    "ssim": Metric(ssim_map, ("image", "missing", "observed")),
    "ssim_global": Metric(partial(ssim_map, window=None), ("image",)),
}


def _region_mean(values: Floats, region: Booleans | None) -> Floats:
    """Mean of each map over `region`, whose border is cropped to the map's size."""
    means: Floats
    if region is None:
        means = values.mean((-2, -1))
        return means
    top, left = ((r - v) // 2 for r, v in zip(region.shape[-2:], values.shape[-2:], strict=True))
    inside = region[..., top : top + values.shape[-2], left : left + values.shape[-1]]
    with np.errstate(invalid="ignore"):  # 0 / 0: the mean over nothing is nan
        means = np.where(inside, values, 0).sum((-2, -1)) / np.count_nonzero(inside, (-2, -1))
    return means


def mse(image: Pixels, output: Pixels, region: Booleans | None = None) -> Floats:
    """Mean squared error of each image.

    Parameters
    ----------
    image, output : float arrays of shape (n, h, w)
        Pixels in [0, 1].
    region : bool array of shape (n, h, w), optional
        The pixels that count; all of them by default.

    Returns
    -------
    float64 array of shape (n,)
        ``sum((output - image)**2 over region) / (pixels in region)``; nan where that is empty.
    """
    return _region_mean(squared_error_map(image, output), region)


def ssim(image: Pixels, output: Pixels, region: Booleans | None = None) -> Floats:
    """Mean structural similarity of each image over windows of 7 x 7 pixels (see `ssim_map`).

    Equal to ``skimage.metrics.structural_similarity`` with ``data_range=1`` and its defaults.

    Parameters
    ----------
    image, output : float arrays of shape (n, h, w)
        Pixels in [0, 1].
    region : bool array of shape (n, h, w), optional
        A window counts when its centre pixel lies in the region; all count by default. A
        window reaches 3 pixels beyond its centre, so the values near the border of a region
        depend on pixels outside of it too.

    Returns
    -------
    float64 array of shape (n,)
        Values in [-1, 1], 1 for equal images; nan where no window counts.
    """
    return _region_mean(ssim_map(image, output), region)


def ssim_global(image: Pixels, output: Pixels) -> Floats:
    """Structural similarity of each image in one window over the whole of it (see `ssim_map`).

    Parameters
    ----------
    image, output : float arrays of shape (n, h, w)
        Pixels in [0, 1].

    Returns
    -------
    float64 array of shape (n,)
        Values in [-1, 1], 1 for equal images.
    """
    return _region_mean(ssim_map(image, output, window=None), None)


def score(
    image: Pixels, prediction: Pixels, missing: Booleans | None = None
) -> dict[tuple[str, str, str], Floats]:
    """Score a prediction, and the imputation made from it, by every metric of `METRICS`.

    The imputation takes the missing pixels from the prediction and the others from the image.
    Images are scored in chunks: beyond its arguments and its result this needs about 10 MB.

    Parameters
    ----------
    image : float array of shape (n, h, w)
        The complete images, pixels in [0, 1].
    prediction : float array of shape (n, h, w)
        The decoder's whole output, pixels in [0, 1].
    missing : bool array of shape (n, h, w), optional
        True where a pixel was hidden. Without it nothing was, and only the prediction over
        the whole image is scored.

    Returns
    -------
    dict of (output, region, metric) to float64 array of shape (n,)
        Output is ``prediction`` or ``imputation``; region is ``image``, ``missing`` or
        ``observed``. A value is nan where its region is empty in that image.

    Raises
    ------
    InputError
        When the shapes differ, or the arrays are not what they should be.
    """
    _check(image, prediction, missing)
    parts = [
        _score_chunk(
            image[start : start + CHUNK],
            prediction[start : start + CHUNK],
            None if missing is None else missing[start : start + CHUNK],
        )
        for start in range(0, len(image), CHUNK)
    ]
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _score_chunk(
    image: Pixels, prediction: Pixels, missing: Booleans | None
) -> dict[tuple[str, str, str], Floats]:
    outputs = {"prediction": prediction}
    regions: dict[str, Booleans | None] = {"image": None}
    if missing is not None:
        outputs["imputation"] = np.where(missing, prediction, image)
        regions |= {"missing": missing, "observed": ~missing}
    # One stack, so that a metric looks at the image once for all outputs.
    stack = np.stack(list(outputs.values())).astype(np.float64, copy=False)
    scores: dict[tuple[str, str, str], Floats] = {}
    for name, metric in METRICS.items():
        values = metric.evaluate(image, stack)
        for region in metric.regions:
            if region in regions:
                means = _region_mean(values, regions[region])
                keys = ((output, region, name) for output in outputs)
                scores |= zip(keys, means, strict=True)
    return scores


def _check(image: Pixels, prediction: Pixels, missing: Booleans | None) -> None:
    if image.ndim != 3 or not len(image):
        raise InputError(f"image: shape {image.shape}; expected (n, height, width) with n > 0")
    arrays = {"image": image, "prediction": prediction, "missing": missing}
    for name, array in arrays.items():
        if array is None:
            continue
        if array.shape != image.shape:
            raise InputError(f"{name}: shape {array.shape}; must be that of image, {image.shape}")
        kind, words = (np.bool_, "bool") if name == "missing" else (np.floating, "float in [0, 1]")
        if not np.issubdtype(array.dtype, kind):
            raise InputError(f"{name}: values are {array.dtype}; must be {words}")
        # Otherwise a nan score could mean either this or an empty region.
        if not np.isfinite(array).all():
            raise InputError(f"{name}: nan or infinite values; must be {words}")
