"""The tracked results of every run, read back, and their summary over seeds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vaefill.errors import InputError
from vaefill.statistics import Interval, mean_interval, paired_difference
from vaefill.storage import load_json, load_table
from vaefill.tiles import load_tiles

MODELS = ("gauss", "t")
MECHANISMS = ("random", "square")
OUTPUTS = ("prediction", "imputation")
METRICS = ("mse", "ssim_global", "ssim")
ELBO_TERMS = ("elbo", "reconstruction", "kl")
METHOD = "single_pass"
SCORE_COLUMNS = (
    "model", "seed", "mechanism", "method", "output", "region", "metric", "value",
)  # fmt: skip

Tiles = NDArray[np.uint8]
History = dict[str, NDArray[np.float64]]


class Score(NamedTuple):
    """What a number is a score of; an empty name where there is no choice."""

    mechanism: str
    method: str
    output: str
    region: str
    metric: str


class Comparison(NamedTuple):
    """Both models' mean over seeds, and t - gauss paired by seed, each with its interval."""

    gauss: Interval
    t: Interval
    diff: Interval


@dataclass(frozen=True)
class Results:
    """All that the report is made from.

    Attributes
    ----------
    seeds : tuple of int
        One run of each model per seed, in the order of ``params.yaml``.
    scores : dict of (model, seed) to dict of Score to float
        Means over test images; the ELBO's terms in nats per image.
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

    def histories_by_model(self) -> dict[str, list[History]]:
        """Return per model the histories of all seeds, in their order."""
        return {model: [self.histories[model, seed] for seed in self.seeds] for model in MODELS}

    def compare(self, score: Score) -> Comparison:
        """Set the two models side by side, over seeds."""
        gauss, t = self.paired(score)
        return Comparison(mean_interval(gauss), mean_interval(t), paired_difference(gauss, t))


def image_score(mechanism: str, output: str, metric: str) -> Score:
    """Name the score over whole images: a row of the slides' table."""
    return Score(mechanism, METHOD, output, "image", metric)


def elbo_score(term: str) -> Score:
    """Name a term of the test ELBO."""
    return Score("none", "", "", "image", term)


def load_results(reports: str | Path, seeds: Sequence[int]) -> Results:
    """Read the tracked files of both models for `seeds`, and of no other seed.

    Parameters
    ----------
    reports : path-like
        The directory that holds ``training``, ``metrics``, ``examples`` and ``samples``.
    seeds : sequence of int
        Files of other seeds are left alone: a seed that was dropped does not count.

    Raises
    ------
    InputError
        When a file of a seed is missing or broken, or the models show different examples.
    """
    reports = Path(reports)
    runs = [(model, seed) for model in MODELS for seed in seeds]
    first = {model: f"{model}-{seeds[0]}.png" for model in MODELS}
    examples = {model: load_tiles(reports / "examples" / first[model]) for model in MODELS}
    gauss, t = (examples[model][:, [0, 2, 4]] for model in MODELS)
    if not np.array_equal(gauss, t):
        raise InputError(
            f"{reports / 'examples'}: {' and '.join(first.values())} show different images or "
            "missing pixels; `dvc repro` makes both from the same"
        )
    return Results(
        seeds=tuple(seeds),
        scores={run: _load_scores(reports / "metrics" / _name(run, "json")) for run in runs},
        histories={run: _load_history(reports / "training" / _name(run, "csv")) for run in runs},
        runs={run: load_json(reports / "training" / _name(run, "json")) for run in runs},
        examples=examples,
        samples={model: load_tiles(reports / "samples" / first[model]) for model in MODELS},
    )


def score_rows(results: Results) -> list[tuple[str | int | float, ...]]:
    """Return the rows of ``scores.csv`` in `SCORE_COLUMNS`, sorted."""
    return sorted(
        (model, seed, *score, value)
        for (model, seed), scores in results.scores.items()
        for score, value in scores.items()
    )


def summarise(results: Results) -> dict[str, Any]:
    """Return the slides' table over seeds, as ``summary.json`` holds it.

    Returns
    -------
    dict
        ``{mechanism: {output: {metric: numbers}}, "elbo": {term: numbers}}`` where numbers are
        ``gauss``, ``t``, ``diff`` (t - gauss), ``diff_low`` and ``diff_high`` with 6 significant
        digits; the bounds are None with one seed.
    """
    table: dict[str, Any] = {
        mechanism: {
            output: {
                metric: _numbers(results.compare(image_score(mechanism, output, metric)))
                for metric in METRICS
            }
            for output in OUTPUTS
        }
        for mechanism in MECHANISMS
    }
    elbo = {term: _numbers(results.compare(elbo_score(term))) for term in ELBO_TERMS}
    return table | {"elbo": elbo}


def _numbers(comparison: Comparison) -> dict[str, float | None]:
    gauss, t, diff = comparison
    values = {"gauss": gauss.mean, "t": t.mean, "diff": diff.mean}
    values |= {"diff_low": diff.low, "diff_high": diff.high}
    return {k: None if np.isnan(v) else float(f"{v:.6g}") for k, v in values.items()}


def _name(run: tuple[str, int], suffix: str) -> str:
    return f"{run[0]}-{run[1]}.{suffix}"


def _load_scores(path: Path) -> dict[Score, float]:
    metrics = load_json(path)
    try:
        elbo = {elbo_score(term): float(value) for term, value in metrics["elbo"].items()}
        return elbo | {Score(*names): value for *names, value in _leaves(metrics["scores"], 5)}
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
