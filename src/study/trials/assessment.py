"""Scores of imputers: how near, how honest, and whether the digit is still there.

A baseline has a name in place of the model, and no recipe, seed or method.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from vaefill.inference.convergence import flagged
from vaefill.metrics import images as metrics
from vaefill.metrics.calibration import CURVE, pixel_means
from vaefill.metrics.rubin import ink_by_digit
from vaefill.metrics.statistics import mean_interval

#: Of a row of ``scores.csv``.
COLUMNS = (
    "recipe", "model", "seed", "mechanism", "method", "output", "region", "metric", "value",
)  # fmt: skip
Row = tuple[str | int | float, ...]
Recognised = Callable[[NDArray[np.floating[Any]]], float]
#: Of `vaefill.metrics.images.score`, what is reported of imputations.
SCORES = (("image", "mse"), ("missing", "mse"), ("image", "ssim"), ("image", "ssim_global"))


class Source(NamedTuple):
    """Where an imputation comes from; a baseline has a name, as its model, and nothing else."""

    recipe: str
    model: str
    seed: int | str
    method: str


def source_rows(
    source: Source,
    found: Mapping[str, NDArray[Any]],
    images: NDArray[np.floating[Any]],
    missing: Mapping[str, NDArray[np.bool_]],
    *,
    recognised: Recognised,
) -> Iterator[Row]:
    """Score all that one source found, under every mechanism.

    Parameters
    ----------
    source : Source
        What made it.
    found : dict of str to array
        Per mechanism ``{mechanism}/mean``, and where there are draws what
        `study.trials.trial.try_imputer` returned, named alike; of the first n images.
    images : float array of shape (n or more, height, width)
        Complete images.
    missing : dict of str to bool array of the shape of `images`
        Per mechanism, where a pixel was hidden.
    recognised : callable
        As for `accuracy_rows`; it is given n images.

    Yields
    ------
    tuple
        A row.
    """
    for mechanism, gaps in missing.items():
        part = _part(mechanism, found)
        some = slice(len(part["mean"]))
        yield from accuracy_rows(
            source, mechanism, part["mean"], images[some], gaps[some], recognised=recognised
        )
        if _part("uncertainty", part):
            yield from uncertainty_rows(source, mechanism, part)


def accuracy_rows(
    source: Source,
    mechanism: str,
    prediction: NDArray[np.floating[Any]],
    images: NDArray[np.floating[Any]],
    missing: NDArray[np.bool_],
    *,
    recognised: Recognised,
) -> Iterator[Row]:
    """Score the imputation made from a prediction.

    Parameters
    ----------
    source : Source
        What made it.
    mechanism : str
        What made the pixels missing.
    prediction, images : float arrays of shape (n, height, width)
        Pixels in [0, 1].
    missing : bool array of shape (n, height, width)
        True where a pixel was hidden.
    recognised : callable
        The share of images whose digit a classifier reads right.

    Yields
    ------
    tuple
        A row.
    """
    prediction = prediction.astype(np.float32)
    scores = metrics.score(images, prediction, missing)
    for region, metric in SCORES:
        value = float(np.nanmean(scores["imputation", region, metric]))
        yield _row(source, mechanism, region, metric, value)
    filled = np.where(missing, prediction, images)
    yield _row(source, mechanism, "image", "accuracy", recognised(filled))


def uncertainty_rows(
    source: Source, mechanism: str, found: Mapping[str, NDArray[Any]]
) -> Iterator[Row]:
    """Score the draws of one method, from what `study.trials.trial.try_imputer` returned.

    ``covered_L`` is the share of the missing pixels that lie in their intervals of level L, ends
    included, ``width_L`` the mean width of these. ``coverage_L`` shares out ties: as most pixels
    are exactly 0 in truth and in all draws, the ends hold much of the mass, and it is this coverage
    that is L for honest draws (the PIT's mass of `vaefill.metrics.calibration`). Region ``grey`` is
    that of the missing pixels that are neither 0 nor 1 in truth.

    Yields
    ------
    tuple
        A row.
    """
    means = pixel_means(_part("uncertainty", found))
    names = {"pit": "coverage", "covered": "covered", "width": "width"}
    for suffix, region in (("", "missing"), ("_grey", "grey")):
        for level in CURVE:
            for key, metric in names.items():
                value = means[f"{key}_{100 * level:g}{suffix}"]
                yield _row(source, mechanism, region, f"{metric}_{level:g}", value)
        yield _row(source, mechanism, region, "crps", means[f"crps{suffix}"])
    diagnostics = {k: torch.from_numpy(v) for k, v in _part("diagnostics", found).items()}
    if diagnostics.keys() & {"rhat", "pareto_k"}:
        share = flagged(diagnostics).double().mean().item()
        yield _row(source, mechanism, "image", "flagged", share)
    if "ess" in diagnostics:
        yield _row(source, mechanism, "image", "ess", diagnostics["ess"].nanmean().item())


def ink_rows(
    images: NDArray[np.uint8],
    missing: NDArray[np.bool_],
    mean: NDArray[np.floating[Any]],
    ink: NDArray[np.floating[Any]],
    labels: NDArray[np.integer[Any]],
) -> list[tuple[int | str | float, ...]]:
    """Estimate the mean ink of each digit: complete, from single and from multiple imputations.

    Parameters
    ----------
    images : uint8 array of shape (n, height, width)
        Complete images.
    missing : bool array of shape (n, height, width)
        True where a pixel was hidden.
    mean : float array of shape (n, height, width)
        Expected pixels, in [0, 1].
    ink : float array of shape (n_draws, n)
        Mean intensity of every completed image.
    labels : integer array of shape (n,)
        Digits.

    Returns
    -------
    list of tuple
        digit, source, estimate, low, high, and the fraction of missing information or "". Single
        imputations, by zeros and by the expected pixels, are taken as if they were data.
    """
    complete = images / 255
    single = {
        "complete": complete,
        "zero": np.where(missing, 0, complete),
        "mean": np.where(missing, mean, complete),
    }
    rows: list[tuple[int | str | float, ...]] = []
    # One number per image: as an image of one pixel.
    pooled = ink_by_digit((draw[:, None, None] for draw in ink.astype(np.float64)), labels)
    for digit, estimate in pooled.items():
        for source, values in single.items():
            interval = mean_interval(values[labels == digit].mean((-2, -1)))
            rows.append((digit, source, *interval, ""))
        ends = (estimate.estimate, estimate.low, estimate.high)
        rows.append((digit, "multiple", *ends, estimate.fraction_missing))
    return rows


def _part(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    start = f"{prefix}/"
    return {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)}


def complete_row(recognised: float) -> Row:
    """Tell which share of complete images is read right: the ceiling of all imputers."""
    return _row(Source("", "complete", "", ""), "none", "image", "accuracy", recognised)


def _row(source: Source, mechanism: str, region: str, metric: str, value: float) -> Row:
    recipe, model, seed, method = source
    return recipe, model, seed, mechanism, method, "imputation", region, metric, value


def in_order(rows: Sequence[Row]) -> list[Row]:
    """Sort rows; a baseline has no seed, and stands before the models."""
    return sorted(rows, key=lambda row: tuple(str(cell) for cell in row[:-1]))
