"""Experiments beside the main comparison: their plan, their names and their results.

An experiment is a model with what is varied of it; with each seed of ``params.yaml`` it is one run.
There are two kinds: an `Experiment` varies the model's own params, ``sweep.yaml`` plans them, and
``reports/sweep.csv`` holds what came out; a `Training` varies its recipe, see ``factors.yaml`` and
``reports/factors.csv``.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, Protocol, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from study.params import Params, Seeds, positive, read_yaml
from study.trials.comparison import MECHANISMS, METRICS, OUTPUTS
from study.trials.recipes import Init, Optimizer, Rate, Recipe
from vaefill.errors import InputError
from vaefill.storage import load_table, save_table

T = TypeVar("T")
Model = Literal["gauss", "t"]
Df = Annotated[float, AfterValidator(positive)]
Joint = Literal["product", "multivariate"]
Kl = Literal["monte_carlo", "quadrature"]
Likelihood = Literal["bernoulli", "continuous_bernoulli"]
Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Grid = Annotated[
    list[T], Field(min_length=1), BeforeValidator(lambda v: v if isinstance(v, list) else [v])
]

#: Not shown in a name: names do not change with the defaults of ``params.yaml``.
UNNAMED = ("product", "monte_carlo", "bernoulli", 1.0)


class SweepParams(Params):
    """What the sweep reads of ``params.yaml``."""

    dataset: str
    df: Df
    joint: Joint
    kl: Kl
    likelihood: Likelihood
    kl_weight: Weight
    seeds: Seeds


class TrainingParams(SweepParams):
    """What the sweep of recipes reads of ``params.yaml``."""

    train: dict[str, Recipe]


class Entry(Params):
    """One entry of ``sweep.yaml``: a grid."""

    model: Grid[Model]
    df: Grid[Df] | None = None
    joint: Grid[Joint] | None = None
    kl: Grid[Kl] | None = None
    likelihood: Grid[Likelihood] | None = None
    kl_weight: Grid[Weight] | None = None


class PlanFile(Params):
    """``sweep.yaml``."""

    recipe: str
    experiments: Grid[Entry]


class TrainingEntry(Params):
    """One entry of ``factors.yaml``: a grid."""

    model: Grid[Model]
    init: Grid[Init] | None = None
    optimizer: Grid[Optimizer] | None = None
    lr: Grid[Rate] | None = None


class TrainingFile(Params):
    """``factors.yaml``."""

    recipe: str
    experiments: Grid[TrainingEntry]


class Planned(Protocol):
    """What is varied of a model: the fields of a named tuple, the first of them ``model``."""

    @property
    def model(self) -> str:
        """The latent family."""
        ...

    @property
    def unused(self) -> set[str]:
        """Params of ``params.yaml`` that do not reach the model."""
        ...

    def applied(self, params: Mapping[str, Any], recipe: str) -> dict[str, Any]:
        """Put what is varied into all `params`."""
        ...

    def name(self, seed: int) -> str:
        """Name a run, so that it can be a git ref and a file."""
        ...

    @classmethod
    def read(cls, row: Mapping[str, str]) -> Self:
        """Take the fields from a row of a table."""
        ...


E = TypeVar("E", bound=Planned)
#: Params of a t alone.
OF_T = {"df", "joint", "kl"}


class Experiment(NamedTuple):
    """A model and its params; a Gaussian model has neither `df` nor `joint` nor `kl`."""

    model: str
    df: float | None
    joint: str | None
    kl: str | None
    likelihood: str
    kl_weight: float

    @property
    def settings(self) -> dict[str, float | str]:
        """The params that apply to the model, by their keys in ``params.yaml``."""
        return {k: v for k, v in self._asdict().items() if k != "model" and v is not None}

    @property
    def gaussian(self) -> "Experiment":
        """The Gaussian model that differs in the latent distribution alone."""
        return Experiment("gauss", None, None, None, self.likelihood, self.kl_weight)

    def name(self, seed: int) -> str:
        """Name a run, as a DVC experiment and so as a git ref: ``t-df5-kl_quadrature-s1``."""
        parts = [
            f"{key}{value:g}" if isinstance(value, float) else f"{key}_{value}"
            for key, value in self.settings.items()
            if key == "df" or value not in UNNAMED
        ]
        return "-".join([self.model, *parts, f"s{seed}"])

    @property
    def unused(self) -> set[str]:
        """Params of ``params.yaml`` that do not reach the model."""
        return set(self._fields[1:]) - set(self.settings)

    def applied(self, params: Mapping[str, Any], recipe: str) -> dict[str, Any]:
        """Put what is varied into all `params`."""
        return {**params, **self.settings}

    @classmethod
    def read(cls, row: Mapping[str, str]) -> "Experiment":
        """Take the fields from a row of a table."""
        model, joint, kl, likelihood = (row[key] for key in ("model", "joint", "kl", "likelihood"))
        df, weight = float(row["df"]) if row["df"] else None, float(row["kl_weight"])
        return cls(model, df, joint or None, kl or None, likelihood, weight)


class Training(NamedTuple):
    """A model, and what of its recipe is varied."""

    model: str
    init: str
    optimizer: str
    lr: float

    def name(self, seed: int) -> str:
        """Name a run: ``t-he-adam-lr0.005-s1``."""
        return f"{self.model}-{self.init}-{self.optimizer}-lr{self.lr:g}-s{seed}"

    @property
    def unused(self) -> set[str]:
        """Params of ``params.yaml`` that do not reach the model."""
        return OF_T if self.model == "gauss" else set()

    def applied(self, params: Mapping[str, Any], recipe: str) -> dict[str, Any]:
        """Put what is varied into all `params`: into its section of ``train``."""
        varied = {key: value for key, value in self._asdict().items() if key != "model"}
        section = {**params["train"][recipe], **varied}
        return {**params, "train": {**params["train"], recipe: section}}

    @classmethod
    def read(cls, row: Mapping[str, str]) -> "Training":
        """Take the fields from a row of a table."""
        return cls(row["model"], row["init"], row["optimizer"], float(row["lr"]))


class Plan(NamedTuple, Generic[E]):
    """What is to be run.

    Attributes
    ----------
    recipe : str
        Section of ``train`` that trains every experiment.
    defaults : Experiment or Training
        The t model of ``params.yaml``.
    experiments : tuple of Experiment or of Training
        Each once, in the plan's order.
    """

    recipe: str
    defaults: E
    experiments: tuple[E, ...]


class Run(NamedTuple, Generic[E]):
    """What a row of a table is a result of.

    Attributes
    ----------
    dataset, recipe : str
        As in ``params.yaml``.
    experiment : Experiment or Training
        What was varied.
    seed : int
        Of the training.
    params : str
        Digest of all params that decide the result: runs of others are other runs.
    """

    dataset: str
    recipe: str
    experiment: E
    seed: int
    params: str = ""

    @property
    def name(self) -> str:
        """What people and DVC call it."""
        return self.experiment.name(self.seed)


class Table(NamedTuple, Generic[E]):
    """The form of a table of results.

    Attributes
    ----------
    experiment : type
        Of the runs.
    score : tuple of str
        Columns that name a number. Its name is what stands in them, joined by ``/``; the last
        takes what is left.
    """

    experiment: type[E]
    score: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """All of them."""
        fields: tuple[str, ...] = self.experiment._fields  # type: ignore[attr-defined]
        return ("dataset", "recipe", *fields, "seed", "params", *self.score, "value")


SWEEP = Table(Experiment, ("metric",))
FACTORS = Table(Training, ("mechanism", "method", "output", "region", "metric"))
#: Instead of all scores of a run whose training diverged: the epoch in which it was stopped.
DIVERGED = "none///image/diverged"
Values = Mapping[str, float]


def load_plan(path: str | Path, params: SweepParams) -> Plan[Experiment]:
    """Read the plan and expand its grids.

    Parameters
    ----------
    path : path-like
        ``sweep.yaml``: `recipe`, and `experiments`, a list of grids over the fields of
        `Experiment`.
    params : SweepParams
        Gives what an entry does not name.

    Raises
    ------
    InputError
        When the file cannot be read, or a key or value is unknown.
    """
    file = _read(path, PlanFile, Experiment._fields)
    experiments = [_experiment(*v) for v in _expand(file.experiments, params, Experiment._fields)]
    defaults = _experiment("t", *(getattr(params, key) for key in Experiment._fields[1:]))
    return Plan(file.recipe, defaults, tuple(dict.fromkeys(experiments)))


def load_trainings(path: str | Path, params: TrainingParams) -> Plan[Training]:
    """Read the plan of trainings and expand its grids.

    Parameters
    ----------
    path : path-like
        ``factors.yaml``: `recipe`, and `experiments`, a list of grids over the fields of
        `Training`; what an entry does not name is the recipe's.
    params : TrainingParams
        Describes the recipe.

    Raises
    ------
    InputError
        When the file cannot be read, or a key or value or the recipe is unknown.
    """
    file = _read(path, TrainingFile, Training._fields)
    if file.recipe not in params.train:
        raise InputError(
            f"{path}: recipe = {file.recipe!r}: must be one of train in params.yaml: "
            f"{', '.join(params.train)}"
        )
    recipe = params.train[file.recipe]
    experiments = [Training(*v) for v in _expand(file.experiments, recipe, Training._fields)]
    defaults = Training("t", recipe.init, recipe.optimizer, recipe.lr)
    return Plan(file.recipe, defaults, tuple(dict.fromkeys(experiments)))


F = TypeVar("F", bound=Params)


def _read(path: str | Path, schema: type[F], fields: Sequence[str]) -> F:
    try:
        return schema.model_validate(read_yaml(Path(path)))
    except ValidationError as error:
        raise InputError(f"{path}: {_complaint(error, fields)}") from error


def _expand(
    entries: Sequence[Params], defaults: Params, fields: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    """Go through the grids; what an entry does not name, `defaults` has."""
    for entry in entries:
        yield from product(*(getattr(entry, key) or [getattr(defaults, key)] for key in fields))


def _complaint(error: ValidationError, fields: Sequence[str]) -> str:
    problem = error.errors()[0]
    place, rule = ".".join(map(str, problem["loc"])), problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "missing":
        return f"{place} is missing; add it"
    if problem["type"] == "extra_forbidden":
        rule = f"unknown; an experiment has {', '.join(fields)}"
    return f"{place} = {problem['input']!r}: {rule}"


def _experiment(
    model: str, df: float, joint: str, kl: str, likelihood: str, kl_weight: float
) -> Experiment:
    """Round numbers to the digits that a table keeps, and drop what a Gaussian does not have."""
    weight = float(f"{kl_weight:.6g}")
    t = Experiment("t", float(f"{df:.6g}"), joint, kl, likelihood, weight)
    return t if model == "t" else t.gaussian


#: Numbers of a run by their names in the table, and their columns among its metrics.
NUMBERS = {
    "elbo": "elbo.elbo",
    "reconstruction": "elbo.reconstruction",
    "kl_nats": "elbo.kl",
    "log_likelihood": "likelihood.log_likelihood",
    "ess": "likelihood.ess",
    "active": "latent.active",
} | {
    f"{metric}/{mechanism}/{output}": f"scores.{mechanism}.single_pass.{output}.image.{metric}"
    for metric, mechanism, output in product(METRICS, MECHANISMS, OUTPUTS)
}


def read_metrics(metrics: Mapping[str, str]) -> dict[str, float]:
    """Take from the metrics of a run what the sweep compares.

    Parameters
    ----------
    metrics : dict
        One row as stage `evaluate` writes it: a column per number.

    Returns
    -------
    dict of str to float
        ``elbo``, ``reconstruction``, ``kl_nats`` and ``log_likelihood`` in nats per image;
        ``ess`` in draws; ``active`` coordinates and ``dead_units`` of all layers; ``kl/0`` and
        so on per coordinate, in nats; ``quantile/0.001`` and so on of the aggregate posterior;
        ``mse/random/imputation`` and its like over whole images.

    Raises
    ------
    InputError
        When a number is missing.
    """

    def under(prefix: str) -> dict[str, float]:
        names = [name for name in metrics if name.startswith(prefix)]
        return {name.removeprefix(prefix): float(metrics[name]) for name in names}

    try:
        values = {name: float(metrics[column]) for name, column in NUMBERS.items()}
        values["dead_units"] = sum(under("latent.dead_units.").values())
        for name, prefix in (("kl", "latent.kl."), ("quantile", "latent.quantiles.")):
            values |= {f"{name}/{key}": value for key, value in under(prefix).items()}
    except (KeyError, ValueError) as error:
        raise InputError(f"not the metrics of a run ({error!r}); `dvc repro` makes them") from error
    return values


def save_runs(path: str | Path, runs: Mapping[Run[E], Values], table: Table[E]) -> None:
    """Write a table of results: one row per number, sorted."""
    save_table(path, table.columns, _rows(runs, len(table.score)))


def _rows(runs: Mapping[Run[E], Values], n: int) -> Iterator[list[int | float | str]]:
    for run in sorted(runs):
        fields: Any = run.experiment
        names = ["" if value is None else value for value in fields]
        for name, value in sorted(runs[run].items()):
            score = name.split("/", n - 1)
            yield [run.dataset, run.recipe, *names, run.seed, run.params, *score, float(value)]


def load_runs(path: str | Path, table: Table[E]) -> dict[Run[E], dict[str, float]]:
    """Read a table of results; a file that does not exist yet holds no run.

    Raises
    ------
    InputError
        When the file is broken.
    """
    runs: dict[Run[E], dict[str, float]] = {}
    for number, row in enumerate(load_table(path) if Path(path).exists() else [], start=2):
        try:
            experiment = table.experiment.read(row)
            run = Run(row["dataset"], row["recipe"], experiment, int(row["seed"]), row["params"])
            name = "/".join(row[column] for column in table.score)
            runs.setdefault(run, {})[name] = float(row["value"])
        except (KeyError, ValueError) as error:
            raise InputError(
                f"{path}: line {number} is no result of an experiment ({error}); "
                f"`git checkout` it, or `make {Path(path).stem}` makes it anew"
            ) from error
    return runs
