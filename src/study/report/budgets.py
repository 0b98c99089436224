"""What training work buys: the tracked scores of models trained with less and with more of it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from study.report.formats import number, texts
from study.report.frames import Column, read
from study.report.imputers import TRAINED

#: What is hidden, and what a score is.
CASE, SCORE = ("mechanism", "setting"), ("region", "metric")
MODEL = ("networks", "epochs", "tflop")
_COLUMNS = {
    "networks": Column(among=TRAINED),
    "epochs": Column(int, low=1),
    "tflop": Column(float, low=0),
    "images": Column(int, low=1),
    "mechanism": Column(among=("random", "square")),
    "setting": Column(float, low=0),
    "region": Column(among=("image", "missing")),
    "metric": Column(among=("mse", "ssim")),
    "value": Column(float),
}


def load(reports: str | Path, models: Iterable[tuple[object, int]]) -> pd.DataFrame:
    """Read ``training/budgets/{name}-{seed}.csv``, those of `models` that are there, and no others.

    Returns
    -------
    DataFrame
        One row per score of each model, by work, a mean over seeds; maybe none.

    Raises
    ------
    InputError
        When a file breaks a rule of `study.report.frames.read`.
    """
    paths = [Path(reports, "training", "budgets", f"{name}-{seed}.csv") for name, seed in models]
    tables = [read(path, _COLUMNS, key=(*CASE, *SCORE)) for path in paths if path.exists()]
    rows = pd.concat(tables) if tables else pd.DataFrame(columns=[*_COLUMNS])
    same = [name for name in rows if name != "value"]
    return (
        rows.groupby(same, sort=False, as_index=False)["value"]
        .mean()
        .sort_values([*MODEL[::2]], kind="stable", ignore_index=True)
    )


def curve(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the networks that several models have, or none."""
    return rows[rows.groupby("networks")["tflop"].transform("nunique") > 1]


def case_name(mechanism: str, setting: float) -> str:
    """Name what is hidden."""
    return f"{100 * setting:g} %" if mechanism == "random" else f"{setting:g} × {setting:g}"


def budgets(rows: pd.DataFrame) -> dict[str, Any]:
    """Return what ``budgets.md.j2`` says: all scores, and what four times the work changes.

    The change is that of the straight line through the logarithms of work and of the MSE over what
    is missing.
    """
    several = curve(rows)
    errors = several[(several["region"] == "missing") & (several["metric"] == "mse")]
    changes = {
        case_name(*case): 4 ** np.polyfit(np.log(own["tflop"]), np.log(own["value"]), 1)[0] - 1
        for case, own in errors.groupby([*CASE])
    }
    wide = rows.pivot(index=[*MODEL, *CASE], columns=[*SCORE], values="value")
    wide.columns = ["_".join(names) for names in wide]
    return {
        "changes": changes,
        "networks": [*several["networks"].unique()],
        "low": several["tflop"].min(),
        "high": several["tflop"].max(),
        "images": rows["images"].min(),
        "table": texts(wide.reset_index(), {
            "networks": lambda row: f"`{row.networks}`",
            "missing": lambda row: case_name(row.mechanism, row.setting),
            "epochs": lambda row: str(row.epochs),
            "TFLOP": lambda row: f"{row.tflop:.3g}",
            "MSE": lambda row: number(row.image_mse, "mse"),
            "SSIM": lambda row: number(row.image_ssim, "ssim"),
            "MSE of missing pixels": lambda row: number(row.missing_mse, "mse"),
        }),
    }  # fmt: skip
