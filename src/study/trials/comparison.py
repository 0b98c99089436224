"""All runs of one recipe, over seeds and image by image: the t prior beside the Gaussian."""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaefill.errors import InputError
from vaefill.metrics.statistics import (
    Interval,
    bootstrap_intervals,
    mean_interval,
    paired_difference,
)
from vaefill.storage import load_arrays, load_table

MODELS = ("gauss", "t")
MECHANISMS = ("random", "square")
OUTPUTS = ("prediction", "imputation")
METRICS = ("mse", "ssim_global", "ssim")
ELBO = "none///image/elbo"


def _name(mechanism: str, output: str, metric: str) -> str:
    return f"{mechanism}/single_pass/{output}/image/{metric}"


#: What is compared, under its name in the files of `evaluate`.
NAMES = (*(_name(*cell) for cell in product(MECHANISMS, OUTPUTS, METRICS)), ELBO)

#: Per name, an array of shape (models, seeds, images): models as in `MODELS`.
Scores = Mapping[str, NDArray[np.float64]]


def load_scores(directory: str | Path, seeds: Sequence[int]) -> dict[str, NDArray[np.float64]]:
    """Read ``{model}/{seed}.npz`` of every model and seed.

    Parameters
    ----------
    directory : path-like
        Where the files of one recipe lie; those of other seeds are left alone.
    seeds : sequence of int
        One run of each model per seed.

    Returns
    -------
    dict of str to float64 array of shape (models, seeds, images)
        Under the names in `NAMES`; models as in `MODELS`, seeds and images in the order given.

    Raises
    ------
    InputError
        When a file is missing, lacks a score, has one that is nan or infinite, or has another
        number of images than the first file.
    """
    files = [Path(directory, model, f"{seed}.npz") for model, seed in product(MODELS, seeds)]
    runs = [_load_run(file) for file in files]
    shape = (len(MODELS), len(seeds), runs[0].shape[1])
    for file, run in zip(files, runs, strict=True):
        if run.shape != runs[0].shape:
            raise InputError(
                f"{file}: scores of {run.shape[1]} images, but of {runs[0].shape[1]} in "
                f"{files[0]}; all runs are scored on the same images; `dvc repro` makes them"
            )
    columns = np.stack(runs, axis=1)
    return {name: column.reshape(shape) for name, column in zip(NAMES, columns, strict=True)}


def _load_run(file: Path) -> NDArray[np.float64]:
    """Read the scores of one run, one row per name in `NAMES` and one column per image."""
    arrays = load_arrays(file)
    for name in NAMES:
        if name not in arrays:
            raise InputError(f"{file}: no score {name}; `dvc repro` makes it")
    shape = arrays[ELBO].shape
    for name in NAMES:
        if arrays[name].shape != shape or len(shape) != 1:
            raise InputError(
                f"{file}: {name} of shape {arrays[name].shape} beside an ELBO of shape {shape}; "
                "expected one value per image; `dvc repro` makes them"
            )
        undefined = np.count_nonzero(~np.isfinite(arrays[name]))
        if undefined:
            raise InputError(
                f"{file}: {name} is not finite for {undefined} of {shape[0]} images; "
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


def over_images(
    scores: Scores, seeds: Sequence[int], *, n_resamples: int, rng: np.random.Generator
) -> dict[str, Any]:
    """Compute t - gauss within each seed, with 95 % bootstrap intervals over images.

    Such an interval holds for the two trained models of its seed; it says nothing about another
    training. All seeds and scores share the resamples, so that leaving out a seed changes no
    other seed's interval.

    Parameters
    ----------
    scores : dict of str to float array of shape (models, seeds, images)
        As from `load_scores`.
    seeds : sequence of int
        As given to `load_scores`.
    n_resamples : int
        Resamples of the images.
    rng : numpy.random.Generator
        Source of the resamples.

    Returns
    -------
    dict
        ``{mechanism: {output: {metric: {seed: {"diff", "low", "high"}}}}}`` and
        ``{"elbo": {"elbo": {seed: ...}}}`` in nats; ends are None where there is one image.
    """
    differences = np.concatenate([scores[name][1] - scores[name][0] for name in NAMES])
    intervals = bootstrap_intervals(differences.T, rng=rng, n_resamples=n_resamples)
    found = dict(zip(product(NAMES, seeds), map(_entry, intervals), strict=True))

    def by_seed(name: str) -> dict[str, Any]:
        return {str(seed): found[name, seed] for seed in seeds}

    return _table(by_seed) | {"elbo": {"elbo": by_seed(ELBO)}}


def outliers(scores: Scores, seeds: Sequence[int], *, share: float) -> dict[str, Any] | None:
    """Score the images that the Gaussian model finds least likely, in runs that did not choose.

    The images with the lowest ELBO are chosen on the first seed's Gaussian run. That run's own
    noise made some of them low; the runs of the other seeds do not share it, so that it favours
    neither model there. What stays is the question asked: these images are hard for a Gaussian
    model, and need not be those that are hardest for a t.

    Parameters
    ----------
    scores : dict of str to float array of shape (models, seeds, images)
        As from `load_scores`.
    seeds : sequence of int
        As given to `load_scores`.
    share : float
        Of the images, in (0, 1); at least one image is chosen.

    Returns
    -------
    dict or None
        ``chosen_on``, a seed; ``images``, their number; and means over them,
        ``scores: {mechanism: {output: {metric: {model: {seed: mean}}}}}`` and
        ``elbo: {model: {seed: mean}}`` in nats, without the first seed. None where that leaves
        no seed.
    """
    first, *others = seeds
    if not others:
        return None
    elbo = scores[ELBO][0, 0]
    chosen = np.argsort(elbo, kind="stable")[: max(1, round(share * elbo.size))]

    def by_model(name: str) -> dict[str, Any]:
        means = scores[name][:, 1:, chosen].mean(axis=2).tolist()
        return {
            model: dict(zip(map(str, others), row, strict=True))
            for model, row in zip(MODELS, means, strict=True)
        }

    return {
        "chosen_on": first,
        "images": len(chosen),
        "scores": _table(by_model),
        "elbo": by_model(ELBO),
    }


def _table(entry: Callable[[str], Any]) -> dict[str, Any]:
    return {
        mechanism: {
            output: {metric: entry(_name(mechanism, output, metric)) for metric in METRICS}
            for output in OUTPUTS
        }
        for mechanism in MECHANISMS
    }


def _entry(interval: Interval) -> dict[str, float | None]:
    diff, *ends = interval
    low, high = (None if isnan(end) else end for end in ends)
    return {"diff": diff, "low": low, "high": high}


def compare(
    directory: str | Path, seeds: Sequence[int], *, n_resamples: int, share: float, seed: int
) -> dict[str, Any]:
    """Compare the models of one recipe image by image: all that the stage keeps of it.

    Parameters
    ----------
    directory : path-like
        As for `load_scores`.
    seeds : sequence of int
        As for `load_scores`.
    n_resamples : int
        As for `over_images`.
    share : float
        As for `outliers`.
    seed : int
        Of the resamples: two recipes with as many images get the same ones.

    Returns
    -------
    dict
        ``images`` and ``resamples``, their numbers; ``bootstrap``, from `over_images`; and
        ``outliers``, from `outliers`.

    Raises
    ------
    InputError
        As for `load_scores`.
    """
    scores = load_scores(directory, seeds)
    rng = np.random.default_rng(seed)
    return {
        "images": scores[ELBO].shape[-1],
        "resamples": n_resamples,
        "bootstrap": over_images(scores, seeds, n_resamples=n_resamples, rng=rng),
        "outliers": outliers(scores, seeds, share=share),
    }
