r"""Missingness mechanisms: which pixels of an image are missing.

With pixels x and M the missing ones, a mechanism is the distribution P(M | x) [1]_, [2]_. It is

- missing completely at random (MCAR) when P(M | x) = P(M): where an image is incomplete depends
  neither on its observed nor on its missing values. A whole block is MCAR too, because its place
  is drawn without a look at the pixels; that they are missing together does not matter for that.
- missing at random (MAR) when P(M | x) depends on the pixels that M leaves observed alone; here
  everywhere, that is for each M that can be drawn and not just for the one that was [3]_.
- missing not at random (MNAR) otherwise.

Inference from p(observed pixels) may ignore the mechanism under the first two, not the third.

The MCAR ones use of `images` the shape alone, and take each number once for all images or, as an
array of shape (n_samples,), one per image.

References
----------
.. [1] D. B. Rubin, "Inference and missing data", Biometrika 63 (1976) 581-592.
.. [2] R. J. A. Little, D. B. Rubin, "Statistical analysis with missing data", 3rd ed. (2019),
   section 1.3.
.. [3] S. Seaman, J. Galati, D. Jackson, J. Carlin, "What is meant by 'missing at random'?",
   Statistical Science 28 (2013) 257-268.
.. [4] N. B. Ipsen, P.-A. Mattei, J. Frellsen, "not-MIWAE: deep generative modelling with missing
   not at random data", ICLR 2021, arXiv:2006.12871.
"""

import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit

from vaefill.errors import InputError

SIDES = ("top", "bottom", "left", "right")


def random(
    images: NDArray[Any], *, fraction: ArrayLike, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Let every pixel be missing independently, with the same probability.

    Parameters
    ----------
    images : array of shape (n_samples, height, width)
    fraction : float, or array of shape (n_samples,)
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
    return rng.random(images.shape) < _fraction("random", fraction)[..., None, None]


def square(images: NDArray[Any], *, size: ArrayLike, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Let one square be missing from every image, at a place drawn uniformly.

    Parameters
    ----------
    images : array of shape (n_samples, height, width)
    size : int, or array of shape (n_samples,)
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
    return _square(images.shape, _size("square", size, images.shape), rng)


def squares(
    images: NDArray[Any], *, count: ArrayLike, size: ArrayLike, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Let several squares of one size be missing, each at a place of its own as in `square`.

    They may overlap, so that between size² and count · size² pixels are missing.

    Parameters
    ----------
    images : array of shape (n_samples, height, width)
    count : int, or array of shape (n_samples,)
        Squares per image, at least 1.
    size : int, or array of shape (n_samples,)
        Side in pixels, from 1 to the shorter side of the image.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of bool, shape (n_samples, height, width)
        True where a pixel is missing.

    Raises
    ------
    InputError
        When `count` is below 1, or no such square fits into the image.
    """
    size = _size("squares", size, images.shape)
    count = _checked(
        "squares",
        "count",
        count,
        lambda n: n >= 1,
        "must be a whole number, at least 1",
        whole=True,
    )
    missing = np.zeros(images.shape, bool)
    for drawn in range(count.max(initial=0)):
        missing |= _square(images.shape, size, rng) & (drawn < count)[..., None, None]
    return missing


def half(images: NDArray[Any], *, side: str = "any", rng: np.random.Generator) -> NDArray[np.bool_]:
    """Let one half of every image be missing; the middle line of an odd number stays observed.

    Parameters
    ----------
    images : array of shape (n_samples, height, width)
    side : {"any", "top", "bottom", "left", "right"}
        Which half; "any" draws one of the four uniformly, for every image anew.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of bool, shape (n_samples, height, width)
        True where a pixel is missing.

    Raises
    ------
    InputError
        When `side` is none of these.
    """
    if side != "any" and side not in SIDES:
        raise InputError(f"half: side = {side!r}: must be one of any, {', '.join(SIDES)}")
    n_samples, height, width = images.shape
    halves = np.zeros((len(SIDES), height, width), bool)
    halves[0, : height // 2] = halves[1, height - height // 2 :] = True
    halves[2, :, : width // 2] = halves[3, :, width - width // 2 :] = True
    choices = np.arange(len(SIDES)) if side == "any" else np.array([SIDES.index(side)])
    missing: NDArray[np.bool_] = halves[rng.choice(choices, size=n_samples)]
    return missing


def scanlines(
    images: NDArray[Any], *, fraction: ArrayLike, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Let every row of pixels be missing independently, with the same probability.

    Parameters
    ----------
    images : array of shape (n_samples, height, width)
    fraction : float, or array of shape (n_samples,)
        The probability, strictly between 0 and 1.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of bool, shape (n_samples, height, width)
        True where a pixel is missing.

    Raises
    ------
    InputError
        When `fraction` is not strictly between 0 and 1.
    """
    n_samples, height, width = images.shape
    lost = rng.random((n_samples, height)) < _fraction("scanlines", fraction)[..., None]
    return np.repeat(lost[:, :, None], width, axis=2)


def mar(
    images: NDArray[Any], *, fraction: float, strength: float = 1.0, rng: np.random.Generator
) -> NDArray[np.bool_]:
    r"""Let pixels of the right half be missing as the ink of the left half, observed, has it.

    Every pixel among the last width // 2 columns of image i is missing independently, with

    .. math:: P_i = \operatorname{sigmoid}(a + b s_i), \qquad
        \frac1n \sum_i P_i = \text{fraction},

    where s_i is the mean of the other columns' pixels, standardised over the images given (all 0
    where they do not differ), b the strength, and the second equation determines a. What decides
    is always observed: MAR.

    Parameters
    ----------
    images : float array of shape (n_samples, height, width)
        Pixels in [0, 1].
    fraction : float
        Average probability in the right half, strictly between 0 and 1; of the whole image half
        as many pixels are missing.
    strength : float, default=1
        Log odds per standard deviation of ink; below 0 where ink is to protect.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of bool, shape (n_samples, height, width)
        True where a pixel is missing.

    Raises
    ------
    InputError
        When `fraction` is not strictly between 0 and 1, `strength` is not finite, or a pixel is
        outside [0, 1].
    """
    n_samples, height, width = images.shape
    right = width // 2
    ink = _pixels("mar", images[:, :, : width - right]).mean(axis=(1, 2), dtype=float)
    if n_samples:
        ink = (ink - ink.mean()) / (ink.std() or 1)
    probability = _logistic("mar", ink, fraction, strength)
    missing = np.zeros(images.shape, bool)
    missing[:, :, width - right :] = (
        rng.random((n_samples, height, right)) < probability[:, None, None]
    )
    return missing


def mnar(
    images: NDArray[Any], *, fraction: float, strength: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    r"""Let every pixel hide itself, independently, as its own brightness has it [4]_.

    A pixel of value x is missing with

    .. math:: P(x) = \operatorname{sigmoid}(a + b x), \qquad
        \operatorname{mean} P(x) = \text{fraction},

    the mean over all pixels of all images given, which determines a; b is the strength. What
    decides is missing itself: MNAR unless b = 0, which is `random`.

    Parameters
    ----------
    images : float array of shape (n_samples, height, width)
        Pixels in [0, 1].
    fraction : float
        Average probability, strictly between 0 and 1.
    strength : float
        Log odds of a white pixel less those of a black one; above 0 where bright pixels are
        missing more often.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of bool, shape (n_samples, height, width)
        True where a pixel is missing.

    Raises
    ------
    InputError
        When `fraction` is not strictly between 0 and 1, `strength` is not finite, or a pixel is
        outside [0, 1].
    """
    probability = _logistic("mnar", _pixels("mnar", images), fraction, strength)
    return rng.random(images.shape) < probability


#: Those that never look at a pixel.
MCAR: dict[str, Callable[..., NDArray[np.bool_]]] = {
    "random": random,
    "square": square,
    "squares": squares,
    "half": half,
    "scanlines": scanlines,
}
MECHANISMS: dict[str, Callable[..., NDArray[np.bool_]]] = {**MCAR, "mar": mar, "mnar": mnar}


def draw(
    images: NDArray[Any], *, seed: int, settings: Mapping[str, Mapping[str, Any]]
) -> dict[str, NDArray[np.bool_]]:
    """Draw the missing pixels of every image, once per mechanism.

    Parameters
    ----------
    images : array of shape (n_samples, height, width)
        Pixels in [0, 1].
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
            images, **keywords, rng=np.random.default_rng([seed, zlib.crc32(name.encode())])
        )
        for name, keywords in settings.items()
    }


def _checked(
    mechanism: str,
    name: str,
    value: ArrayLike,
    holds: Callable[[NDArray[Any]], NDArray[np.bool_]],
    rule: str,
    *,
    whole: bool = False,
) -> NDArray[Any]:
    """Give `value` as an array whose every number keeps the rule, and is whole if need be."""
    values = np.asarray(value)
    if not np.issubdtype(values.dtype, np.number):
        raise InputError(f"{mechanism}: {name} = {values.flat[:1].tolist()[0]!r}: must be a number")
    kept = holds(values) & (not whole or np.issubdtype(values.dtype, np.integer))
    if not kept.all():
        raise InputError(f"{mechanism}: {name} = {values[~kept].flat[0]}: {rule}")
    return values


def _fraction(mechanism: str, fraction: ArrayLike) -> NDArray[Any]:
    rule = "must lie strictly between 0 and 1"
    return _checked(mechanism, "fraction", fraction, lambda f: (f > 0) & (f < 1), rule)


def _size(mechanism: str, size: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.int64]:
    _, height, width = shape
    shorter = min(height, width)
    rule = f"must be from 1 to {shorter} whole pixels to fit into images of {height} x {width}"
    return _checked(mechanism, "size", size, lambda s: (s >= 1) & (s <= shorter), rule, whole=True)


def _pixels(mechanism: str, images: NDArray[Any]) -> NDArray[Any]:
    rule = "pixels must lie in [0, 1]"
    return _checked(mechanism, "images", images, lambda x: (x >= 0) & (x <= 1), rule)


def _logistic(
    mechanism: str, x: NDArray[Any], fraction: float, strength: float
) -> NDArray[np.float64]:
    """sigmoid(a + strength x), with the a that makes its mean over all x the fraction."""
    _fraction(mechanism, fraction)
    _checked(mechanism, "strength", strength, np.isfinite, "must be a finite number")
    if not x.size:
        return np.zeros(x.shape)
    # Pixels have few values: the sum over these is as good as that over all.
    values, counts = np.unique(x, return_counts=True)
    slopes, weights = strength * values.astype(float), counts / x.size

    def excess(a: float) -> float:
        return float(weights @ expit(a + slopes)) - fraction

    # At logit(fraction) - max(slopes) no probability exceeds the fraction; 1 more for rounding.
    low, high = logit(fraction) - slopes.max() - 1, logit(fraction) - slopes.min() + 1
    probability: NDArray[np.float64] = expit(brentq(excess, low, high) + strength * x)
    return probability


def _square(
    shape: tuple[int, ...], size: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.bool_]:
    n_samples, height, width = shape
    in_rows = _intervals(n_samples, height, size, rng)
    in_columns = _intervals(n_samples, width, size, rng)
    return in_rows[:, :, None] & in_columns[:, None, :]


def _intervals(
    n_samples: int, length: int, size: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Per sample True on `size` neighbours of `length`, every whole place equally likely."""
    size = size[..., None]
    start = rng.integers(length - size + 1, size=(n_samples, 1))
    places = np.arange(length)
    return (start <= places) & (places < start + size)
