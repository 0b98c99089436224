"""The benchmark's page: one dict, and the template that reads it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from study.report import formats
from study.report.formats import NONE, percent, share
from study.tables import listings
from study.tables.listings import IMPUTERS, condition, decimals, plain
from study.tables.results import Results
from study.tables.scoring import METRICS
from study.tables.verdicts import (
    CELL,
    CLOSE,
    OURS,
    SIMPLE,
    THOROUGH,
    Tally,
    against,
    coverage,
    tally,
)

#: For `study.report.render.render`: "benchmark.md.j2", the page, and "answer.md.j2".
TEMPLATES = Path(__file__).with_name("templates")
METRIC_NAMES = {
    "rmse": "RMSE", "mae": "MAE", "coverage": "Coverage of 90 % intervals, in %",
    "width": "Width of 90 % intervals", "crps": "CRPS", "r2": "R² of a regression",
}  # fmt: skip
SIZES = ((0, 500), (500, 2_000), (2_000, None))
#: What the project set out to reach; ratios are geometric means.
AHEAD_SHARE, FAST_RATIO, THOROUGH_RATIO = 0.85, 0.92, 0.98
COVERED, COVERED_FROM, COVERED_RATE = (0.87, 0.93), 400, 30
FIT_SECONDS, TRANSFORM_RATES = 60, {20: 20_000, 50: 4_000}
#: A change of the error to speak of, and the share of cells that must show one.
GAIN, MOST = 0.98, 2 / 3


def comparisons(results: Results) -> dict[str, pd.DataFrame]:
    """Hold both settings to those whom they are to beat, under the titles of the figure."""
    rivals = [name for name in results.runs["imputer"].unique() if name not in (OURS, THOROUGH)]
    return {
        "default, against mean, kNN and BayesianRidge": against(results.runs, OURS, SIMPLE),
        'experts="thorough", against all rivals': against(results.runs, THOROUGH, rivals),
    }


def page(results: Results, params: Mapping[str, Any]) -> dict[str, Any]:
    """Say all that the template needs to know.

    Parameters
    ----------
    results : Results
    params : mapping
        ``contamination``, ``n_draws``, ``rivals`` and ``seeds`` of the pipeline.
    """
    fast, thorough = comparisons(results).values()
    runs = results.runs
    covered = coverage(runs, OURS)
    advice = _advice(fast, covered, results.tables.set_index("table")["rows"])
    return {
        **answer(results),
        "overview": _overview(runs, fast, thorough, covered),
        "advice": advice,
        "words": {word: list(own["where"]) for word, own in advice.groupby("advice", sort=False)},
        "targets": _targets(results, fast, thorough, covered),
        "cells": listings.cells(fast, thorough),
        "scores": {METRIC_NAMES[m]: listings.scores(runs, m) for m in METRICS},
        "contaminated": listings.contaminated(results.contaminated),
        "contamination": params["contamination"],
        "public": listings.public(results.public),
        "regression": _said(tally_r2(runs)),
        "times": listings.times(results),
        "speed": listings.speed(results.speed),
        "environment": results.environment,
        "tables": results.tables.astype(str),
        "not_run": listings.not_run(results, params["rivals"]),
        "failed": listings.failed(runs),
        "seed_names": formats.seeds(params["seeds"]),
        "n_draws": params["n_draws"],
    }


def answer(results: Results, folder: str = "") -> dict[str, Any]:
    """Say what the first screen needs to know, of the page and of the README.

    Parameters
    ----------
    results : Results
    folder : str
        From where it is read to the page's folder, such as ``docs/``.
    """
    fast, thorough = comparisons(results).values()
    covered = coverage(results.runs, OURS)
    by_value = covered["mechanism"] == "mnar"
    return {
        "folder": folder,
        "fast": _said(tally(fast)),
        "thorough": _said(tally(thorough)),
        "covered": _range(covered[~by_value]["coverage"]),
        "covered_mnar": _range(covered[by_value]["coverage"]),
        "has_mnar": bool(by_value.any()),
        "lost": _lost(fast),
        "worst": _worst(fast),
    }


def _said(found: Tally) -> dict[str, Any]:
    size = f"{share(abs(found.ratio - 1))} % {'lower' if found.ratio < 1 else 'higher'}"
    return found._asdict() | {"change": percent(found.ratio - 1), "by": size}


def tally_r2(runs: pd.DataFrame) -> Tally:
    """Hold what the regressions leave unexplained, 1 - R², to that of the best simple rival."""
    unexplained = runs.assign(rmse=1 - runs["r2"])
    return tally(against(unexplained, OURS, SIMPLE))


def _range(values: pd.Series) -> dict[str, str]:
    ends = {"mean": values.mean(), "low": values.min(), "high": values.max()}
    return {name: share(value) for name, value in ends.items()}


def _lost(found: pd.DataFrame) -> list[str]:
    """Name the tables with cells in which the imputer is behind, those with most of them first."""
    counts = found[found["ratio"] >= 1]["table"].value_counts(sort=False)
    ordered = counts.sort_values(ascending=False, kind="stable")
    return [f"{plain(name)} ({count})" for name, count in ordered.items()]


def _worst(found: pd.DataFrame) -> dict[str, str]:
    if found.empty:
        return {}
    row = found.loc[found["ratio"].idxmax()]
    where = f"{plain(row['table'])}, {condition(row['mechanism'], row['rate'])}"
    return {
        "change": percent(row["ratio"] - 1),
        "where": where,
        "best": IMPUTERS[row["best"]],
    }


def _overview(
    runs: pd.DataFrame, fast: pd.DataFrame, thorough: pd.DataFrame, covered: pd.DataFrame
) -> pd.DataFrame:
    givers = _givers(runs)
    crps = against(runs, OURS, givers, "crps")
    rows = []
    for (mechanism, rate), own in fast.groupby(CELL[1:], sort=False):
        one, all_, honest, sharp = (
            _of(frame, mechanism, rate) for frame in (fast, thorough, covered, crps)
        )
        quick, slow, drawn = tally(one), tally(all_), tally(sharp)
        rows.append({
            "missing": condition(mechanism, rate),
            "tables": str(len(own)),
            "ahead of mean, kNN, BayesianRidge": f"{quick.ahead}, {percent(quick.ratio - 1)}",
            'within 2 % of all, experts="thorough"':
                f"{slow.close} of {slow.cells}, {percent(slow.ratio - 1)}",
            "90 % intervals cover": f"{share(honest['coverage'].mean())} %",
            "CRPS below all that give one":
                f"{drawn.ahead} of {drawn.cells}, {percent(drawn.ratio - 1)}",
        })  # fmt: skip
    return pd.DataFrame(rows)


def _givers(runs: pd.DataFrame) -> list[str]:
    given = runs.dropna(subset="crps")["imputer"].unique()
    return [name for name in given if name not in (OURS, THOROUGH)]


def _of(frame: pd.DataFrame, mechanism: str, rate: int) -> pd.DataFrame:
    return frame[(frame["mechanism"] == mechanism) & (frame["rate"] == rate)]


def _span(low: int, high: int | None) -> str:
    if not low:
        return f"fewer than {high:,} rows"
    return f"{low:,} rows and more" if high is None else f"{low:,} to {high:,} rows"


def _advice(fast: pd.DataFrame, covered: pd.DataFrame, sizes: pd.Series) -> pd.DataFrame:
    """Say where to use the imputer, by size and by what is missing, and whether to trust it."""
    at_random = fast[fast["mechanism"] != "mnar"]
    rows = at_random["table"].map(sizes)
    parts = {
        f"{_span(low, high)}, at random": at_random[(rows >= low) & (rows < (high or np.inf))]
        for low, high in SIZES
    }
    parts |= {condition(*what): cells for what, cells in fast.groupby(CELL[1:], sort=False)}
    found = [
        {"where": where, **_use(cells, covered)} for where, cells in parts.items() if len(cells)
    ]
    return pd.DataFrame(found)


def _use(cells: pd.DataFrame, covered: pd.DataFrame) -> dict[str, str]:
    found = tally(cells)
    gains = found.ratio <= GAIN and found.ahead >= MOST * found.cells
    honest = covered.merge(cells[CELL], on=CELL)["coverage"]
    inside = honest.between(*COVERED)
    return {
        "advice": (
            "use it" if gains else "little to gain" if found.ratio < 1 else "take a simple one"
        ),
        "ahead of mean, kNN, BayesianRidge": f"{found.ahead} of {found.cells}",
        "error": percent(found.ratio - 1),
        "90 % intervals cover": f"{share(honest.mean())} %",
        "within 87–93 %": f"{inside.sum()} of {len(inside)}",
    }


def _targets(
    results: Results, fast: pd.DataFrame, thorough: pd.DataFrame, covered: pd.DataFrame
) -> pd.DataFrame:
    runs = results.runs
    quick, slow = tally(fast), tally(thorough[thorough["mechanism"] != "mnar"])
    to_mean = against(runs, OURS, ["mean"])["ratio"].max()
    rows = results.tables.set_index("table")["rows"]
    checked = covered[
        (covered["mechanism"] == "mcar")
        & (covered["rate"] <= COVERED_RATE)
        & (covered["table"].map(rows) >= COVERED_FROM)
    ]["coverage"]
    inside = checked.between(*COVERED)
    crps = tally(against(runs, OURS, _givers(runs), "crps"))
    low, high = COVERED
    found = [
        (f"default: ahead of mean, kNN and BayesianRidge in ≥ {share(AHEAD_SHARE, 0)} % of cells",
         _part(quick.ahead, quick.cells), quick.ahead >= AHEAD_SHARE * quick.cells),
        ("default: error never more than 2 % above that of the mean",
         f"at most {percent(to_mean - 1)}", to_mean <= CLOSE),
        (f"default: geometric mean of the ratios ≤ {FAST_RATIO}",
         decimals(quick.ratio), quick.ratio <= FAST_RATIO),
        (f"thorough: within 2 % of the best of all in ≥ {share(AHEAD_SHARE, 0)} % of MCAR and MAR "
         "cells", _part(slow.close, slow.cells), slow.close >= AHEAD_SHARE * slow.cells),
        (f"thorough: geometric mean of these ratios ≤ {THOROUGH_RATIO}",
         decimals(slow.ratio), slow.ratio <= THOROUGH_RATIO),
        (f"90 % intervals cover {share(low, 0)}–{share(high, 0)} %: MCAR ≤ {COVERED_RATE} %, "
         f"{COVERED_FROM} rows and more", f"{_part(int(inside.sum()), len(inside))}, "
         f"mean {share(checked.mean())} %", bool(inside.all()) and len(inside) > 0),
        ("CRPS below that of every rival that gives one",
         f"{_part(crps.ahead, crps.cells)}, {percent(crps.ratio - 1)}",
         crps.ahead == crps.cells > 0),
        *_speed_targets(results.speed),
    ]  # fmt: skip
    return pd.DataFrame(
        [(aim, value, "reached" if reached else "missed") for aim, value, reached in found],
        columns=["to reach", "found", ""],
    )


def _speed_targets(speed: pd.DataFrame) -> Iterable[tuple[str, str, bool]]:
    for row in speed.itertuples():
        if row.task == "fit":
            aim = f"fit {row.rows:,} × {row.columns}, {row.rate} % missing, in < {FIT_SECONDS} s"
            yield aim, f"{row.seconds:.3g} s", row.seconds < FIT_SECONDS
        elif row.columns in TRANSFORM_RATES:
            least, rate = TRANSFORM_RATES[row.columns], row.rows / row.seconds
            aim = f"transform ≥ {least:,} rows/s: {row.columns} columns, {row.rate} % missing"
            yield aim, f"{rate:,.0f} rows/s", rate >= least


def _part(count: int, total: int) -> str:
    return f"{count} of {total} ({share(count / total)} %)" if total else NONE
