"""The benchmark's page: one dict, and the template that reads it."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from study.report import formats, render
from study.report.formats import NONE, percent, share
from study.report.verdicts import verdict
from study.tables.public import PUBLISHED
from study.tables.results import Results
from study.tables.scoring import METRICS
from study.tables.verdicts import (
    CELL,
    CLOSE,
    ERRORS,
    OURS,
    SIMPLE,
    THOROUGH,
    Tally,
    against,
    coverage,
    tally,
)
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


def render_page(page: dict[str, Any], template: str = "benchmark.md.j2") -> str:
    """Render the page, or `answer` alone, with the macros that all pages are made of."""
    folders = [Path(__file__).parent, Path(render.__file__).with_name("templates")]
    environment = Environment(
        loader=FileSystemLoader(folders),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["table"] = formats.table
    return environment.get_template(template).render(page).strip() + "\n"


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
    sizes = results.tables.set_index("table")["rows"]
    covered = coverage(runs, OURS)
    at_random = fast[fast["mechanism"] != "mnar"]
    return {
        **answer(results),
        "overview": _overview(runs, fast, thorough, covered),
        "advice": [
            *(
                _advice(
                    f"{_span(low, high)}, missing at random",
                    at_random[_between(at_random, sizes, low, high)],
                    covered,
                )
                for low, high in SIZES
            ),
            *(
                _advice(_condition(mechanism, rate), cells, covered)
                for (mechanism, rate), cells in fast.groupby(CELL[1:], sort=False)
            ),
        ],
        "targets": _targets(results, fast, thorough, covered),
        "cells": _cells(fast, thorough),
        "scores": {METRIC_NAMES[m]: _scores(runs, m) for m in METRICS},
        "contaminated": contaminated(results.contaminated),
        "contamination": params["contamination"],
        "public": _public(results.public),
        "regression": _said(tally_r2(runs)),
        "times": _times(results),
        "speed": _speed(results.speed),
        "environment": results.environment,
        "tables": results.tables.astype(str),
        "not_run": _not_run(results, params["rivals"]),
        "failed": _failed(runs),
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
    return found._asdict() | {"change": percent(found.ratio - 1)}


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
    return [f"{_plain(name)} ({count})" for name, count in ordered.items()]


def _worst(found: pd.DataFrame) -> dict[str, str]:
    if found.empty:
        return {}
    row = found.loc[found["ratio"].idxmax()]
    where = f"{_plain(row['table'])}, {_condition(row['mechanism'], row['rate'])}"
    return {"change": percent(row["ratio"] - 1), "where": where, "best": IMPUTERS[row["best"]]}


def _overview(
    runs: pd.DataFrame, fast: pd.DataFrame, thorough: pd.DataFrame, covered: pd.DataFrame
) -> pd.DataFrame:
    givers = _givers(runs)
    crps = against(runs, OURS, givers, "crps")
    rows = []
    for condition, own in fast.groupby(CELL[1:], sort=False):
        one, all_, honest, sharp = (
            _of(frame, condition) for frame in (fast, thorough, covered, crps)
        )
        quick, slow, drawn = tally(one), tally(all_), tally(sharp)
        rows.append({
            "missing": _condition(*condition),
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


def _of(frame: pd.DataFrame, condition: tuple[str, int]) -> pd.DataFrame:
    mechanism, rate = condition
    return frame[(frame["mechanism"] == mechanism) & (frame["rate"] == rate)]


def _between(found: pd.DataFrame, sizes: pd.Series, low: int, high: int | None) -> pd.Series:
    rows = found["table"].map(sizes)
    return (rows >= low) & (rows < (np.inf if high is None else high))


def _span(low: int, high: int | None) -> str:
    if not low:
        return f"Fewer than {high:,} rows"
    return f"{low:,} rows and more" if high is None else f"{low:,} to {high:,} rows"


def _advice(name: str, cells: pd.DataFrame, covered: pd.DataFrame) -> dict[str, str]:
    """Say of some cells whether to use the imputer there, and whether its intervals are honest."""
    found = tally(cells)
    if not found.cells:
        return {}
    gains = found.ratio <= GAIN and found.ahead >= MOST * found.cells
    word = "use it" if gains else "little to gain" if found.ratio < 1 else "take a simple imputer"
    honest = covered.merge(cells[CELL], on=CELL)["coverage"]
    inside = honest.between(*COVERED)
    return {
        "where": name,
        "word": word,
        "ahead": f"{found.ahead} of {found.cells}",
        "change": percent(found.ratio - 1),
        "covered": share(honest.mean()),
        "honest": f"{inside.sum()} of {len(inside)}",
        "promise": "" if set(cells["mechanism"]) != {"mnar"} else "nothing can be promised there",
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
         _decimals(quick.ratio), quick.ratio <= FAST_RATIO),
        (f"thorough: within 2 % of the best of all in ≥ {share(AHEAD_SHARE, 0)} % of MCAR and MAR "
         "cells", _part(slow.close, slow.cells), slow.close >= AHEAD_SHARE * slow.cells),
        (f"thorough: geometric mean of these ratios ≤ {THOROUGH_RATIO}",
         _decimals(slow.ratio), slow.ratio <= THOROUGH_RATIO),
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


def _cells(fast: pd.DataFrame, thorough: pd.DataFrame) -> pd.DataFrame:
    """Every cell, the lost ones too."""
    both = fast.merge(thorough, on=CELL, how="left", suffixes=("", "_all"))
    return formats.texts(
        both,
        {
            "table": lambda row: _plain(row.table),
            "missing": lambda row: _condition(row.mechanism, row.rate),
            "VAEImputer": lambda row: _decimals(row.value),
            "best simple": lambda row: _rival(row.best, row.best_value),
            "change": lambda row: _bold(row.ratio),
            "it is": lambda row: _word(row.verdict),
            "thorough": lambda row: _decimals(row.value_all),
            "best of all": lambda row: _rival(row.best_all, row.best_value_all),
            "change ": lambda row: _bold(row.ratio_all),
            "it is ": lambda row: _word(row.verdict_all),
        },
    )


def _scores(runs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Means over seeds of one score, for every cell and imputer that has one."""
    scored = runs.dropna(subset=metric)
    means = scored.pivot_table(index=CELL, columns="imputer", values=metric, sort=False)
    means = means.reindex(columns=[name for name in IMPUTERS if name in means])
    means = means.reset_index()
    best = means.drop(columns=CELL).min(axis=1) if metric in ERRORS else None
    text = share if metric == "coverage" else _decimals
    rows = []
    for number, row in means.iterrows():
        cells = {
            "table": _plain(row["table"]),
            "missing": _condition(row["mechanism"], row["rate"]),
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
            "RMSE, Gaussian latents": _decimals(errors["gaussian"].mean()),
        }
        for variant, name in VARIANT_NAMES.items():
            if variant in errors:
                change = np.log(errors[variant] / errors["gaussian"]).groupby("seed").mean()
                row[name] = _change(change.dropna().to_list())
        rows.append(row)
    return pd.DataFrame(rows)


VARIANT_NAMES = {
    "t_latents": "t latents", "t_likelihood": "Student-t likelihood", "t_both": "both",
}  # fmt: skip


def _change(logarithms: Sequence[float]) -> str:
    if not logarithms:
        return NONE
    mean, low, high = mean_interval(logarithms)
    change, least, most = (float(np.expm1(end)) for end in (mean, low, high))
    return f"{formats.relative(change, least, most, 1)}: {verdict('mse', low, high)}"


def _public(runs: pd.DataFrame) -> pd.DataFrame:
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
            "table, 50 % MCAR": lambda row: _plain(row.case),
            "imputer": lambda row: row.name,
            "MAE": lambda row: _decimals(row.mae),
            "RMSE": lambda row: _decimals(row.rmse),
            "MSE": lambda row: _decimals(row.rmse**2),
        },
    )


def _times(results: Results) -> pd.DataFrame:
    wide = results.times.pivot(index="table", columns="imputer", values="seconds")
    wide = wide.reindex([t for t in results.tables["table"] if t in wide.index])
    wide = wide[[name for name in IMPUTERS if name in wide]]
    texts = wide.map(formats.duration).rename(columns=IMPUTERS)
    texts.insert(0, "table", [_plain(name) for name in wide.index])
    return texts.reset_index(drop=True)


def _speed(speed: pd.DataFrame) -> pd.DataFrame:
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


def _not_run(results: Results, rivals: Sequence[str]) -> list[str]:
    ran = set(map(tuple, results.runs[["imputer", "table"]].drop_duplicates().to_numpy()))
    found = []
    for name in (OURS, THOROUGH, *rivals):
        absent = [_plain(t) for t in results.tables["table"] if (name, t) not in ran]
        if absent:
            found.append(f"{IMPUTERS.get(name, name)} ({', '.join(absent)})")
    return found


def _failed(runs: pd.DataFrame) -> list[str]:
    failed = runs[runs["rmse"].isna() & (runs["imputer"] != "complete")]
    counts = failed["imputer"].value_counts(sort=False)
    return [f"{IMPUTERS.get(name, name)} ({count} runs)" for name, count in counts.items()]


def _condition(mechanism: str, rate: int) -> str:
    return f"{mechanism.upper()} {rate} %"


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _part(count: int, total: int) -> str:
    return f"{count} of {total} ({share(count / total)} %)" if total else NONE


def _decimals(value: float) -> str:
    # No minus sign before what rounds to 0.
    return NONE if value != value else f"{round(value, 3) + 0.0:.3f}".replace("-", "−")


def _rival(name: Any, value: float) -> str:
    return NONE if value != value else f"{IMPUTERS[name]} {_decimals(value)}"


def _bold(ratio: float) -> str:
    """Format a change; one that is no gain stands out."""
    text = percent(ratio - 1)
    return f"**{text}**" if ratio >= 1 else text


def _word(word: Any) -> str:
    return NONE if word != word else str(word)
