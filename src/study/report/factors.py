"""What moves the slides' table, beside the prior: the tracked trainings of ``factors.yaml``.

A factor is what the slides do not name, or name and hold fixed: how weights begin, what makes the
steps, the recipe, whether the code is drawn, the seed. Its changes are those of the imputation's
mean squared error, with one thing changed at a time and seed by seed.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import pandas as pd

from study.report import formats
from study.report.frames import Column, read
from study.report.runs import CELL, SLIDES_RECIPE
from study.report.verdicts import WORDS, paired, verdict
from study.slides import SLIDES, Cell
from study.trials.comparison import MECHANISMS, MODELS
from study.trials.recipes import Init, Optimizer
from study.trials.sweep import Plan, Training, TrainingParams, load_trainings
from vaefill.storage import load_table

COLUMNS = {
    "dataset": Column(), "recipe": Column(), "model": Column(among=MODELS),
    "init": Column(among=get_args(Init)), "optimizer": Column(among=get_args(Optimizer)),
    "lr": Column(float, low=0), "seed": Column(int, low=0), "params": Column(empty=True),
    "mechanism": Column(among=("none", *MECHANISMS)), "method": Column(empty=True),
    "output": Column(empty=True), "region": Column(), "metric": Column(), "value": Column(float),
}  # fmt: skip
_REMEDY = "`git checkout` it, or `make factors` makes it anew"
DIVERGED = "diverged"
MEAN, DRAWN = "single_pass", "single_draw"
#: What is looked at: imputed whole images.
ERROR = {"output": "imputation", "metric": "mse"}
INITS = {"torch": "PyTorch's default", "he": "He", "xavier": "Glorot", "normal": "N(0, 0.01²)"}
OPTIMIZERS = {"adam": "Adam", "momentum": "momentum", "sgd": "SGD"}
INIT, OPTIMIZER, BOTH = "initialisation", "optimiser", "initialisation and optimiser"
RECIPE, CODE, SEED, PRIOR = "training recipe", "code when imputing", "seed", "prior"
FACTORS = (INIT, OPTIMIZER, BOTH, RECIPE, CODE, SEED, PRIOR)
#: Those that a Gaussian model alone has, whose changes have an interval.
ALONE = FACTORS[:5]
#: The level of a row that stands for many settings.
EACH = "each setting"
#: One comparison: what is changed, to what, from what, with which model, in which of the trainings.
PLACE = ["factor", "level", "usual", "model", "setting"]


class Factors(NamedTuple):
    """The trainings of a plan.

    Attributes
    ----------
    plan : Plan
        What was to be run, with every seed.
    seeds : tuple of int
        Those of ``params.yaml``.
    epochs : dict of str to int
        Of every recipe of ``params.yaml``.
    runs : DataFrame
        What was run, of the plan and the seeds alone: the fields of `Training` and ``setting``,
        their name, ``seed``, ``mechanism``, ``method``, ``output``, ``metric`` and ``value``. Of a
        training that diverged there is the metric ``diverged`` alone, its epoch.
    """

    plan: Plan[Training]
    seeds: tuple[int, ...]
    epochs: dict[str, int]
    runs: pd.DataFrame

    @property
    def planned(self) -> int:
        """How many trainings were to be run."""
        return len(self.plan.experiments) * len(self.seeds)

    @property
    def done(self) -> int:
        """How many were, also those that diverged."""
        return len(self.runs[["model", "setting", "seed"]].drop_duplicates())

    @property
    def usual(self) -> Training:
        """The Gaussian model with the recipe as it stands."""
        return self.plan.defaults._replace(model="gauss")


def read_factors(path: str | Path, plan: str | Path, params: TrainingParams) -> Factors:
    """Read the results of a plan with the data set and the seeds of `params`, and no others.

    Where there is no table, or none of its rows is of the plan, nothing was run.

    Raises
    ------
    InputError
        When plan or table break a rule.
    """
    wanted, seeds = load_trainings(plan, params), tuple(dict.fromkeys(params.seeds))
    fields = list(Training._fields)
    planned = pd.DataFrame(wanted.experiments, columns=fields)
    planned["setting"] = [_setting(e) for e in wanted.experiments]
    columns = [*fields, "setting", "seed", "mechanism", "method", "output", "metric", "value"]
    epochs = {name: recipe.epochs for name, recipe in params.train.items()}
    if not Path(path).exists() or not load_table(path):
        return Factors(wanted, seeds, epochs, planned.reindex(columns=columns).iloc[:0])
    key = [name for name in COLUMNS if name not in ("params", "value")]
    table = read(path, COLUMNS, key=key, remedy=_REMEDY)
    here = (table["dataset"] == params.dataset) & (table["recipe"] == wanted.recipe)
    here &= table["seed"].isin(seeds) & (table["region"] == "image")
    return Factors(wanted, seeds, epochs, planned.merge(table[here], on=fields)[columns])


def _setting(e: Training) -> str:
    return f"{INITS[e.init]}, {OPTIMIZERS[e.optimizer]} {e.lr:g}"


def changes(factors: Factors, scores: pd.DataFrame) -> pd.DataFrame:
    """Set side by side what differs in one factor: a long frame.

    Parameters
    ----------
    factors : Factors
        As from `read_factors`.
    scores : DataFrame
        As in `study.report.runs.Metrics`: the runs of the main comparison.

    Returns
    -------
    DataFrame
        `PLACE`, ``mechanism``, ``seed``, ``side`` (``reference`` or ``other``) and ``value``. The
        reference of a seed is the mean of all.
    """
    parts = [
        frame[["mechanism", "seed", "value"]].assign(
            side=side, **dict(zip(PLACE, place, strict=True))
        )
        for place, *frames in _sides(factors, scores)
        for side, frame in zip(("reference", "other"), frames, strict=True)
    ]
    columns = [*PLACE, "mechanism", "seed", "side", "value"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _sides(factors: Factors, scores: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    """Yield place, reference and other of each comparison, the errors of both by seed."""
    usual = factors.usual
    main = _where(scores, region="image", method=MEAN, **ERROR)
    runs = _where(factors.runs, method=MEAN, **ERROR)

    def of(e: Training) -> pd.DataFrame:
        return _where(runs, **e._asdict())

    def by(recipe: str, model: str) -> pd.DataFrame:
        return _where(main, recipe=recipe, model=model)

    def named(recipe: str) -> str:
        return f"`{recipe}`, {factors.epochs[recipe]} epochs"

    for e in factors.plan.experiments:
        if e.model == "gauss" and e != usual:
            yield (*_changed(e, usual), "gauss", _setting(e)), of(usual), of(e)
    recipes = list(main["recipe"].unique())
    base = SLIDES_RECIPE if SLIDES_RECIPE in recipes else recipes[0]
    others = {recipe: by(recipe, "gauss") for recipe in recipes if recipe != base}
    for recipe, frame in {**others, factors.plan.recipe: of(usual)}.items():
        place = (RECIPE, named(recipe), named(base), "gauss", recipe)
        yield place, by(base, "gauss"), frame
    drawn = _where(factors.runs, method=DRAWN, **ERROR, **usual._asdict())
    yield (CODE, "one draw", "its mean", "gauss", _setting(usual)), of(usual), drawn
    own = by(base, "gauss")
    means = own.assign(value=own.groupby("mechanism")["value"].transform("mean"))
    yield (SEED, f"another, `{base}`", "the mean", "gauss", base), means, own
    for recipe in recipes:
        yield (
            (PRIOR, f"t, `{recipe}`", "Gaussian", "t", recipe),
            by(recipe, "gauss"),
            by(recipe, "t"),
        )
    for e in factors.plan.experiments:
        if e.model == "t":
            sides = of(e._replace(model="gauss")), of(e)
            yield (PRIOR, EACH, "Gaussian", "t", _setting(e)), *sides


def _where(frame: pd.DataFrame, **values: Any) -> pd.DataFrame:
    """Keep the rows that have these values."""
    return frame[(frame[list(values)] == pd.Series(values)).all(axis="columns")]


def _changed(e: Training, usual: Training) -> tuple[str, str, str]:
    """Name the factor, what it is changed to, and from what."""
    init, optimizer = (
        [names[getattr(one, field)] for one in (e, usual)]
        for field, names in (("init", INITS), ("optimizer", OPTIMIZERS))
    )
    if e.init != usual.init and (e.optimizer, e.lr) != (usual.optimizer, usual.lr):
        level, before = (f"{a} with {b}" for a, b in zip(init, optimizer, strict=True))
        return BOTH, level, before
    factor, (level, before) = (OPTIMIZER, optimizer) if e.init == usual.init else (INIT, init)
    return factor, level, before


def compared(found: pd.DataFrame) -> pd.DataFrame:
    """Compare both sides of `changes`, paired by seed, relative to the reference's mean.

    Returns
    -------
    DataFrame
        `PLACE`, ``mechanism`` and what `study.report.verdicts.paired` gives, with ``diff``, ``low``
        and ``high`` as shares of ``reference``; ``claim``, what the slides' t changes, likewise.
    """
    rows = paired(found, [*PLACE, "mechanism"], side="side", sides=("reference", "other"))
    for name in ("diff", "low", "high"):
        rows[name] = rows[name] / rows["reference"]
    return rows.assign(claim=[claim(mechanism) for mechanism in rows["mechanism"]])


def claim(mechanism: str) -> float:
    """Say how much the slides' t prior changes their error, as a share."""
    slides = SLIDES[Cell(mechanism, **ERROR)]
    return slides["t"] / slides["gauss"] - 1


_NAMES: Mapping[str, Callable[[Any], str]] = {
    "factor": lambda row: row.factor,
    "changed to": lambda row: f"t, {row.setting}" if row.level == EACH else row.level,
    "from": lambda row: row.usual,
    "missing": lambda row: formats.MECHANISMS[row.mechanism],
}
_CHANGE: Mapping[str, Callable[[Any], str]] = {
    "change of the error": lambda row: formats.relative(row.diff, row.low, row.high, 1),
    "seeds": lambda row: f"{row.n}",
    "then it is": lambda row: verdict("mse", row.low, row.high),
}
_SETTING: Mapping[str, Callable[[Any], str]] = {
    "initialisation, optimiser, rate": lambda row: row.setting,
    "model": lambda row: formats.MODELS[row.model],
    "code": lambda row: {MEAN: "mean", DRAWN: "drawn"}[row.method],
    "seeds": lambda row: f"{row.n}",
    "MSE, random pixels": lambda row: formats.number(row.random, "mse"),
    "MSE, a square": lambda row: formats.number(row.square, "mse"),
    "of the slides' VAE column": lambda row: f"{row.like_gauss} of {len(SLIDES)}",
    "of their t column": lambda row: f"{row.like_t} of {len(SLIDES)}",
}
_DIVERGED: Mapping[str, Callable[[Any], str]] = {
    "initialisation, optimiser, rate": lambda row: row.setting,
    "model": lambda row: formats.MODELS[row.model],
    "seeds": lambda row: ", ".join(map(str, row.seeds)),
    "stopped in epoch": lambda row: " to ".join(f"{x:.0f}" for x in sorted({row.first, row.last})),
}


def section(factors: Factors, scores: pd.DataFrame, *, tolerance: float) -> dict[str, Any]:
    """Return what ``factors.md.j2`` says, and the front page's sentence on the slides' gap.

    Parameters
    ----------
    factors, scores
        As for `changes`; the scores are of MNIST, and among them is the slides' recipe.
    tolerance : float
        How near a mean error must come to the slides' to count as theirs, relative to it.
    """
    rows = compared(changes(factors, scores))
    rows = rows.sort_values("factor", key=lambda f: f.map(FACTORS.index), kind="stable")
    prior = rows[(rows["factor"] == PRIOR) & rows["low"].notna()]
    words = [verdict("mse", row.low, row.high) for row in prior.itertuples()]
    settings = _settings(factors, tolerance)
    gauss = settings[settings["model"] == "gauss"]
    diverged = factors.runs[factors.runs["metric"] == DIVERGED]
    stopped = diverged.groupby(["setting", "model"], sort=False).agg(
        seeds=("seed", list), first=("value", "min"), last=("value", "max")
    )
    return {
        "factors": factors,
        "cells": len(SLIDES),
        "moved": _largest(rows[rows["factor"].isin(ALONE)]),
        "prior": {word: words.count(word) for word in WORDS},
        "settings": gauss["setting"].nunique(),
        "like": {model: _nearest(gauss, f"like_{model}") for model in MODELS},
        "changes": formats.texts(rows[rows["factor"] != SEED], {**_NAMES, **_CHANGE}),
        "scores": formats.texts(settings, _SETTING),
        "diverged": formats.texts(stopped.reset_index(), _DIVERGED),
    }


def _largest(alone: pd.DataFrame) -> dict[str, Any] | None:
    """Find what changes the Gaussian model's errors the most as the slides' t changes theirs.

    A change counts by the mechanism of which it makes the smaller part; those without an interval
    count where there are no others.

    Returns
    -------
    dict or None
        `PLACE`; per mechanism its row of `compared`; ``tried``, how many changes there were;
        ``lower``, whether all intervals lie below 0; ``spans``, whether it then reaches what the
        slides' t does. None where nothing was changed.
    """
    found = {place: rows.set_index("mechanism") for place, rows in alone.groupby(PLACE, sort=False)}
    both = {place: rows for place, rows in found.items() if len(rows) == len(MECHANISMS)}
    told = {place: rows for place, rows in both.items() if rows["low"].notna().all()} or both
    if not told:
        return None
    parts = {place: (rows["diff"] / rows["claim"]).min() for place, rows in told.items()}
    place = max(parts, key=parts.__getitem__)
    lower = bool((told[place]["high"] < 0).all())
    return {
        **dict(zip(PLACE, place, strict=True)),
        **told[place].to_dict("index"),
        "tried": len(told),
        "lower": lower,
        "spans": lower and bool(parts[place] >= 1),
    }


def _settings(factors: Factors, tolerance: float) -> pd.DataFrame:
    """Give a row per setting, model and method: its errors, and how many cells are the slides'."""
    by = ["setting", "model", "method"]
    runs = factors.runs[factors.runs["method"].isin((MEAN, DRAWN))]
    means = runs.groupby([*by, *CELL])["value"].mean().unstack(list(CELL))
    table = runs.groupby(by)["seed"].nunique().rename("n").to_frame()
    cells = pd.DataFrame(index=means.index, columns=list(SLIDES), dtype=float)
    for cell in set(SLIDES) & set(means):
        cells[cell] = means[cell]
    for model in MODELS:
        near = [
            (error_of(cell, cells[cell]) / error_of(cell, slides[model]) - 1).abs() <= tolerance
            for cell, slides in SLIDES.items()
        ]
        table[f"like_{model}"] = np.sum(near, axis=0)
    for mechanism in MECHANISMS:
        table[mechanism] = cells[Cell(mechanism, **ERROR)]
    # A code at its mean before one that is drawn.
    order = runs[by].drop_duplicates().sort_values("method", kind="stable", ascending=False)
    return order.merge(table.reset_index(), on=by)


def _nearest(settings: pd.DataFrame, like: str) -> dict[str, Any] | None:
    """Find the setting with the most cells, how many these are, and how many others have as many.

    The first of `settings` where several do. None where no setting has a cell.
    """
    most = settings[settings[like] == settings[like].max()]
    if most.empty or not most[like].iloc[0]:
        return None
    first = most.iloc[0]
    return {
        "cells": first[like],
        "setting": first["setting"],
        "drawn": first["method"] == DRAWN,
        "others": len(most) - 1,
    }


def error_of(cell: Cell, score: Any) -> Any:
    """Turn a score of the slides' table into an error: what is below 1 of an SSIM."""
    return score if cell.metric == "mse" else 1 - score
