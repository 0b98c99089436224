"""The tracked results of every run, read back recipe by recipe."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from study.trials.tiles import load_tiles
from vaefill.errors import InputError
from vaefill.storage import load_json, load_table

MODELS = ("gauss", "t")
MECHANISMS = ("random", "square")
OUTPUTS = ("prediction", "imputation")
METRICS = ("mse", "ssim_global", "ssim")
ELBO_TERMS = ("elbo", "reconstruction", "kl")
#: Of the importance-sampling bound: the bound, and how many draws its weights are worth.
LIKELIHOOD_TERMS = ("log_likelihood", "ess", "ess_low")
METHOD = "single_pass"
#: The recipe of ``params.yaml`` that is the slides' own: only beside it do their numbers stand.
SLIDES_RECIPE = "slides"

T = TypeVar("T")
Tiles = NDArray[np.uint8]
History = dict[str, NDArray[np.float64]]


class Score(NamedTuple):
    """What a number is a score of; an empty name where there is no choice."""

    mechanism: str
    method: str
    output: str
    region: str
    metric: str


@dataclass(frozen=True)
class Latent:
    """What a run does with its latent space, on the test images.

    Attributes
    ----------
    active : float
        Coordinates in use.
    dead_units : dict of str to float
        Per hidden layer, the units that never fire.
    kl : list of float
        Share of each coordinate in the KL, in nats per image, the largest first.
    quantiles : dict of float to float
        Of all coordinates of the aggregate posterior together, per probability.
    """

    active: float
    dead_units: Mapping[str, float]
    kl: Sequence[float]
    quantiles: Mapping[float, float]


@dataclass(frozen=True)
class Results:
    """All that the report says of one training recipe.

    Attributes
    ----------
    seeds : tuple of int
        One run of each model per seed, in the order of ``params.yaml``.
    scores : dict of (model, seed) to dict of Score to float
        Means over test images; the ELBO's terms and the log-likelihood in nats per image.
    latents : dict of (model, seed) to Latent
        What each run does with its latent space.
    histories : dict of (model, seed) to dict of str to array [n_epochs]
        Losses per epoch, in nats per image.
    runs : dict of (model, seed) to dict
        Device and versions, under ``environment``, and the losses of the last epoch.
    examples : dict of str to uint8 array [10, 6, 28, 28]
        Per model, one row per digit, of the first seed: image, reconstruction, then missing
        (255) and prediction for random and for square.
    samples : dict of str to uint8 array [8, 8, 28, 28]
        Per model, images decoded from draws of its prior, of the first seed.
    """

    seeds: tuple[int, ...]
    scores: Mapping[tuple[str, int], Mapping[Score, float]]
    latents: Mapping[tuple[str, int], Latent]
    histories: Mapping[tuple[str, int], History]
    runs: Mapping[tuple[str, int], Mapping[str, Any]]
    examples: Mapping[str, Tiles]
    samples: Mapping[str, Tiles]

    def values(self, model: str, score: Score) -> list[float]:
        """Return one value per seed.

        Raises
        ------
        InputError
            When a run has no such score.
        """
        for seed in self.seeds:
            if score not in self.scores[model, seed]:
                raise InputError(
                    f"metrics of {model}-{seed}: no score {'/'.join(score)}; `dvc repro` makes it"
                )
        return [self.scores[model, seed][score] for seed in self.seeds]

    def paired(self, score: Score) -> tuple[list[float], list[float]]:
        """Return the values of gauss and of t, one per seed and in the same order."""
        return self.values("gauss", score), self.values("t", score)

    def by_model(self, runs: Mapping[tuple[str, int], T]) -> dict[str, list[T]]:
        """Return per model what `runs` holds of each seed, in the order of the seeds."""
        return {model: [runs[model, seed] for seed in self.seeds] for model in MODELS}


def image_score(mechanism: str, output: str, metric: str) -> Score:
    """Name the score over whole images: a row of the slides' table."""
    return Score(mechanism, METHOD, output, "image", metric)


def elbo_score(term: str) -> Score:
    """Name a term of the test ELBO, or of the test log-likelihood."""
    return Score("none", "", "", "image", term)


def load_results(
    reports: str | Path, recipes: Sequence[str], seeds: Sequence[int]
) -> dict[str, Results]:
    """Read the tracked files of both models for `recipes` and `seeds`, and of no others.

    Parameters
    ----------
    reports : path-like
        The directory that holds ``training``, ``metrics``, ``examples`` and ``samples``.
    recipes : sequence of str
        Names of training recipes: the folders in each of these.
    seeds : sequence of int
        Files of other seeds are left alone: a seed that was dropped does not count.

    Returns
    -------
    dict of str to Results
        Per recipe, in the order of `recipes`.

    Raises
    ------
    InputError
        When a file of a run is missing or broken, or the models show different examples.
    """
    return {recipe: _load_recipe(Path(reports), recipe, seeds) for recipe in recipes}


def _load_recipe(reports: Path, recipe: str, seeds: Sequence[int]) -> Results:
    runs = [(model, seed) for model in MODELS for seed in seeds]

    def path(folder: str, run: tuple[str, int], suffix: str) -> Path:
        return reports / folder / recipe / f"{run[0]}-{run[1]}.{suffix}"

    metrics = {run: _load_metrics(path("metrics", run, "json")) for run in runs}
    shown = {model: path("examples", (model, seeds[0]), "png") for model in MODELS}
    examples = {model: load_tiles(shown[model]) for model in MODELS}
    gauss, t = (examples[model][:, [0, 2, 4]] for model in MODELS)
    if not np.array_equal(gauss, t):
        raise InputError(
            f"{shown['gauss'].parent}: {' and '.join(file.name for file in shown.values())} show "
            "different images or missing pixels; `dvc repro` makes both from the same"
        )
    return Results(
        seeds=tuple(seeds),
        scores={run: scores for run, (scores, _) in metrics.items()},
        latents={run: latent for run, (_, latent) in metrics.items()},
        histories={run: _load_history(path("training", run, "csv")) for run in runs},
        runs={run: load_json(path("training", run, "json")) for run in runs},
        examples=examples,
        samples={model: load_tiles(path("samples", (model, seeds[0]), "png")) for model in MODELS},
    )


def _load_metrics(path: Path) -> tuple[dict[Score, float], Latent]:
    metrics = load_json(path)
    try:
        terms = [*metrics["elbo"].items()]
        terms += [(term, metrics["likelihood"][term]) for term in LIKELIHOOD_TERMS]
        scores = {elbo_score(term): float(value) for term, value in terms}
        scores |= {Score(*names): value for *names, value in _leaves(metrics["scores"], 5)}
        latent = metrics["latent"]
        return scores, Latent(
            active=float(latent["active"]),
            dead_units={layer: float(n) for layer, n in latent["dead_units"].items()},
            kl=sorted(map(float, latent["kl"].values()), reverse=True),
            quantiles={float(p): float(q) for p, q in latent["quantiles"].items()},
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not the metrics of a run; `dvc repro` makes them") from error


def _leaves(tree: Mapping[str, Any], depth: int) -> Iterator[list[Any]]:
    """Walk a tree of `depth` levels of names: the names, then the number, of every leaf."""
    for name, branch in tree.items():
        if depth == 1:
            yield [name, float(branch)]
        else:
            yield from ([name, *leaf] for leaf in _leaves(branch, depth - 1))


def _load_history(path: Path) -> History:
    rows = load_table(path)
    try:
        return {column: np.array([float(row[column]) for row in rows]) for column in rows[0]}
    except (IndexError, ValueError) as error:
        raise InputError(f"{path}: no losses per epoch in it; `dvc repro` makes them") from error
