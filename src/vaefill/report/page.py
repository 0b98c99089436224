"""The page: what to do about the gaps of a table, and what that rests on, in one HTML file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from vaefill.report.assessment import IMPUTERS, LEVEL, Assessment, rivals_learned_from
from vaefill.report.comparison import compare
from vaefill.report.figures import LOOKS, figures
from vaefill.report.labels import counted, label, listed, percent
from vaefill.report.missingness import signs
from vaefill.report.trial import assess
from vaefill.report.verdicts import judge
from vaefill.storage import write_text
from vaefill.tables.kinds import Choice

#: Columns that have a place in the figures, those with most gaps first.
SHOWN = 16


def write_report(
    table: pa.Table,
    path: str | Path,
    *,
    name: str,
    n_rows: int | None = None,
    kept: Sequence[str] = (),
    kinds: Mapping[str, Choice] | None = None,
    share: float = 0.1,
    seed: int = 0,
    **settings: Any,
) -> Assessment:
    """Assess imputers on a table and write the page about it.

    Parameters
    ----------
    table : pyarrow.Table
        null or nan where it has gaps.
    path : path-like
        The file, written whole or not at all. It needs nothing beside it, and no network.
    name : str
        What the page calls the table.
    n_rows : int, optional
        Rows of the file, where the table is a sample of it.
    kept : sequence of str
        Columns of the file that the table is without, as asked for.
    kinds, share, seed, **settings
        As for `assess`.

    Returns
    -------
    Assessment
        What the page tells.

    Raises
    ------
    InputError
        As `assess` does; nothing is written then.
    """
    assessment = assess(table, share=share, seed=seed, kinds=kinds, **settings)
    write_text(path, render(page(assessment, name=name, n_rows=n_rows, kept=kept, seed=seed)))
    return assessment


def render(page: Mapping[str, Any]) -> str:
    """Render the page; every text that comes from the table is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"label": label, "listed": listed, "percent": percent}
    return environment.get_template("report.html.j2").render(page)


def page(
    assessment: Assessment,
    *,
    name: str,
    n_rows: int | None = None,
    kept: Sequence[str] = (),
    seed: int = 0,
) -> dict[str, Any]:
    """Say all that the template needs to know."""
    comparison = compare(assessment, seed=seed)
    missing = assessment.missing
    n_gaps = missing.sum(0)
    order = np.argsort(-n_gaps, kind="stable")[:SHOWN]
    gaps = list(assessment.gaps.values())
    n_looked_at, n_all = len(missing), n_rows or assessment.n_rows
    return {
        "name": label(name, 80),
        "verdict": judge(assessment, comparison, signs(assessment)),
        "figures": figures(assessment, comparison, np.sort(order).tolist()),
        "has_gaps": any(gaps),
        "size": f"{counted(n_all, 'row')}, {counted(len(gaps), 'column')}",
        "n_rows": n_all,
        "sampled": n_looked_at if n_looked_at < n_all else None,
        "missing": percent(sum(gaps) / (len(gaps) * n_looked_at)),
        "columns_with_gaps": counted(sum(gap > 0 for gap in gaps), "column"),
        "rows_with_gaps": percent(float(missing.any(1).mean())),
        "n_hidden": int(assessment.n_hidden.sum()),
        "not_drawn": len(assessment.names) - len(order),
        "empty": assessment.empty,
        "left_out": assessment.left_out,
        "kept": kept,
        "rivals_learned_from": rivals_learned_from(assessment),
        "rivals_cut": rivals_learned_from(assessment) < n_looked_at,
        "imputers": [LOOKS[imputer]["label"] for imputer in IMPUTERS],
        "level": percent(LEVEL),
        "rows": _rows(assessment),
        "seed": seed,
    }


def _rows(assessment: Assessment) -> list[dict[str, Any]]:
    """One row per column of the data, as texts."""
    errors = np.stack([assessment.errors(imputer) for imputer in IMPUTERS])

    def error(j: int, value: float) -> str:
        if np.isnan(value):
            return "–"
        return f"{value:.2f}" if assessment.numeric[j] else f"{100 * value:.0f} %"

    def number(value: float, text: str) -> str:
        return "–" if np.isnan(value) else text.format(value)

    return [
        {
            "name": label(name, 30),
            "kind": assessment.columns[j].kind,
            "missing": percent(float(assessment.missing[:, j].mean())),
            "hidden": f"{assessment.n_hidden[j]:,}",
            "errors": [error(j, value) for value in errors[:, j]],
            "coverage": number(100 * assessment.coverage[j], "{:.0f} %"),
            "width": number(assessment.width[j], "{:.1f}"),
        }
        for j, name in enumerate(assessment.names)
    ]
