"""All runs of one recipe, over seeds and image by image: the t prior beside the Gaussian."""

from collections.abc import Mapping, Sequence
from itertools import product
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaefill.errors import InputError
from vaefill.metrics.statistics import bootstrap_intervals, mean_interval, paired_difference
from vaefill.storage import load_arrays, load_table

MODELS = ("gauss", "t")
MECHANISMS = ("random", "square")
OUTPUTS = ("prediction", "imputation")
METRICS = ("mse", "ssim_global", "ssim")
#: What is compared: mechanism, output and metric, of whole images after a single pass; at the end
#: the ELBO of complete images.
CELLS = (*product(MECHANISMS, OUTPUTS, METRICS), ("none", "", "elbo"))
#: Their names in the files of `evaluate`.
NAMES = [f"{k}/{'single_pass' if out else ''}/{out}/image/{metric}" for k, out, metric in CELLS]
ELBO = NAMES[-1]

Scores = NDArray[np.float64]
#: The comparison of one recipe, a row per cell and seed: t - gauss over all images with the ends
#: of its interval, the means of both models over the outliers, and how many images, resamples and
#: outliers there are. What one image or the seed that chose cannot say is empty.
COLUMNS = (
    "mechanism", "output", "metric", "seed", "diff", "low", "high",
    "outliers_gauss", "outliers_t", "images", "resamples", "outliers",
)  # fmt: skip


def load_scores(directory: str | Path, seeds: Sequence[int]) -> Scores:
    """Read ``{model}.npz`` of every model: the scores of each seed, as ``{seed}/{score}``.

    Parameters
    ----------
    directory : path-like
        Where the files of one recipe lie; those of other seeds are left alone.
    seeds : sequence of int
        One run of each model per seed.

    Returns
    -------
    float64 array of shape (cells, models, seeds, images)
        Cells as in `CELLS`, models as in `MODELS`, seeds and images in the order given.

    Raises
    ------
    InputError
        When a file is missing, lacks a score, has one that is nan or infinite, or has another
        number of images than the first file.
    """
    files = [Path(directory, f"{model}.npz") for model in MODELS]
    contents = [load_arrays(file) for file in files]
    places = [
        (f"{file}: seed {seed}", arrays, seed)
        for (file, arrays), seed in product(zip(files, contents, strict=True), seeds)
    ]
    runs = [_load_run(*place) for place in places]
    for (place, *_), run in zip(places, runs, strict=True):
        if run.shape != runs[0].shape:
            raise InputError(
                f"{place}: scores of {run.shape[1]} images, but of {runs[0].shape[1]} in "
                f"{places[0][0]}; all runs are scored on the same images; `dvc repro` makes them"
            )
    return np.stack(runs, axis=1).reshape(len(CELLS), len(MODELS), len(seeds), -1)


def _load_run(place: str, content: Mapping[str, NDArray[Any]], seed: int) -> Scores:
    """Pick the scores of one run, one row per cell and one column per image."""
    for name in NAMES:
        if f"{seed}/{name}" not in content:
            raise InputError(f"{place}: no score {name}; `dvc repro` makes it")
    arrays = {name: content[f"{seed}/{name}"] for name in NAMES}
    shape = arrays[ELBO].shape
    for name in NAMES:
        if arrays[name].shape != shape or len(shape) != 1:
            raise InputError(
                f"{place}: {name} of shape {arrays[name].shape} beside an ELBO of shape {shape}; "
                "expected one value per image; `dvc repro` makes them"
            )
        undefined = np.count_nonzero(~np.isfinite(arrays[name]))
        if undefined:
            raise InputError(
                f"{place}: {name} is not finite for {undefined} of {shape[0]} images; "
                "a training that diverged does this: lower its lr in params.yaml"
            )
    return np.array([arrays[name] for name in NAMES], np.float64)


#: What is said of a run in five numbers, and the column of its metrics: whole images, imputed.
FIGURES = {"elbo": "elbo.elbo"} | {
    f"{mechanism}_{name}": f"scores.{mechanism}.single_pass.imputation.image.{metric}"
    for mechanism, (name, metric) in product(MECHANISMS, (("mse", "mse"), ("ssim", "ssim_global")))
}

#: Per figure, the values of gauss and of t, one per seed and in one order.
Figures = Mapping[str, tuple[Sequence[float], Sequence[float]]]


def load_figures(directory: str | Path, seeds: Sequence[int]) -> Figures:
    """Read the figures of both models, with `seeds` and no others.

    Parameters
    ----------
    directory : path-like
        Where ``gauss.csv`` and ``t.csv`` of one recipe lie, as stage `evaluate` writes them.
    seeds : sequence of int
        One run of each model per seed.

    Raises
    ------
    InputError
        When a file is missing, or has no such row, column or number.
    """
    columns = [_load_columns(Path(directory, f"{model}.csv"), seeds) for model in MODELS]
    return {name: (columns[0][name], columns[1][name]) for name in FIGURES}


def _load_columns(file: Path, seeds: Sequence[int]) -> dict[str, list[float]]:
    rows = {row.get("seed"): row for row in load_table(file)}
    try:
        return {
            name: [float(rows[str(seed)][column]) for seed in seeds]
            for name, column in FIGURES.items()
        }
    except (KeyError, ValueError) as error:
        raise InputError(f"{file}: not the metrics of seeds {seeds} ({error})") from error


def averages(figures: Figures) -> dict[str, dict[str, float]]:
    """Average the figures over seeds: per model, what people compare experiments by."""
    return {
        model: {name: float(np.mean(pair[number])) for name, pair in figures.items()}
        for number, model in enumerate(MODELS)
    }


def rows(figures: Figures) -> list[tuple[str | float, ...]]:
    """Set the models side by side: figure, gauss, t, t - gauss and the ends of its interval."""
    return [
        (name, mean_interval(gauss).mean, mean_interval(t).mean, *paired_difference(gauss, t))
        for name, (gauss, t) in figures.items()
    ]


def over_images(scores: Scores, *, n_resamples: int, rng: np.random.Generator) -> Scores:
    """Compute t - gauss within each seed, with 95 % bootstrap intervals over images.

    Such an interval holds for the two trained models of its seed; it says nothing about another
    training. All seeds and scores share the resamples, so that leaving out a seed changes no
    other seed's interval.

    Parameters
    ----------
    scores : float array of shape (cells, models, seeds, images)
        As from `load_scores`.
    n_resamples : int
        Resamples of the images.
    rng : numpy.random.Generator
        Source of the resamples.

    Returns
    -------
    float64 array of shape (cells, seeds, 3)
        The difference and the ends of its interval, which are nan where there is one image.
    """
    differences = scores[:, 1] - scores[:, 0]
    columns = differences.reshape(-1, differences.shape[-1]).T
    intervals = bootstrap_intervals(columns, rng=rng, n_resamples=n_resamples)
    return np.reshape(intervals, (*differences.shape[:2], 3))


def outliers(scores: Scores, share: float) -> tuple[int, Scores]:
    """Score the images that the Gaussian model finds least likely, in runs that did not choose.

    The images with the lowest ELBO are chosen on the first seed's Gaussian run. That run's own
    noise made some of them low; the runs of the other seeds do not share it, so that it favours
    neither model there. What stays is the question asked: these images are hard for a Gaussian
    model, and need not be those that are hardest for a t.

    Parameters
    ----------
    scores : float array of shape (cells, models, seeds, images)
        As from `load_scores`.
    share : float
        Of the images, in (0, 1); at least one image is chosen.

    Returns
    -------
    int
        How many images are chosen.
    float64 array of shape (cells, models, seeds)
        Means over them; nan for the first seed.
    """
    elbo = scores[-1, 0, 0]
    chosen = np.argsort(elbo, kind="stable")[: max(1, round(share * elbo.size))]
    means = scores[..., chosen].mean(axis=-1)
    means[..., 0] = np.nan
    return len(chosen), means


def compare(
    directory: str | Path, seeds: Sequence[int], *, n_resamples: int, share: float, seed: int
) -> list[tuple[int | float | str, ...]]:
    """Compare the models of one recipe image by image: all that the stage keeps of it.

    Parameters
    ----------
    directory, seeds
        As for `load_scores`.
    n_resamples : int
        As for `over_images`.
    share : float
        As for `outliers`.
    seed : int
        Of the resamples: two recipes with as many images get the same ones.

    Returns
    -------
    list of tuple
        The rows of a table with `COLUMNS`.

    Raises
    ------
    InputError
        As for `load_scores`.
    """
    scores = load_scores(directory, seeds)
    rng = np.random.default_rng(seed)
    intervals = over_images(scores, n_resamples=n_resamples, rng=rng)
    n_outliers, means = outliers(scores, share)
    numbers = np.concatenate([intervals, means.swapaxes(1, 2)], axis=-1).reshape(-1, 5).tolist()
    sizes = scores.shape[-1], n_resamples, n_outliers
    return [
        (*cell, run, *("" if isnan(x) else x for x in row), *sizes)
        for (cell, run), row in zip(product(CELLS, seeds), numbers, strict=True)
    ]
