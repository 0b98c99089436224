"""Experiments beside the main comparison: their plan, their names and their results.

An experiment is a model with the params that may be swept; with each seed of ``params.yaml`` it
is one run, and one experiment of DVC's. ``sweep.yaml`` plans them, ``reports/sweep.csv`` holds
what came out.
"""

from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from study.params import Params, Seeds, positive, read_yaml
from study.trials.comparison import MECHANISMS, METRICS, OUTPUTS
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


class Entry(Params):
    """One entry of the plan: a grid."""

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


class Plan(NamedTuple):
    """What is to be run.

    Attributes
    ----------
    recipe : str
        Section of ``train`` that trains every experiment.
    defaults : Experiment
        The t model of ``params.yaml``.
    experiments : tuple of Experiment
        Each once, in the plan's order.
    """

    recipe: str
    defaults: Experiment
    experiments: tuple[Experiment, ...]


class Run(NamedTuple):
    """What a row of ``sweep.csv`` is a result of.

    Attributes
    ----------
    dataset, recipe : str
        As in ``params.yaml``.
    experiment : Experiment
        What was varied.
    seed : int
        Of the training.
    params : str
        Digest of all params that decide the result: runs of others are other runs.
    """

    dataset: str
    recipe: str
    experiment: Experiment
    seed: int
    params: str = ""

    @property
    def name(self) -> str:
        """The name of its DVC experiment."""
        return self.experiment.name(self.seed)


COLUMNS = ("dataset", "recipe", *Experiment._fields, "seed", "params", "metric", "value")
Values = Mapping[str, float]


def load_plan(path: str | Path, params: SweepParams) -> Plan:
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
    try:
        file = PlanFile.model_validate(read_yaml(Path(path)))
    except ValidationError as error:
        raise InputError(f"{path}: {_complaint(error)}") from error
    experiments = [
        _experiment(*values)
        for entry in file.experiments
        for values in product(
            *(getattr(entry, key) or [getattr(params, key)] for key in Experiment._fields)
        )
    ]
    defaults = _experiment("t", *(getattr(params, key) for key in Experiment._fields[1:]))
    return Plan(file.recipe, defaults, tuple(dict.fromkeys(experiments)))


def _complaint(error: ValidationError) -> str:
    problem = error.errors()[0]
    place, rule = ".".join(map(str, problem["loc"])), problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "missing":
        return f"{place} is missing; add it"
    if problem["type"] == "extra_forbidden":
        rule = f"unknown; an experiment has {', '.join(Experiment._fields)}"
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


def save_runs(path: str | Path, runs: Mapping[Run, Values]) -> None:
    """Write ``sweep.csv``: one row per number, sorted."""
    save_table(path, COLUMNS, _rows(runs))


def _rows(runs: Mapping[Run, Values]) -> Iterator[list[int | float | str]]:
    for run in sorted(runs):
        names = ["" if value is None else value for value in run.experiment]
        for metric, value in sorted(runs[run].items()):
            yield [run.dataset, run.recipe, *names, run.seed, run.params, metric, float(value)]


def load_runs(path: str | Path) -> dict[Run, dict[str, float]]:
    """Read ``sweep.csv``; a file that does not exist yet holds no run.

    Raises
    ------
    InputError
        When the file is broken.
    """
    runs: dict[Run, dict[str, float]] = {}
    for number, row in enumerate(load_table(path) if Path(path).exists() else [], start=2):
        try:
            model, joint, kl, likelihood = (
                row[key] for key in ("model", "joint", "kl", "likelihood")
            )
            df, weight = float(row["df"]) if row["df"] else None, float(row["kl_weight"])
            experiment = Experiment(model, df, joint or None, kl or None, likelihood, weight)
            run = Run(row["dataset"], row["recipe"], experiment, int(row["seed"]), row["params"])
            runs.setdefault(run, {})[row["metric"]] = float(row["value"])
        except (KeyError, ValueError) as error:
            raise InputError(
                f"{path}: line {number} is no result of an experiment ({error}); "
                "`git checkout` it, or `make sweep` makes it anew"
            ) from error
    return runs
