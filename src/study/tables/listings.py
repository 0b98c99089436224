"""The benchmark's tables: frames of numbers, turned into frames of text."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from study.report import formats
from study.report.formats import NONE, percent, share
from study.report.verdicts import verdict
from study.tables.public import PUBLISHED
from study.tables.results import Results
from study.tables.verdicts import CELL, ERRORS, OURS, THOROUGH
from vaefill.metrics.statistics import mean_interval

IMPUTERS = {
    OURS: "VAEImputer",
    THOROUGH: "VAEImputer, thorough",
    "mean": "mean",
    "knn": "kNN",
    "knn_10": "kNN, 10",
    "bayesian_ridge": "BayesianRidge",
    "extra_trees": "extra trees",
    "miceforest": "miceforest",
    "missforest": "missforest",
    "gcimpute": "gcimpute",
    "complete": "(complete table)",
}
VARIANT_NAMES = {
    "t_latents": "t latents", "t_likelihood": "Student-t likelihood", "t_both": "both",
}  # fmt: skip


def cells(fast: pd.DataFrame, thorough: pd.DataFrame) -> pd.DataFrame:
    """Every cell, the lost ones too."""
    both = fast.merge(thorough, on=CELL, how="left", suffixes=("", "_all"))
    return formats.texts(
        both,
        {
            "table": lambda row: plain(row.table),
            "missing": lambda row: condition(row.mechanism, row.rate),
            "VAEImputer": lambda row: decimals(row.value),
            "best simple": lambda row: _rival(row.best, row.best_value),
            "change": lambda row: _bold(row.ratio),
            "it is": lambda row: _word(row.verdict),
            "thorough": lambda row: decimals(row.value_all),
            "best of all": lambda row: _rival(row.best_all, row.best_value_all),
            "change ": lambda row: _bold(row.ratio_all),
            "it is ": lambda row: _word(row.verdict_all),
        },
    )


def scores(runs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Means over seeds of one score, for every cell and imputer that has one."""
    scored = runs.dropna(subset=metric)
    means = scored.pivot_table(index=CELL, columns="imputer", values=metric, sort=False)
    means = means.reindex(columns=[name for name in IMPUTERS if name in means])
    means = means.reset_index()
    best = means.drop(columns=CELL).min(axis=1) if metric in ERRORS else None
    text = share if metric == "coverage" else decimals
    rows = []
    for number, row in means.iterrows():
        cells = {
            "table": plain(row["table"]),
            "missing": condition(row["mechanism"], row["rate"]),
        }
        for name, value in row.drop(CELL).items():
            lowest = best is not None and value == best[number]
            cells[IMPUTERS[name]] = f"**{text(value)}**" if lowest else text(value)
        rows.append(cells)
    return pd.DataFrame(rows)


def contaminated(runs: pd.DataFrame) -> pd.DataFrame:
    """Set each variant against Gaussian latents with a normal likelihood, paired by seed.

    Per seed the logarithm of the ratio of errors is averaged over the tables.
    """
    wide = runs.pivot(index=["share", "seed", "table"], columns="imputer", values="rmse")
    rows = []
    for spoiled, errors in wide.groupby("share"):
        row = {
            "spoiled cells": f"{share(float(spoiled), 0)} %",
            "RMSE, Gaussian latents": decimals(errors["gaussian"].mean()),
        }
        for variant, name in VARIANT_NAMES.items():
            if variant in errors:
                change = np.log(errors[variant] / errors["gaussian"]).groupby("seed").mean()
                row[name] = _change(change.dropna().to_list())
        rows.append(row)
    return pd.DataFrame(rows)


def _change(logarithms: Sequence[float]) -> str:
    if not logarithms:
        return NONE
    mean, low, high = mean_interval(logarithms)
    change, least, most = (float(np.expm1(end)) for end in (mean, low, high))
    return f"{formats.relative(change, least, most, 1)}: {verdict('mse', low, high)}"


def public(runs: pd.DataFrame) -> pd.DataFrame:
    """Set what others published beside what was found here, means over seeds."""
    rows = [
        (case, f"{name} ({source})", *(scores.get(m, np.nan) for m in ("mae", "rmse")))
        for case, name, source, scores in PUBLISHED
    ]
    means = runs.groupby(["case", "imputer"], sort=False)[["mae", "rmse"]].mean()
    rows += [(c, IMPUTERS.get(name, name), *found) for (c, name), found in means.iterrows()]
    frame = pd.DataFrame(rows, columns=["case", "name", "mae", "rmse"])
    frame = frame.sort_values(["case", "rmse"], ascending=[False, True], kind="stable")
    return formats.texts(
        frame,
        {
            "table, 50 % MCAR": lambda row: plain(row.case),
            "imputer": lambda row: row.name,
            "MAE": lambda row: decimals(row.mae),
            "RMSE": lambda row: decimals(row.rmse),
            "MSE": lambda row: decimals(row.rmse**2),
        },
    )


def times(results: Results) -> pd.DataFrame:
    """Processor seconds of every imputer on every table."""
    wide = results.times.pivot(index="table", columns="imputer", values="seconds")
    wide = wide.reindex([t for t in results.tables["table"] if t in wide.index])
    wide = wide[[name for name in IMPUTERS if name in wide]]
    texts = wide.map(formats.duration).rename(columns=IMPUTERS)
    texts.insert(0, "table", [plain(name) for name in wide.index])
    return texts.reset_index(drop=True)


def speed(speed: pd.DataFrame) -> pd.DataFrame:
    """Wall seconds of fit and transform on large tables."""
    return formats.texts(
        speed,
        {
            "task": lambda row: row.task,
            "rows": lambda row: f"{row.rows:,}",
            "columns": lambda row: str(row.columns),
            "missing": lambda row: f"{row.rate} %",
            "s": lambda row: formats.duration(row.seconds),
            "rows per s": lambda row: f"{row.rows / row.seconds:,.0f}",
        },
    )


def not_run(results: Results, rivals: Sequence[str]) -> list[str]:
    """Name the imputers that were left out on some tables, and these."""
    ran = set(map(tuple, results.runs[["imputer", "table"]].drop_duplicates().to_numpy()))
    found = []
    for name in (OURS, THOROUGH, *rivals):
        absent = [plain(t) for t in results.tables["table"] if (name, t) not in ran]
        if absent:
            found.append(f"{IMPUTERS.get(name, name)} ({', '.join(absent)})")
    return found


def failed(runs: pd.DataFrame) -> list[str]:
    """Name the imputers that broke down, and how often."""
    failed = runs[runs["rmse"].isna() & (runs["imputer"] != "complete")]
    counts = failed["imputer"].value_counts(sort=False)
    return [f"{IMPUTERS.get(name, name)} ({count} runs)" for name, count in counts.items()]


def condition(mechanism: str, rate: int) -> str:
    """Name a mechanism and how much it hides."""
    return f"{mechanism.upper()} {rate} %"


def plain(name: str) -> str:
    """Write the name of a table as people read it."""
    return name.replace("_", " ")


def decimals(value: float) -> str:
    """Format a score."""
    # No minus sign before what rounds to 0.
    return NONE if value != value else f"{round(value, 3) + 0.0:.3f}".replace("-", "−")


def _rival(name: Any, value: float) -> str:
    return NONE if value != value else f"{IMPUTERS[name]} {decimals(value)}"


def _bold(ratio: float) -> str:
    """Format a change; one that is no gain stands out."""
    text = percent(ratio - 1)
    return f"**{text}**" if ratio >= 1 else text


def _word(word: Any) -> str:
    return NONE if word != word else str(word)
