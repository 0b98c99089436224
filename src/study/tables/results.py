"""The tracked results of the benchmark as frames, checked where they are read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from study.report.frames import Column, read
from study.tables.hiding import MECHANISMS
from study.tables.scoring import METRICS
from vaefill.errors import InputError
from vaefill.storage import load_json

NAME, NUMBER, SEED = Column(), Column(float, low=0), Column(int, low=0)
SCORE = Column(float, empty=True)

RUNS = {
    "table": NAME, "mechanism": Column(among=tuple(MECHANISMS)), "rate": Column(int, low=1),
    "seed": SEED, "imputer": NAME, **dict.fromkeys(METRICS, SCORE),
}  # fmt: skip
CONTAMINATED = {"table": NAME, "share": NUMBER, "seed": SEED, "imputer": NAME, "rmse": SCORE}
PUBLIC = {"case": NAME, "imputer": NAME, "seed": SEED, "mae": SCORE, "rmse": SCORE}
TABLES = {
    "table": NAME, "rows": Column(int, low=1), "columns": Column(int, low=1), "package": NAME,
    "source": NAME,
}  # fmt: skip
TIMES = {"table": NAME, "imputer": NAME, "seconds": NUMBER}
SPEED = {
    "task": Column(among=("fit", "transform")), "rows": SEED, "columns": SEED, "rate": SEED,
    "seconds": NUMBER,
}  # fmt: skip
MEASURE = "measure it: make time-tables"


class Results(NamedTuple):
    """What was found, long: nothing is averaged.

    Attributes
    ----------
    tables : DataFrame
        Of each its size and source; the smallest first.
    runs : DataFrame
        Scores of one imputer on one table under one condition with one seed; nan where it has
        none. Those that were not run have no row. In the order of the tables and conditions.
    contaminated, public, times, speed : DataFrame
    environment : dict
        What times and speed were measured with.
    """

    tables: pd.DataFrame
    runs: pd.DataFrame
    contaminated: pd.DataFrame
    public: pd.DataFrame
    times: pd.DataFrame
    speed: pd.DataFrame
    environment: dict[str, Any]


def load(folder: Path, conditions: Sequence[str]) -> Results:
    """Read all of it.

    Parameters
    ----------
    folder : Path
    conditions : sequence of str
        In the order in which they are shown; results of others, and of tables that are not listed
        any more, are passed over.

    Raises
    ------
    InputError
        When a table is missing or breaks a rule.
    """
    tables = read(folder / "tables.csv", TABLES, key=["table"]).sort_values(["rows", "table"])
    runs = pd.concat([_all(folder / part, RUNS, list(RUNS)[:5]) for part in ("ours", "rivals")])
    names = runs["mechanism"] + "-" + runs["rate"].astype(str)
    places = [pd.Index(tables["table"]), pd.Index(conditions)]
    order = [places[0].get_indexer(runs["table"]), places[1].get_indexer(names)]
    runs = runs.assign(table_at=order[0], condition_at=order[1])
    runs = runs.query("table_at >= 0 and condition_at >= 0")
    runs = runs.sort_values(["table_at", "condition_at"], kind="stable")[list(RUNS)]
    return Results(
        tables,
        runs.reset_index(drop=True),
        _all(folder / "contaminated", CONTAMINATED, list(CONTAMINATED)[:4]),
        read(folder / "public.csv", PUBLIC, key=["case", "imputer", "seed"]),
        read(folder / "times.csv", TIMES, key=["table", "imputer"], remedy=MEASURE),
        read(folder / "speed.csv", SPEED, key=["task", "rows", "columns", "rate"], remedy=MEASURE),
        load_json(folder / "times.json"),
    )


def _all(folder: Path, columns: dict[str, Column], key: list[str]) -> pd.DataFrame:
    paths = sorted(folder.glob("*.csv"))
    if not paths:
        raise InputError(f"{folder}: no table in it; make them with: make benchmark")
    return pd.concat([read(path, columns, key=key) for path in paths], ignore_index=True)
