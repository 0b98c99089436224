r"""How honest draws of missing pixels are: coverage of their intervals, and CRPS.

**Intervals.** The central interval of a level reaches from rank :math:`(J + 1) \alpha / 2` to
rank :math:`(J + 1) (1 - \alpha / 2)` of the J ordered draws, :math:`\alpha` = 1 - level; between
ranks, values are interpolated (type 6 of [1]_). Where the truth is exchangeable with the draws,
all J + 1 ranks that it may have among them are equally likely. An interval between whole ranks
of a continuous law thus covers it with exactly the probability `level`, for every J; the
commoner type 7 covers less. All ranks are whole for the levels 0.5, 0.9 and 0.95 with
J = 39, 79, 119, 159, 199, ... draws.

**Half a grey level.** Grey level g stands for the intensities within half a level of it. An
interval therefore reaches half a level further on either side, and so does its width: a pixel
whose draws all are 0 has the interval from -0.5 / 255 to 0.5 / 255.

**Ties.** Most pixels are exactly 0, and so are most of their draws. An interval that ends in
such an atom covers all of it: plain coverage above the level is no sign of draws that are too
wide. Therefore the mass of the probability integral transform (PIT) too: ties are shared out
evenly between the ranks that they span [2]_. With :math:`J_<` draws below the truth and
:math:`J_=` equal to it, the PIT is uniform on
:math:`[J_<, \; J_< + J_= + 1] / (J + 1)`, and the part of that which lies within
:math:`[\alpha / 2, \; 1 - \alpha / 2]` has exactly `level` as its expectation where truth and
draws are exchangeable, whatever their law.

**Grey pixels.** Pixels whose truth is neither 0 nor 255 are counted apart. They are chosen by the
truth, which no draw knows: the nominal level is not what perfect draws would reach there.

References
----------
.. [1] R. J. Hyndman, Y. Fan, "Sample quantiles in statistical packages", The American
   Statistician 50 (1996), 361-365.
.. [2] C. Czado, T. Gneiting, L. Held, "Predictive model assessment for count data", Biometrics
   65 (2009), 1254-1261.
.. [3] T. Gneiting, A. E. Raftery, "Strictly proper scoring rules, prediction, and estimation",
   Journal of the American Statistical Association 102 (2007), 359-378, section 4.2.
.. [4] C. A. T. Ferro, "Fair scores for ensemble forecasts", Quarterly Journal of the Royal
   Meteorological Society 140 (2014), 1917-1923.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaefill.errors import InputError

Numbers = NDArray[np.number[Any]]
Floats = NDArray[np.float64]

INTERVALS = (0.5, 0.9, 0.95)
CURVE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)

#: Grey level g stands for all intensities within (g - HALF_LEVEL) / 255 and (g + HALF_LEVEL) / 255.
HALF_LEVEL = 0.5

_CHUNK = 2**21  # draws at a time, 8 bytes each


def central_interval(ordered: Numbers, level: float) -> tuple[Floats, Floats]:
    """Find the central interval of ordered draws; the module says which.

    Parameters
    ----------
    ordered : array of shape (J, ...)
        Ascending along the first axis.
    level : float
        In (0, 1).

    Returns
    -------
    low, high : float64 arrays of shape (...)
        In the unit of the draws, without the half grey level.

    Raises
    ------
    InputError
        When `level` is out of range, or beyond (J - 1) / (J + 1): so few draws reach no further.
    """
    if not 0 < level < 1:
        raise InputError(f"level = {level}: must lie between 0 and 1, such as 0.95")
    n_draws = len(ordered)
    rank = round((n_draws + 1) * (1 - level) / 2, 9)  # 20 * (1 - 0.9) / 2 is below 1
    if rank < 1 or n_draws < 2:
        needed = max(2, int(np.ceil(round(2 / (1 - level), 9))) - 1)
        raise InputError(f"{n_draws} draws: the interval of level {level} needs at least {needed}")
    whole = int(rank)
    part = rank - whole
    low, high = (
        (1 - part) * ends[whole - 1].astype(np.float64) + part * ends[whole]
        for ends in (ordered, ordered[::-1])
    )
    return low, high


def crps(ordered: Numbers, truth: Numbers) -> Floats:
    r"""Continuous ranked probability score of ordered draws, at least 0 in expectation.

    .. math:: \frac1J \sum_i |x_i - y| - \frac1{2 J (J - 1)} \sum_{i, j} |x_i - x_j|, \qquad
        \sum_{i, j} |x_i - x_j| = 2 \sum_i (2 i - J - 1) \, x_{(i)}

    ([3]_ of the module, in the fair version of [4]_: J (J - 1) instead of J^2 makes its
    expectation that of endlessly many draws, so that methods with different J can be compared).
    The score of a single number would be its absolute error.

    Parameters
    ----------
    ordered : array of shape (J, ...)
        At least two draws, ascending along the first axis.
    truth : array of shape (...)

    Returns
    -------
    float64 array of shape (...)
        In the unit of the draws. Single values may be negative, as an unbiased estimate may.
    """
    n_draws = len(ordered)
    x = ordered.astype(np.float64)
    weights = 2.0 * np.arange(1, n_draws + 1) - n_draws - 1
    spread = np.tensordot(weights, x, 1) / (n_draws * (n_draws - 1))
    score: Floats = np.abs(np.subtract(x, truth, out=x), out=x).mean(0) - spread
    return score


def score_draws(
    draws: NDArray[np.uint8],
    truth: NDArray[np.uint8],
    missing: NDArray[np.bool_],
    levels: Sequence[float] = INTERVALS,
) -> dict[str, Floats]:
    """Score the draws of the missing pixels, per image, as sums over pixels.

    Sums of several batches of images may be joined; divided by the number of pixels they are
    means: of an image, or with `pixel_means` of all pixels. Images are scored in chunks: beyond
    its arguments and its result this needs some 50 MB.

    Parameters
    ----------
    draws : uint8 array of shape (J, n, ...)
        Grey levels of every draw; those of observed pixels are not looked at.
    truth : uint8 array of shape (n, ...)
        True grey levels.
    missing : bool array of shape (n, ...)
        True where a pixel was hidden.
    levels : sequence of float, default=(0.5, 0.9, 0.95)
        Of the intervals.

    Returns
    -------
    dict of str to float64 array of shape (n,)
        ``pixels``, the number of missing pixels. With L the level in per cent: ``covered_L``, how
        many of them lie in their intervals; ``width_L``, the sum of the intervals' widths;
        ``pit_L``, the sum of the masses of their PIT in the central part. ``crps``, the sum of
        `crps`. Widths and CRPS are in units of the range of the pixels, [0, 1]. The same over
        the grey pixels alone under ``pixels_grey``, ``covered_L_grey``, ... .

    Raises
    ------
    InputError
        When shapes or types are wrong, or the draws are too few for a level.
    """
    _check(draws, truth, missing)
    n_draws = len(draws)
    chunk = max(1, _CHUNK * len(truth) // (n_draws * int(missing.sum()) + 1))
    parts = []
    for start in range(0, len(truth), chunk):
        some = slice(start, start + chunk)
        hidden = missing[some]
        image = np.nonzero(hidden)[0]
        x, y = np.sort(draws[:, some][:, hidden], axis=0), truth[some][hidden]
        values = {"pixels": np.ones(len(y)), "crps": crps(x, y) / 255}
        below, equal = (x < y).sum(0), (x == y).sum(0)
        for level in levels:
            low, high = central_interval(x, level)
            inside = (low - HALF_LEVEL <= y) & (y <= high + HALF_LEVEL)
            name = f"{100 * level:g}"
            values[f"covered_{name}"] = inside.astype(np.float64)
            values[f"width_{name}"] = (high - low + 2 * HALF_LEVEL) / 255
            values[f"pit_{name}"] = _pit_mass(below, equal, n_draws, level)
        grey = (y > 0) & (y < 255)
        n = len(truth[some])
        parts.append(
            {key: np.bincount(image, value, n) for key, value in values.items()}
            | {f"{k}_grey": np.bincount(image[grey], v[grey], n) for k, v in values.items()}
        )
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _pit_mass(
    below: NDArray[np.int64], equal: NDArray[np.int64], n_draws: int, level: float
) -> Floats:
    """Part of the uniform law on [below, below + equal + 1] that lies in the central part."""
    tail = (n_draws + 1) * (1 - level) / 2
    low, high = np.maximum(below, tail), np.minimum(below + equal + 1, n_draws + 1 - tail)
    mass: Floats = np.maximum(high - low, 0) / (equal + 1)
    return mass


def pixel_means(scores: Mapping[str, Floats]) -> dict[str, float]:
    """Means over the pixels of all images, from what `score_draws` returned.

    Returns
    -------
    dict of str to float
        The keys of `scores` but for the numbers of pixels; nan where there is no pixel.
        ``covered_L`` is now the coverage, ``pit_L`` the mass, ``width_L`` the mean width.
    """
    means = {}
    for key, values in scores.items():
        if not key.startswith("pixels"):
            pixels = scores["pixels_grey" if key.endswith("_grey") else "pixels"].sum()
            means[key] = float(values.sum() / pixels) if pixels else float("nan")
    return means


def coverage_curve(scores: Mapping[str, Floats], levels: Sequence[float] = CURVE) -> Floats:
    """Coverage at a grid of levels: the points of a calibration figure.

    Parameters
    ----------
    scores : mapping
        What `score_draws` returned with these `levels`.
    levels : sequence of float, default=(0.1, 0.2, ..., 0.9, 0.95)
        Nominal levels.

    Returns
    -------
    float64 array of shape (4, len(levels))
        The levels; coverage over all missing pixels; mass of the PIT, to be compared with the
        levels; coverage over the grey ones.

    Raises
    ------
    InputError
        When `scores` has not one of the levels.
    """
    means = pixel_means(scores)
    names = [f"{100 * level:g}" for level in levels]
    if absent := [name for name in names if f"covered_{name}" not in means]:
        raise InputError(f"no scores at {', '.join(absent)} %; give score_draws these levels")
    columns = [
        (means[f"covered_{n}"], means[f"pit_{n}"], means[f"covered_{n}_grey"]) for n in names
    ]
    return np.vstack([levels, np.transpose(columns)])


def _check(draws: NDArray[np.uint8], truth: NDArray[np.uint8], missing: NDArray[np.bool_]) -> None:
    arrays: list[tuple[str, NDArray[Any], type]] = [
        ("draws", draws, np.uint8), ("truth", truth, np.uint8), ("missing", missing, np.bool_)
    ]  # fmt: skip
    for name, array, dtype in arrays:
        shape = array.shape[1:] if name == "draws" else array.shape
        if array.dtype != dtype or shape != truth.shape:
            raise InputError(
                f"{name}: {array.dtype} of shape {array.shape}; must be {np.dtype(dtype)} of "
                f"{'shape (J, *truth.shape)' if name == 'draws' else 'the shape of truth'}, "
                f"which is {truth.shape}"
            )
    if truth.ndim < 2 or not len(truth) or len(draws) < 2:
        raise InputError(
            f"{len(draws)} draws of images of shape {truth.shape}; must be at least 2 draws of at "
            "least 1 image, (n, pixels)"
        )
