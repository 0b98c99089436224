"""The tracked results of every imputer: scores, times, degradation, Rubin's rules and draws."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from study.trials.tiles import load_tiles
from vaefill.errors import InputError
from vaefill.storage import load_json, load_table

MODELS = ("gauss", "t")
#: Levels whose coverage is reported; a calibration curve is drawn of more.
INTERVALS = (0.5, 0.9, 0.95)
MECHANISMS = ("random", "square")
#: Recipes of models that are trained to impute; any other trains on complete images.
TRAINED = ("mlp", "conv")
BASELINES = ("zero", "mean", "knn", "gaussian", "biharmonic")
#: Those that fit nothing to training images.
UNFITTED = ("zero", "biharmonic")
METHODS = (
    "single_pass", "iterated", "pseudo_gibbs", "metropolis_within_gibbs", "importance", "map",
    "laplace", "refit", "draws",
)  # fmt: skip
#: Of Rubin's example: the complete images, two single imputations, and several pooled.
SOURCES = ("complete", "zero", "mean", "multiple")

SCORE_COLUMNS = (
    "recipe", "model", "seed", "mechanism", "method", "output", "region", "metric", "value",
)  # fmt: skip
TIMING_COLUMNS = ("recipe", "model", "method", "seconds")
DEGRADATION_COLUMNS = ("recipe", "model", "method", "mechanism", "setting", "value")
RUBIN_COLUMNS = ("digit", "source", "estimate", "low", "high", "fmi")

T = TypeVar("T")


class Method(NamedTuple):
    """A way to impute: an inference method on models of a recipe; a baseline has no recipe."""

    recipe: str
    name: str

    @property
    def group(self) -> str:
        """Return "baseline", "inference" (trained on complete images) or "trained" (to impute)."""
        if not self.recipe:
            return "baseline"
        return "trained" if self.recipe in TRAINED else "inference"


class Run(NamedTuple):
    """The trained model that was used; of a baseline there is one, without names."""

    model: str = ""
    seed: int | None = None


class Cell(NamedTuple):
    """What a number is a score of: a mean over test images."""

    mechanism: str
    region: str
    metric: str


class Estimate(NamedTuple):
    """An estimate of one digit class from one source of images, and its 95 % interval."""

    digit: str
    source: str
    estimate: float
    low: float
    high: float
    fmi: float | None


@dataclass(frozen=True)
class ImputationResults:
    """All that the page says of the imputers.

    Attributes
    ----------
    scores : dict of (Method, Cell) to dict of Run to float
        Scores of the imputations.
    complete : float or None
        Share of complete test images that the classifier gets right.
    seconds : dict of (Method, str) to float
        Wall seconds for 10,000 images with one mask, per method and model ("" of a baseline).
    timing : dict
        What is known of how they were measured: ``environment``, ``images``, ``threads``.
    degradation : dict of (Method, str) to dict of (str, float or None) to float
        Per method and model, the MSE over missing pixels by mechanism and its setting.
    rubin : tuple of Estimate
        The mean ink per digit class.
    draws : dict of (str, str) to uint8 array [cases, 3 + n_draws, 28, 28]
        Per recipe and model, of the first seed: image, missing (255), imputation, then draws.
    """

    scores: Mapping[tuple[Method, Cell], Mapping[Run, float]]
    complete: float | None
    seconds: Mapping[tuple[Method, str], float]
    timing: Mapping[str, Any]
    degradation: Mapping[tuple[Method, str], Mapping[tuple[str, float | None], float]]
    rubin: tuple[Estimate, ...]
    draws: Mapping[tuple[str, str], NDArray[np.uint8]]

    @property
    def methods(self) -> list[Method]:
        """Every method that has a score: baselines first, those of one recipe together."""
        return in_order({method for method, _ in self.scores})

    @property
    def seeds(self) -> list[int]:
        """Every seed that a model was trained with."""
        runs = {run for values in self.scores.values() for run in values}
        return sorted({run.seed for run in runs if run.seed is not None})

    def runs(self, method: Method, cell: Cell) -> Mapping[Run, float]:
        """Return the score per trained model; empty where there is none."""
        return self.scores.get((method, cell), {})

    def models(self, method: Method) -> list[str]:
        """Return the models that a method was scored with: of a baseline the one name ""."""
        runs = {run for (m, _), values in self.scores.items() for run in values if m == method}
        return sorted({run.model for run in runs})

    def mean(self, method: Method, cell: Cell, model: str | None = None) -> float | None:
        """Average a score over seeds, and over models where none is named."""
        runs = self.runs(method, cell)
        values = [value for run, value in runs.items() if model in (None, run.model)]
        return float(np.mean(values)) if values else None

    def time(self, method: Method, model: str | None = None) -> float | None:
        """Return the seconds for 10,000 images, over models where none is named."""
        values = [
            s for (m, name), s in self.seconds.items() if m == method and model in (None, name)
        ]
        return float(np.mean(values)) if values else None

    def points(self, mechanism: str, metric: str) -> dict[Method, dict[str, tuple[float, float]]]:
        """Return seconds and a score of whole images, per method and model that have both."""
        points: dict[Method, dict[str, tuple[float, float]]] = {}
        for method in self.methods:
            for model in self.models(method):
                seconds = self.time(method, model)
                score = self.mean(method, Cell(mechanism, "image", metric), model)
                if seconds is not None and score is not None:
                    points.setdefault(method, {})[model] = (seconds, score)
        return points


def load(reports: str | Path, *, dataset: str | None = None) -> ImputationResults:
    """Read the results of all imputers.

    Parameters
    ----------
    reports : path-like
        The directory that holds ``imputation/scores.csv``, and beside it, where they were made,
        ``timings.csv``, ``timings.json``, ``degradation.csv``, ``rubin.csv`` and ``draws/``.
    dataset : str, optional
        Of the scores: times that were measured on another one are left out.

    Raises
    ------
    InputError
        When there are no scores, or a file is not what it should be.
    """
    folder = Path(reports) / "imputation"
    scores, complete = _load_scores(folder / "scores.csv")
    path = folder / "timings.json"
    timing = _mapping(path) if path.exists() else {}
    timed = dataset is None or timing.get("dataset") == dataset
    return ImputationResults(
        scores=scores,
        complete=complete,
        seconds=_load_seconds(folder / "timings.csv") if timed else {},
        timing=timing if timed else {},
        degradation=_load_degradation(folder / "degradation.csv"),
        rubin=_load_rubin(folder / "rubin.csv"),
        draws=_load_draws(folder / "draws"),
    )


def score_rows(reports: str | Path) -> list[tuple[str | int | float, ...]]:
    """Return the rows for ``scores.csv``: all but the levels that only the curve is drawn of."""
    rows = load_table(Path(reports) / "imputation" / "scores.csv")
    found: list[tuple[str | int | float, ...]] = []
    for row in rows:
        _, _, level = row["metric"].rpartition("_")
        if level.startswith("0.") and float(level) not in INTERVALS:
            continue
        seed = _seed(row) if row["recipe"] else ""
        names = (row[column] for column in SCORE_COLUMNS[3:-1])
        found.append((row["recipe"], row["model"], seed, *names, _float(row, "value")))
    return found


def in_order(methods: Iterable[Method]) -> list[Method]:
    """Sort methods as every table shows them."""
    return sorted(
        methods,
        key=lambda m: (
            ("baseline", "inference", "trained").index(m.group),
            _rank(m.recipe, TRAINED),
            _rank(m.name, METHODS if m.recipe else BASELINES),
        ),
    )


def _rank(name: str, known: tuple[str, ...]) -> tuple[int, str]:
    return (known.index(name) if name in known else len(known), name)


def _load_scores(
    path: Path,
) -> tuple[dict[tuple[Method, Cell], dict[Run, float]], float | None]:
    scores: dict[tuple[Method, Cell], dict[Run, float]] = {}
    complete = []

    def read(row: Mapping[str, str]) -> None:
        value = _float(row, "value")
        if row["output"] != "imputation" and row["model"] != "complete":
            return
        if row["mechanism"] == "none" and row["model"] == "complete":
            complete.append(value)
            return
        cell = Cell(_one_of(row, "mechanism", MECHANISMS), row["region"], row["metric"])
        kind, _, level = cell.metric.partition("_")
        if kind == "coverage":
            _float({"the level of coverage": level}, "the level of coverage")
        method, model = _method(row)
        run = Run(model, _seed(row) if method.recipe else None)
        values = scores.setdefault((method, cell), {})
        if run in values:
            raise ValueError(f"a second {cell.metric} of the same, and one is the rule")
        values[run] = value

    _rows(path, SCORE_COLUMNS, read)
    if not scores:
        raise InputError(f"{path}: no scores in it; `dvc repro` makes them")
    return scores, complete[0] if complete else None


def _load_seconds(path: Path) -> dict[tuple[Method, str], float]:
    seconds = {}

    def read(row: Mapping[str, str]) -> None:
        value = _float(row, "seconds")
        if value <= 0:
            raise ValueError(f"seconds = {value:g} must be positive")
        seconds[_method(row)] = value

    if path.exists():
        _rows(path, TIMING_COLUMNS, read)
    return seconds


def _load_degradation(
    path: Path,
) -> dict[tuple[Method, str], dict[tuple[str, float | None], float]]:
    degradation: dict[tuple[Method, str], dict[tuple[str, float | None], float]] = {}

    def read(row: Mapping[str, str]) -> None:
        setting = _float(row, "setting") if row["setting"] else None
        if (setting is None) == (row["mechanism"] in MECHANISMS):
            raise ValueError(f"setting {row['setting']!r}: {' and '.join(MECHANISMS)} have one")
        place = (row["mechanism"], setting)
        degradation.setdefault(_method(row), {})[place] = _float(row, "value")

    if path.exists():
        _rows(path, DEGRADATION_COLUMNS, read)
    ordered = in_order({method for method, _ in degradation})
    keys = [(method, model) for method in ordered for model in ("", *MODELS)]
    return {key: degradation[key] for key in keys if key in degradation}


def _load_rubin(path: Path) -> tuple[Estimate, ...]:
    def read(row: Mapping[str, str]) -> Estimate:
        estimate, low, high = (_float(row, column) for column in ("estimate", "low", "high"))
        fmi = _float(row, "fmi") if row["fmi"] else None
        return Estimate(row["digit"], _one_of(row, "source", SOURCES), estimate, low, high, fmi)

    return tuple(_rows(path, RUBIN_COLUMNS, read)) if path.exists() else ()


def _load_draws(folder: Path) -> dict[tuple[str, str], NDArray[np.uint8]]:
    """Read one sheet per recipe and model: of the first seed."""
    sheets: dict[tuple[str, str], tuple[int, Path]] = {}
    for path in sorted(folder.glob("*.png")):
        recipe, model, seed = [*path.stem.rsplit("-", 2), "", ""][:3]
        if model not in MODELS or not seed.isdecimal():
            raise InputError(f"{path}: its name must be RECIPE-MODEL-SEED.png; rename or delete it")
        found = sheets.get((recipe, model))
        if found is None or int(seed) < found[0]:
            sheets[recipe, model] = (int(seed), path)
    ordered = in_order(Method(recipe, "draws") for recipe in {recipe for recipe, _ in sheets})
    keys = [(method.recipe, model) for method in ordered for model in MODELS]
    return {key: _sheet(sheets[key][1]) for key in keys if key in sheets}


def _sheet(path: Path) -> NDArray[np.uint8]:
    tiles = load_tiles(path)
    if tiles.shape[1] < 4:
        raise InputError(
            f"{path}: {tiles.shape[1]} columns of tiles; it must have at least 4: image, missing, "
            "imputation and draws; delete it, and `dvc repro` makes it"
        )
    return tiles


def _rows(path: Path, columns: tuple[str, ...], read: Callable[[Mapping[str, str]], T]) -> list[T]:
    """Read each row of a table; what is wrong with one is said with its line."""
    rows = load_table(path)
    if rows and tuple(rows[0]) != columns:
        raise InputError(
            f"{path}: its columns are {','.join(rows[0])}; they must be {','.join(columns)}; "
            "`dvc repro` makes it"
        )
    found = []
    for number, row in enumerate(rows, start=2):
        try:
            found.append(read(row))
        except ValueError as error:
            raise InputError(f"{path}: line {number}: {error}; `dvc repro` makes it") from error
    return found


def _method(row: Mapping[str, str]) -> tuple[Method, str]:
    """Return the method and the model that it is used with, "" where it needs none."""
    if row["recipe"]:
        if not row["method"]:
            raise ValueError("no method; only a baseline, which has no recipe, has none")
        return Method(row["recipe"], row["method"]), _one_of(row, "model", MODELS)
    return Method("", _one_of(row, "model", BASELINES)), ""


def _seed(row: Mapping[str, str]) -> int:
    if not row["seed"].isdecimal():
        raise ValueError(f"seed {row['seed']!r} must be a whole number from 0")
    return int(row["seed"])


def _float(row: Mapping[str, str], column: str) -> float:
    try:
        value = float(row[column])
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise ValueError(f"{column} {row[column]!r} must be a finite number")
    return value


def _one_of(row: Mapping[str, str], column: str, known: tuple[str, ...]) -> str:
    if row[column] not in known:
        raise ValueError(f"{column} {row[column]!r} must be one of {', '.join(known)}")
    return row[column]


def _mapping(path: Path) -> dict[str, Any]:
    value = load_json(path)
    if not isinstance(value, dict):
        raise InputError(f"{path}: must hold an object with environment, images and threads")
    return value
