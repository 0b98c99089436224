"""The runs of the sweep as one tidy frame, and which of them a question sets side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from study.report.figures.style import df_label
from study.report.frames import Column, read
from study.trials.comparison import MODELS
from study.trials.sweep import UNNAMED, Experiment, Joint, Kl, Likelihood, Plan
from vaefill.errors import InputError
from vaefill.storage import load_table

METRICS = {
    "elbo": "test ELBO",
    "log_likelihood": "test log-likelihood",
    "kl_nats": "KL, nats",
    "active": "active coordinates",
    "dead_units": "dead units",
    "mse/random/prediction": "prediction MSE of random pixels",
    "mse/random/imputation": "imputation MSE of random pixels",
    "mse/square/prediction": "prediction MSE of a square",
    "mse/square/imputation": "imputation MSE of a square",
    "ssim_global/random/imputation": "imputation SSIM of random pixels",
    "ssim_global/square/imputation": "imputation SSIM of a square",
}
SETTINGS = {
    "multivariate": "multivariate",
    "product": "product",
    "quadrature": "KL by quadrature",
    "monte_carlo": "Monte Carlo KL",
    "continuous_bernoulli": "continuous Bernoulli",
    "bernoulli": "Bernoulli",
}
COLUMNS = {
    "dataset": Column(),
    "recipe": Column(),
    "model": Column(among=MODELS),
    "df": Column(float, low=0, empty=True, infinite=True),
    "joint": Column(among=get_args(Joint), empty=True),
    "kl": Column(among=get_args(Kl), empty=True),
    "likelihood": Column(among=get_args(Likelihood)),
    "kl_weight": Column(float, low=0),
    "seed": Column(int, low=0),
    "params": Column(empty=True),
    "metric": Column(),
    "value": Column(float),
}
_REMEDY = "`git checkout` it, or `make sweep` makes it anew"


class Sweep(NamedTuple):
    """The results of a plan.

    Attributes
    ----------
    dataset : str
        All runs are of this one.
    plan : Plan
        What was to be run, with every seed.
    seeds : tuple of int
        Those of ``params.yaml``.
    runs : DataFrame
        What was run, of the plan and the seeds alone, in the plan's order: ``experiment`` (its
        name in words), the fields of `Experiment` (of a Gaussian model df is nan, joint and kl
        are empty), ``changed``, ``seed``, ``metric`` and ``value``, one row per number.
    """

    dataset: str
    plan: Plan[Experiment]
    seeds: tuple[int, ...]
    runs: pd.DataFrame

    def of(self, model: str, *changes: str) -> pd.DataFrame:
        """Select the runs of a model that are as in ``params.yaml`` but for df and `changes`."""
        here = self.runs["changed"].isin(["", *changes])
        return self.runs[here & (self.runs["model"] == model)]


def read_sweep(
    path: str | Path, plan: Plan[Experiment], *, dataset: str, seeds: Sequence[int]
) -> Sweep:
    """Read the results of `plan` on one dataset and with some seeds, and no others.

    Where there is no ``sweep.csv`` at `path`, nothing was run.

    Raises
    ------
    InputError
        When the table breaks a rule of `study.report.frames.read`, or a run lacks a number.
    """
    fields = list(Experiment._fields)
    planned = pd.DataFrame(plan.experiments, columns=fields).astype({"df": "float64"})
    planned[["joint", "kl"]] = planned[["joint", "kl"]].fillna("")
    planned["experiment"] = [label(e) for e in plan.experiments]
    planned["changed"] = [", ".join(changed(plan, e)) for e in plan.experiments]
    columns = ["experiment", *fields, "changed", "seed", "metric", "value"]
    if not Path(path).exists() or not load_table(path):
        return Sweep(dataset, plan, tuple(seeds), planned.reindex(columns=columns).iloc[:0])
    key = [name for name in COLUMNS if name not in ("params", "value")]
    table = read(path, COLUMNS, key=key, remedy=_REMEDY)
    here = (table["dataset"] == dataset) & (table["recipe"] == plan.recipe)
    runs = planned.merge(table[here & table["seed"].isin(seeds)], on=fields)[columns]
    numbers = runs.pivot(index=["experiment", "seed"], columns="metric", values="value")
    needed = numbers.columns.union([*METRICS, "kl/0", "quantile/0.5"])
    lacking = numbers.reindex(columns=needed).isna().stack()
    if len(runs) and lacking.any():
        name, seed, metric = lacking.idxmax()
        raise InputError(f"{path}: {name} with seed {seed} has no {metric}; {_REMEDY}")
    return Sweep(dataset, plan, tuple(dict.fromkeys(seeds)), runs)


def changed(plan: Plan[Experiment], experiment: Experiment) -> list[str]:
    """Name the settings, but for df, in which an experiment differs from ``params.yaml``."""
    usual = plan.defaults if experiment.model == "t" else plan.defaults.gaussian
    pairs = zip(Experiment._fields, usual, experiment, strict=True)
    return [name for name, default, value in pairs if name != "df" and value != default]


def label(experiment: Experiment) -> str:
    """Name an experiment in words, and only what a reader may not expect."""
    parts = ["Gaussian" if experiment.df is None else f"t, {df_label(experiment.df)}"]
    parts += [
        SETTINGS[str(value)]
        for key, value in experiment.settings.items()
        if key not in ("df", "kl_weight") and value not in UNNAMED
    ]
    return ", ".join(parts + [f"β = {experiment.kl_weight:g}"] * (experiment.kl_weight != 1))


def beside(runs: pd.DataFrame, baseline: pd.DataFrame) -> pd.DataFrame:
    """Set each number of `runs` beside the baseline's of the same seed, as ``reference``."""
    reference = baseline[["seed", "metric", "value"]].rename(columns={"value": "reference"})
    return runs.merge(reference, on=["seed", "metric"])


def relative_changes(runs: pd.DataFrame, baseline: pd.DataFrame) -> pd.Series:
    """Return how much the mean of each metric changes with the KL weight, as a share."""
    pairs = beside(runs, baseline)
    means = pairs.groupby(["metric", "kl_weight"])[["value", "reference"]].mean()
    return means["value"] / means["reference"] - 1


def by_number(runs: pd.DataFrame, prefix: str) -> pd.DataFrame:
    """Arrange what one experiment has under ``prefix/number``: by rising number and by seed."""
    rows = runs[runs["metric"].str.startswith(f"{prefix}/")]
    numbers = rows["metric"].str.partition("/")[2].astype("float64")
    return rows.assign(number=numbers).pivot(index="number", columns="seed", values="value")


def prior_quantile(df: float, probability: ArrayLike) -> NDArray[np.float64]:
    """Quantiles of one coordinate under the prior: a t of either kind, or a Gaussian (nan)."""
    p = np.asarray(probability, dtype=np.float64)
    return np.asarray(stats.t.ppf(p, np.inf if np.isnan(df) else df))
