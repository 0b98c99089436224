"""The tracked results of every imputer, as tidy frames in one order.

In each frame ``imputer`` is the name of a method as sentences and tables print it, such as
```conv` draws`` or ``zeros``: an ordered category, so that whatever is grouped, sorted or pivoted
by it stays in the order of the tables. ``group`` is a key of `GROUPS`, ``method`` one of `NAMES`;
a baseline has neither recipe nor model nor seed.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from study.report.frames import REMEDY, Column, read, require
from study.report.runs import SCORE_COLUMNS
from study.trials.comparison import MECHANISMS, MODELS
from study.trials.tiles import load_tiles
from vaefill.errors import InputError
from vaefill.metrics.calibration import INTERVALS
from vaefill.storage import load_json

GROUPS = {
    "baseline": "without a VAE",
    "inference": "VAEs trained on complete images",
    "trained": "models trained to impute",
}
#: What stands for the recipe of imputers without a VAE in the names of their tables.
WITHOUT = "baselines"
#: Recipes of models that are trained to impute; any other trains on complete images.
TRAINED = ("mlp", "conv")
BASELINES = {
    "zero": "zeros", "mean": "pixel means", "knn": "nearest neighbours",
    "gaussian": "fitted normal", "biharmonic": "biharmonic",
}  # fmt: skip
NAMES = BASELINES | {
    "single_pass": "single pass", "iterated": "iterated", "pseudo_gibbs": "pseudo-Gibbs",
    "metropolis_within_gibbs": "Metropolis within Gibbs", "importance": "importance sampling",
    "map": "MAP code", "laplace": "Laplace", "refit": "refitted encoder", "draws": "draws",
}  # fmt: skip
#: Of Rubin's example: the complete images, two single imputations, and several pooled.
SOURCES = {
    "complete": "complete images", "zero": "zeros", "mean": "single imputation",
    "multiple": "multiple imputation",
}  # fmt: skip

_NUMBER, _PERHAPS = Column(float), Column(float, empty=True)
_RUN = {
    "recipe": Column(empty=True),
    "model": Column(among=(*MODELS, *BASELINES, "complete")),
    "method": Column(empty=True),
}
_TABLES = {
    "scores": _RUN | {
        "seed": Column(int, low=0, empty=True),
        "mechanism": Column(among=("none", *MECHANISMS)),
        "output": Column(among=("prediction", "imputation"), empty=True),
        "region": Column(among=("image", "missing", "observed", "grey")),
        "metric": Column(),
        "value": _NUMBER,
    },
    "timings": _RUN | {"seconds": _NUMBER},
    "degradation": _RUN | {"mechanism": Column(), "setting": _PERHAPS, "value": _NUMBER},
    "rubin": {
        "digit": Column(int, low=0), "source": Column(among=tuple(SOURCES)),
        "estimate": _NUMBER, "low": _NUMBER, "high": _NUMBER, "fmi": _PERHAPS,
    },
}  # fmt: skip
_TABLES["left_out"] = _TABLES["scores"]
_TIMING = ("dataset", "environment", "images", "threads")
_REMEDIES = {
    "timings": "delete it, and `make time` makes it anew",
    "left_out": "`git checkout` brings it back",
}
_NUMBERS = ("value", "seconds", "estimate", "low", "high", "fmi")


class Imputers(NamedTuple):
    """All that is known of the imputers; frames without rows where nothing was made.

    Attributes
    ----------
    scores : DataFrame
        Of imputations: ``imputer``, ``group``, ``recipe``, ``method``, ``model``, ``seed``,
        ``mechanism``, ``region``, ``metric``, ``level`` (of a coverage, else nan), ``value``.
    complete : float
        Share of complete test images that the classifier gets right; nan where it was not asked.
    times : DataFrame
        ``seconds`` for 10,000 images with one mask, by imputer and model.
    timing : dict
        How they were measured: ``dataset``, ``environment``, ``images``, ``threads``; or nothing.
    degradation : DataFrame
        ``value``, the MSE over missing pixels, by imputer, model, mechanism and its ``setting``.
    rubin : DataFrame
        The mean ink by ``digit`` and ``source``: ``estimate``, ``low``, ``high``, and ``fmi``,
        the share of missing information.
    draws : dict of (str, str, int) to uint8 array [cases, 3 + n_draws, 28, 28]
        Per recipe, model and seed: image, missing (255), imputation, then draws.
    left_out : DataFrame
        As `scores`, of methods of former runs that the scores no longer hold; among its metrics
        are ``seconds``, as `times` has them, and ``images``, the number of them that were imputed
        (region ``image``) and whose draws were scored (``missing``).
    """

    scores: pd.DataFrame
    complete: float
    times: pd.DataFrame
    timing: Mapping[str, Any]
    degradation: pd.DataFrame
    rubin: pd.DataFrame
    draws: Mapping[tuple[str, str, int], NDArray[np.uint8]]
    left_out: pd.DataFrame

    @property
    def runs(self) -> list[tuple[str, str, int]]:
        """Recipe, model and seed of every trained model that was used, in this order."""
        runs = self.scores[["recipe", "model", "seed"]].dropna().drop_duplicates()
        recipes = list(runs["recipe"].unique())
        return sorted(
            runs.astype({"seed": int}).itertuples(index=False, name=None),
            key=lambda run: (recipes.index(run[0]), MODELS.index(run[1]), run[2]),
        )

    @property
    def seeds(self) -> dict[str, list[int]]:
        """The seeds of each recipe's models."""
        seeds: dict[str, set[int]] = {}
        for recipe, _, seed in self.runs:
            seeds.setdefault(recipe, set()).add(seed)
        return {recipe: sorted(own) for recipe, own in seeds.items()}


def load(reports: str | Path, recipes: Sequence[str], *, dataset: str | None = None) -> Imputers:
    """Read the results of all imputers: those without a VAE, and those of the models of `recipes`.

    In ``imputation/`` below `reports` must be ``scores/``, with a table per recipe and one of the
    baselines; ``degradation/`` and ``draws/``, by recipe too, ``timings.csv``, ``timings.json``,
    ``rubin.csv`` and ``left_out.csv`` may be. What was measured on another `dataset` is left out:
    times, and the methods of former runs.

    Raises
    ------
    InputError
        When there are no scores, or a file is not what it should be.
    """
    folder = Path(reports, "imputation")
    scores = _by_recipe(folder, "scores", recipes)
    complete = scores.loc[scores["model"] == "complete", "value"].mean()
    scores = scores[(scores["output"] == "imputation") & (scores["model"] != "complete")]
    degradation = _by_recipe(folder, "degradation", recipes)
    times, rubin, left_out = (
        _perhaps(folder / f"{name}.csv", name) for name in ("timings", "rubin", "left_out")
    )
    timing = _timing(folder / "timings.json")
    if dataset not in (None, timing.get("dataset")):
        times, timing, left_out = times[:0], {}, left_out[:0]
    scores, times, degradation, left_out = map(_named, (scores, times, degradation, left_out))
    left_out = left_out[~left_out["imputer"].isin(scores["imputer"])]
    # What is no longer run is no rival of what is, though it was timed once.
    times = times[times["imputer"].isin(scores["imputer"])]
    known = pd.concat([scores, degradation])
    scores, times, degradation = (_sorted(rows, known) for rows in (scores, times, degradation))
    left_out = _sorted(left_out, left_out)
    tried = Imputers(scores, complete, times, timing, degradation, rubin, {}, left_out)
    return tried._replace(draws=_draws(folder / "draws", tried.runs))


def score_rows(reports: str | Path, recipes: Sequence[str]) -> pd.DataFrame:
    """Return the rows for ``scores.csv``: all but the levels that only the curve is drawn of."""
    rows = _by_recipe(Path(reports, "imputation"), "scores", recipes)
    rows = rows[rows["level"].isna() | rows["level"].isin(INTERVALS)]
    return rows[list(SCORE_COLUMNS)].astype({"seed": "Int64"})


def _by_recipe(folder: Path, kind: str, recipes: Iterable[str]) -> pd.DataFrame:
    """Read the tables of imputers without a VAE and of `recipes`, one after the other."""
    tables = []
    for name in (WITHOUT, *recipes):
        path = folder / kind / f"{name}.csv"
        rows = _perhaps(path, kind)
        recipe = "" if name == WITHOUT else name
        rule = f"recipe must be {recipe!r}, as the file's name says"
        require(path, rows["recipe"] == recipe, rule)
        tables.append(rows)
    return pd.concat(tables, ignore_index=True)


def _perhaps(path: Path, kind: str) -> pd.DataFrame:
    """Read a table; it may be missing, and has no rows then, unless it holds scores."""
    if path.exists() or kind == "scores":
        return _read(path, kind)
    rows = pd.DataFrame({name: pd.Series(dtype=c.kind) for name, c in _TABLES[kind].items()})
    return rows.assign(level=pd.Series(dtype=float)) if "metric" in rows else rows


def _read(path: Path, kind: str) -> pd.DataFrame:
    """Read a table, and hold it to the rules of several columns."""
    columns = _TABLES[kind]
    key = [name for name in columns if name not in _NUMBERS]
    remedy = _REMEDIES.get(kind, REMEDY)
    rows = read(path, columns, key=key, remedy=remedy)
    for name in {"recipe", "method", "seed"} & set(columns):
        has = rows[name].notna() & (rows[name] != "")
        rule = f"{name}: models {' and '.join(MODELS)} have one, and no others"
        require(path, has == rows["model"].isin(MODELS), rule, remedy)
    if "seconds" in rows:
        require(path, rows["seconds"] > 0, "seconds must be positive", remedy)
    if "setting" in rows:
        rule = f"setting: {' and '.join(MECHANISMS)} have one, and no others"
        require(path, rows["setting"].notna() == rows["mechanism"].isin(MECHANISMS), rule, remedy)
    if "metric" in rows:
        head, _, level = rows["metric"].str.partition("_").T.to_numpy()
        leveled = np.isin(head, ("coverage", "covered", "width"))
        rows["level"] = pd.to_numeric(pd.Series(level).where(leveled), errors="coerce")
        rule = "metric: the level of a coverage must be a number in (0, 1)"
        require(path, ~leveled | rows["level"].between(0, 1, inclusive="neither"), rule, remedy)
    return rows


def _named(rows: pd.DataFrame) -> pd.DataFrame:
    """Add names and groups; the method of a baseline is what stands as its model."""
    baseline = rows["recipe"] == ""
    method = rows["method"].mask(baseline, rows["model"])
    label = method.map(NAMES).fillna(method.str.replace("_", " "))
    trained = rows["recipe"].isin(TRAINED)
    return rows.assign(
        imputer=label.where(baseline, "`" + rows["recipe"] + "` " + label),
        group=np.select([baseline, trained], ["baseline", "trained"], "inference"),
        model=rows["model"].mask(baseline, ""),
        method=method,
    )


def _sorted(rows: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Sort by imputer, an ordered category of those that are known."""
    imputer = pd.Categorical(rows["imputer"], _order(known), ordered=True)
    return rows.assign(imputer=imputer).sort_values("imputer", kind="stable", ignore_index=True)


def _order(rows: pd.DataFrame) -> list[str]:
    """Return every imputer once: by group, then by recipe; of both the unknown ones first."""
    by = {"group": GROUPS, "recipe": TRAINED, "method": NAMES}
    rows = rows[["imputer", *by]].drop_duplicates()
    for name, known in by.items():
        unknown = sorted(set(rows[name]) - set(known))
        rows[name] = pd.Categorical(rows[name], [*unknown, *known], ordered=True)
    return list(rows.sort_values([*by])["imputer"])


def _timing(path: Path) -> Mapping[str, Any]:
    if not path.exists():
        return {}
    timing = load_json(path)
    if not isinstance(timing, dict) or not {*_TIMING} <= set(timing):
        raise InputError(
            f"{path}: must hold an object with {', '.join(_TIMING)}; `make time` makes it"
        )
    return timing


def _draws(
    folder: Path, runs: Iterable[tuple[str, str, int]]
) -> dict[tuple[str, str, int], NDArray[np.uint8]]:
    """Read the sheet of each run that has one."""
    draws: dict[tuple[str, str, int], NDArray[np.uint8]] = {}
    for recipe, model, seed in runs:
        path = folder / recipe / f"{model}-{seed}.png"
        if not path.exists():
            continue
        sheet = draws[recipe, model, seed] = load_tiles(path)
        if sheet.shape[1] < 4:
            raise InputError(
                f"{path}: {sheet.shape[1]} columns of tiles; it must have at least 4: image, "
                f"missing, imputation and draws; {REMEDY}"
            )
    return draws
