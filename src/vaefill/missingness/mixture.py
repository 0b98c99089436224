"""A mixture of missingness mechanisms, to train on images that are incomplete in many ways.

Each image gets a mechanism of its own, and the numbers of that mechanism are drawn for each image
within a range. A model that is to impute under mechanisms not known beforehand is trained on such
a mixture, as in [1]_. All are missing completely at random: nothing is drawn with a look at the
pixels, so that a bound on p(observed pixels) needs no model of the mechanism [2]_.

References
----------
.. [1] O. Ivanov, M. Figurnov, D. Vetrov, "Variational autoencoder with arbitrary conditioning",
   ICLR 2019, arXiv:1806.02382.
.. [2] D. B. Rubin, "Inference and missing data", Biometrika 63 (1976) 581-592.
"""

import inspect
import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaefill.errors import InputError
from vaefill.missingness.mechanisms import MCAR

_KEYWORDS = {
    name: inspect.signature(draw).parameters.keys() - {"images", "rng"}
    for name, draw in MCAR.items()
}


def draw_mixture(
    n: int,
    height: int,
    width: int,
    *,
    parts: Mapping[str, Mapping[str, Any]],
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Draw the missing pixels of `n` images, each from one of several mechanisms.

    Parameters
    ----------
    n, height, width : int
        Number and size of the images.
    parts : mapping of str to mapping
        Name in `vaefill.missingness.mechanisms.MCAR` to ``weight``, at least 0, and that
        function's keywords.
        An image gets a mechanism with probability weight / sum of weights. A keyword is one value
        for all images, or a list ``[low, high]``: drawn uniformly for each image, from
        the integers with both ends where both are integers, else from the reals.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of bool, shape (n, height, width)
        True where a pixel is missing.

    Raises
    ------
    InputError
        When a mechanism or keyword is unknown or lacking, weights are negative or all 0, a range
        is not two ascending numbers, or a value breaks the mechanism's own rule.

    Examples
    --------
    >>> parts = {
    ...     "random": {"weight": 0.5, "fraction": [0.1, 0.8]},
    ...     "square": {"weight": 0.4, "size": [6, 18]},
    ...     "half": {"weight": 0.1, "side": "any"},
    ... }
    >>> draw_mixture(250, 28, 28, parts=parts, rng=np.random.default_rng(0)).shape
    (250, 28, 28)
    """
    weights = _weights(parts)
    settings = {name: _settings(name, part) for name, part in parts.items()}
    for name, keywords in settings.items():
        # Both ends of each range, so that a bad one is found whatever is drawn.
        MCAR[name](_blank(2, height, width), **keywords, rng=np.random.default_rng(0))
    which = rng.choice(len(weights), size=n, p=weights / weights.sum())
    missing = np.empty((n, height, width), bool)
    for part, (name, keywords) in enumerate(settings.items()):
        rows = np.flatnonzero(which == part)
        drawn = {key: _drawn(value, len(rows), rng) for key, value in keywords.items()}
        missing[rows] = MCAR[name](_blank(len(rows), height, width), **drawn, rng=rng)
    return missing


def _blank(n: int, height: int, width: int) -> NDArray[np.float32]:
    """Images without memory: MCAR mechanisms ask for the shape alone."""
    return np.broadcast_to(np.float32(0), (n, height, width))


def _weights(parts: Mapping[str, Mapping[str, Any]]) -> NDArray[np.float64]:
    """Weights of the parts, after a look at all their keys."""
    for name, part in parts.items():
        if name not in MCAR:
            raise InputError(f"mixture: {name!r}: must be one of {', '.join(MCAR)}")
        if set(part) != {"weight", *_KEYWORDS[name]}:
            raise InputError(
                f"mixture: {name}: has {', '.join(part) or 'no settings'}; "
                f"must have weight, {', '.join(sorted(_KEYWORDS[name]))}"
            )
        if not (_is_number(part["weight"]) and part["weight"] >= 0):
            raise InputError(
                f"mixture: {name}: weight = {part['weight']!r}: must be a number, at least 0"
            )
    weights = np.array([part["weight"] for part in parts.values()], float)
    if not weights.sum() > 0:
        raise InputError(f"mixture: weights = {weights.tolist()}: one at least must be above 0")
    return weights


def _settings(name: str, part: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords of one mechanism; a range becomes an array of its ends."""
    keywords = {key: value for key, value in part.items() if key != "weight"}
    for key, value in keywords.items():
        if isinstance(value, list | tuple):
            if len(value) != 2 or not all(map(_is_number, value)) or not value[0] <= value[1]:
                raise InputError(
                    f"{name}: {key} = {value}: a range must be two ascending numbers, [low, high]"
                )
            keywords[key] = np.array(value)
    return keywords


def _drawn(value: Any, n: int, rng: np.random.Generator) -> Any:
    """Draw for each of `n` images within a range; what is no range stays as it is."""
    if not isinstance(value, np.ndarray):
        return value
    low, high = value
    if np.issubdtype(value.dtype, np.integer):
        return rng.integers(low, high, size=n, endpoint=True)
    return rng.uniform(low, high, size=n)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
