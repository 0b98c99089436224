"""The tracked results of every imputer, as tidy frames in one order.

In each frame ``imputer`` is the name of a method as sentences and tables print it, such as
```conv` draws`` or ``zeros``: an ordered category, so that whatever is grouped, sorted or pivoted
by it stays in the order of the tables. ``group`` is a key of `GROUPS`, ``method`` one of `NAMES`;
a baseline has neither recipe nor model nor seed.
"""

from collections.abc import Mapping
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
_TIMING = ("dataset", "environment", "images", "threads")
_REMEDIES = {"timings": "delete it, and `make time` makes it anew"}
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
    draws : dict of (str, str) to uint8 array [cases, 3 + n_draws, 28, 28]
        Per recipe and model, of the first seed: image, missing (255), imputation, then draws.
    """

    scores: pd.DataFrame
    complete: float
    times: pd.DataFrame
    timing: Mapping[str, Any]
    degradation: pd.DataFrame
    rubin: pd.DataFrame
    draws: Mapping[tuple[str, str], NDArray[np.uint8]]

    @property
    def runs(self) -> list[tuple[str, str, int]]:
        """Recipe, model and seed of every trained model that was used."""
        runs = self.scores[["recipe", "model", "seed"]].dropna().drop_duplicates()
        return [*runs.astype({"seed": int}).itertuples(index=False, name=None)]


def load(reports: str | Path, *, dataset: str | None = None) -> Imputers:
    """Read the results of all imputers.

    In ``imputation/`` below `reports` must be ``scores.csv``; ``timings.csv``, ``timings.json``,
    ``degradation.csv``, ``rubin.csv`` and ``draws/`` may be. Times that were measured on another
    `dataset` are left out.

    Raises
    ------
    InputError
        When there are no scores, or a file is not what it should be.
    """
    folder = Path(reports, "imputation")
    scores, times, degradation, rubin = (_read(folder / f"{name}.csv") for name in _TABLES)
    complete = scores.loc[scores["model"] == "complete", "value"].mean()
    scores = scores[(scores["output"] == "imputation") & (scores["model"] != "complete")]
    timing = _timing(folder / "timings.json")
    if dataset not in (None, timing.get("dataset")):
        times, timing = times[:0], {}
    named = [_named(rows) for rows in (scores, times, degradation)]
    order = _order(pd.concat(named))
    scores, times, degradation = (
        rows.assign(imputer=pd.Categorical(rows["imputer"], order, ordered=True)).sort_values(
            "imputer", kind="stable", ignore_index=True
        )
        for rows in named
    )
    draws = _draws(folder / "draws")
    return Imputers(scores, complete, times, timing, degradation, rubin, draws)


def score_rows(reports: str | Path) -> pd.DataFrame:
    """Return the rows for ``scores.csv``: all but the levels that only the curve is drawn of."""
    rows = _read(Path(reports, "imputation", "scores.csv"))
    rows = rows[rows["level"].isna() | rows["level"].isin(INTERVALS)]
    return rows[list(SCORE_COLUMNS)].astype({"seed": "Int64"})


def _read(path: Path) -> pd.DataFrame:
    """Read a table, and hold it to the rules of several columns."""
    columns = _TABLES[path.stem]
    if not path.exists() and path.stem != "scores":
        return pd.DataFrame(
            {name: pd.Series(dtype=column.kind) for name, column in columns.items()}
        )
    key = [name for name in columns if name not in _NUMBERS]
    rows = read(path, columns, key=key, remedy=_REMEDIES.get(path.stem, REMEDY))
    for name in {"recipe", "method", "seed"} & set(columns):
        has = rows[name].notna() & (rows[name] != "")
        rule = f"{name}: models {' and '.join(MODELS)} have one, and no others"
        require(path, has == rows["model"].isin(MODELS), rule)
    if "seconds" in rows:
        require(path, rows["seconds"] > 0, "seconds must be positive", _REMEDIES["timings"])
    if "setting" in rows:
        rule = f"setting: {' and '.join(MECHANISMS)} have one, and no others"
        require(path, rows["setting"].notna() == rows["mechanism"].isin(MECHANISMS), rule)
    if "metric" in rows:
        kind, _, level = rows["metric"].str.partition("_").T.to_numpy()
        leveled = np.isin(kind, ("coverage", "covered", "width"))
        rows["level"] = pd.to_numeric(pd.Series(level).where(leveled), errors="coerce")
        rule = "metric: the level of a coverage must be a number in (0, 1)"
        require(path, ~leveled | rows["level"].between(0, 1, inclusive="neither"), rule)
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


def _draws(folder: Path) -> dict[tuple[str, str], NDArray[np.uint8]]:
    """Read one sheet per recipe and model: of the first seed."""
    found = []
    for path in folder.glob("*.png"):
        recipe, model, seed = [*path.stem.rsplit("-", 2), "", ""][:3]
        if model not in MODELS or not seed.isdecimal():
            raise InputError(f"{path}: its name must be RECIPE-MODEL-SEED.png; rename or delete it")
        place = TRAINED.index(recipe) if recipe in TRAINED else -1
        found.append((place, recipe, model, int(seed), path))
    draws: dict[tuple[str, str], NDArray[np.uint8]] = {}
    for _, recipe, model, _, path in sorted(found):
        if (recipe, model) in draws:
            continue
        draws[recipe, model] = load_tiles(path)
        if (columns := draws[recipe, model].shape[1]) < 4:
            raise InputError(
                f"{path}: {columns} columns of tiles; it must have at least 4: image, missing, "
                f"imputation and draws; {REMEDY}"
            )
    return draws
