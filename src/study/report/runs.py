"""The tracked results of the runs of both models, recipe by recipe, as tidy frames."""

import math
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from study.report.frames import Column, read
from study.trials.comparison import CELLS, MODELS
from study.trials.tiles import load_tiles
from vaefill.errors import InputError

Tiles = NDArray[np.uint8]

#: What a run is, and what a number is a score of: an empty name where there is no choice.
RUN = ("recipe", "model", "seed")
SCORE = ("mechanism", "method", "output", "region", "metric")
SCORE_COLUMNS = (*RUN, *SCORE, "value")
#: Of a score of whole images after a single pass: the names that tables show.
CELL = ("mechanism", "output", "metric")
#: The recipe of ``params.yaml`` that is the slides' own: only beside it do their numbers stand.
SLIDES_RECIPE = "slides"
#: Scores of complete images, and where the metrics have them: the terms of the ELBO; the
#: importance-sampling bound, and how many draws its weights are worth.
BOUNDS = dict.fromkeys(("elbo", "reconstruction", "kl"), "elbo")
BOUNDS |= dict.fromkeys(("log_likelihood", "ess", "ess_low"), "likelihood")
#: Nats that the code of a model carries per image, or it is called lost: a tenth of a bit, as if of
#: one image in ten it told which of two ways to go on.
LEAST_CODE = 0.1 * math.log(2)
ENVIRONMENT = ("device", "python", "torch", "precision")

_NUMBER, _PERHAPS, _COUNT = Column(float), Column(float, empty=True), Column(int, low=0)
#: Columns of the metrics whose method and output are empty.
_BOUNDS = {f"{part}.{term}": f"scores.none...image.{term}" for term, part in BOUNDS.items()}
_METRICS = {"seed": _COUNT, "latent.active": _COUNT} | dict.fromkeys(_BOUNDS, _NUMBER)
_METRICS |= {
    f"scores.{mechanism}.single_pass.{output}.image.{metric}": _NUMBER
    for mechanism, output, metric in CELLS[:-1]
}
_IMAGES = {
    "recipe": Column(), "mechanism": Column(), "output": Column(empty=True), "metric": Column(),
    "seed": _COUNT, "diff": _NUMBER, "low": _PERHAPS, "high": _PERHAPS,
    "outliers_gauss": _PERHAPS, "outliers_t": _PERHAPS,
    "images": _COUNT, "resamples": _COUNT, "outliers": _COUNT,
}  # fmt: skip
_HISTORY = {"epoch": Column(int, low=1)}
_HISTORY |= {
    f"{part}_{term}": _NUMBER
    for part in ("train", "valid")
    for term in ("loss", "reconstruction", "kl")
}
_HISTORY["tflop"] = Column(float, low=0, optional=True)  # not counted at first
_HISTORY |= dict.fromkeys(ENVIRONMENT, Column())


class Metrics(NamedTuple):
    """The numbers of every run, long form; each frame begins with the columns `RUN`.

    Attributes
    ----------
    scores : DataFrame
        Columns `SCORE` and ``value``: means over test images; terms of the ELBO and of the
        log-likelihood in nats per image, without method and output.
    latent : DataFrame
        What a run does with its latent space, ``value`` by ``what`` and ``part``: coordinates
        in use (``active``), units that never fire (``dead_units``, by layer), the KL in nats
        per image (``kl``, by coordinate) and the aggregate posterior's ``quantiles`` (by
        probability).
    """

    scores: pd.DataFrame
    latent: pd.DataFrame


def load_metrics(reports: str | Path, recipes: Sequence[str], seeds: Sequence[int]) -> Metrics:
    """Read ``metrics/{recipe}/{model}.csv`` of both models, and of no others.

    Rows of other seeds are left alone: a seed that was dropped does not count.

    Raises
    ------
    InputError
        When a file is missing or breaks a rule of `study.report.frames.read`, or lacks a seed.
    """
    tables = []
    for recipe, model in product(recipes, MODELS):
        path = Path(reports, "metrics", recipe, f"{model}.csv")
        # A cell is empty where only some seeds have that number.
        table = read(path, _METRICS, key=["seed"], rest=_PERHAPS)
        if missing := [seed for seed in seeds if seed not in set(table["seed"])]:
            raise InputError(f"{path}: no row of seed {missing[0]}; `dvc repro` makes it")
        table = table.set_index("seed").loc[list(seeds)].reset_index().rename(columns=_BOUNDS)
        tables.append(table.melt("seed", var_name="path").assign(recipe=recipe, model=model))
    long = pd.concat(tables, ignore_index=True).dropna()
    long[["what", "part"]] = long["path"].str.split(".", n=1, expand=True)
    scores, latent = (long[long["what"] == what].copy() for what in ("scores", "latent"))
    scores[list(SCORE)] = scores["part"].str.split(".", n=len(SCORE) - 1, expand=True)
    latent[["what", "part"]] = latent["part"].str.partition(".")[[0, 2]]
    return Metrics(
        scores=scores[[*SCORE_COLUMNS]].reset_index(drop=True),
        latent=latent[[*RUN, "what", "part", "value"]].reset_index(drop=True),
    )


def load_histories(reports: str | Path, runs: Iterable[tuple[str, str, int]]) -> pd.DataFrame:
    """Read ``training/{recipe}/{model}-{seed}.csv`` of each of `runs`.

    Returns
    -------
    DataFrame
        `RUN`, then one row per epoch: losses and their terms in nats per image, on training and
        on validation images, ``tflop``, the work of training up to there (nan where nobody counted
        it), and `ENVIRONMENT`, the same for all epochs of a run.

    Raises
    ------
    InputError
        When a file is missing or breaks a rule of `study.report.frames.read`.
    """
    histories = []
    for run in runs:
        path = Path(reports, "training", run[0], f"{run[1]}-{run[2]}.csv")
        history = read(path, _HISTORY, key=["epoch"])
        histories.append(history.assign(**dict(zip(RUN, run, strict=True))))
    return pd.concat(histories, ignore_index=True).reindex(columns=[*RUN, *_HISTORY])


def codes(histories: pd.DataFrame) -> pd.DataFrame:
    """Tell what the code of each trained model carries, and whether that is nothing.

    Of a model trained to impute it is how far what the complete image says of the code goes beyond
    what the observed pixels say, KL(q(z|x, o) || p(z|o)).

    Returns
    -------
    DataFrame
        `RUN`; ``kl``, in nats per validation image after the last epoch; ``lost``, where that is
        less than `LEAST_CODE`: draws of such a model hardly differ.
    """
    last = histories.sort_values("epoch", kind="stable").drop_duplicates(list(RUN), keep="last")
    found = last.sort_index()[[*RUN, "valid_kl"]].rename(columns={"valid_kl": "kl"})
    return found.assign(lost=found["kl"] < LEAST_CODE).reset_index(drop=True)


def environments(histories: pd.DataFrame) -> pd.DataFrame:
    """Count the trainings per recipe and `ENVIRONMENT`: a table of texts."""
    trained = histories.drop_duplicates(list(RUN)).groupby(["recipe", *ENVIRONMENT], sort=False)
    table = trained.size().rename("runs").reset_index().astype(str)
    return table.assign(recipe="`" + table["recipe"] + "`")


def load_pictures(reports: str | Path, recipe: str, seed: int) -> dict[str, dict[str, Tiles]]:
    """Read what both models make of some test images, and of draws of their prior.

    Returns
    -------
    dict of str to dict of str to uint8 array
        ``examples`` per model, [10, 6, 28, 28], one row per digit: image, reconstruction, then
        missing (255) and prediction for random and for square; ``samples`` per model,
        [8, 8, 28, 28].

    Raises
    ------
    InputError
        When a file is missing or broken, or the models show different examples.
    """
    pictures = {
        folder: {
            model: load_tiles(Path(reports, folder, recipe, model, f"{seed}.png"))
            for model in MODELS
        }
        for folder in ("examples", "samples")
    }
    gauss, t = (pictures["examples"][model][:, [0, 2, 4]] for model in MODELS)
    if not np.array_equal(gauss, t):
        raise InputError(
            f"{Path(reports, 'examples', recipe)}: gauss/{seed}.png and t/{seed}.png show "
            "different images or missing pixels; `dvc repro` makes both from the same"
        )
    return pictures


def load_images(path: str | Path, recipes: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """Read the comparison over images of `recipes` and `seeds`.

    Returns
    -------
    DataFrame
        ``recipe`` and the columns of `study.trials.comparison.COLUMNS`.

    Raises
    ------
    InputError
        When the file is missing or breaks a rule of `study.report.frames.read`, or lacks a row, or
        when its outliers were chosen by a seed that is not among `seeds`.
    """
    key = ["recipe", *CELL, "seed"]
    table = read(path, _IMAGES, key=key).set_index(key)
    rows = [(recipe, *cell, seed) for recipe, cell, seed in product(recipes, CELLS, seeds)]
    if missing := [row for row in rows if row not in table.index]:
        named = ", ".join(f"{name} {value!r}" for name, value in zip(key, missing[0], strict=True))
        raise InputError(f"{path}: no row of {named}; `dvc repro` makes it")
    found = table.loc[rows].reset_index()
    if found.outliers_gauss.notna().all():
        raise InputError(
            f"{path}: its outliers were chosen by a seed that is not among {list(seeds)}; "
            "`dvc repro` chooses them anew"
        )
    return found
