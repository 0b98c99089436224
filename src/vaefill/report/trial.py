"""Try imputers on a table: hide cells of it, and let them fill these in."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from vaefill.errors import InputError
from vaefill.imputer import VAEImputer
from vaefill.report.assessment import IMPUTERS, LEVEL, OURS, Assessment, Bools, Floats
from vaefill.report.rivals import RIVALS, complete
from vaefill.tables.columns import Columns, fit_columns
from vaefill.tables.kinds import Choice, Column
from vaefill.tables.masks import hold_out

#: What is looked at of a larger table: seconds to a minute on one core.
N_ROWS, N_COLUMNS, N_SLOTS = 10_000, 40, 80


def assess(
    table: pa.Table,
    *,
    share: float = 0.1,
    seed: int = 0,
    kinds: Mapping[str, Choice] | None = None,
    n_rows: int = N_ROWS,
    **settings: Any,
) -> Assessment:
    """Hide cells of a table, let imputers fill them in, and keep what they say.

    Those are `VAEImputer`, the mean (the most frequent category), the mean of the nearest rows,
    and chained regressions. A cell is hidden as `vaefill.tables.masks.hold_out` has it: never all
    of a row, and three cells of every column stay.

    Parameters
    ----------
    table : pyarrow.Table
        null or nan where it has gaps.
    share : float, default=0.1
        Of the observed cells, to hide.
    seed : int, default=0
        Of everything random.
    kinds : mapping of name to kind, optional
        As for `VAEImputer`.
    n_rows : int, default=10_000
        Rows to look at at most, drawn uniformly.
    **settings
        Of `VAEImputer`.

    Raises
    ------
    InputError
        When there are no rows or nothing is observed, and as `VAEImputer.fit` does.
    """
    if not len(table):
        raise InputError("a table without rows: give at least one")
    rng = np.random.default_rng(seed)
    if len(table) > n_rows:
        rows = np.sort(rng.choice(len(table), n_rows, replace=False))
        looked_at = table.take(pa.array(rows))
    else:
        looked_at = table
    nulls = (pc.is_null(column, nan_is_null=True) for column in looked_at.columns)
    gaps = {n: pc.sum(null).as_py() for n, null in zip(table.column_names, nulls, strict=True)}
    empty = [name for name, gap in gaps.items() if gap == len(looked_at)]
    looked_at, columns = _choose(looked_at, gaps, kinds or {})
    names = looked_at.column_names
    values, observed = columns.encode(looked_at)
    generator = torch.Generator().manual_seed(seed)
    slots = columns.slots.column
    hidden = hold_out(torch.from_numpy(observed), slots, share, generator).numpy()
    seen = observed & ~hidden
    first = np.unique(slots.numpy(), return_index=True)[1]
    shown = _without(looked_at, hidden[:, first])

    known = np.where(seen, values, np.nan)
    found = {
        name: columns.decode(complete(name, known, slots.numpy(), seed), seen, shown)
        for name in RIVALS
    }
    # As found in the whole table: a column must not become another one for want of a few cells.
    same = dict(zip(names, map(_choice, columns.columns), strict=True))
    imputer = VAEImputer(kinds=same, random_state=seed, **settings).fit(shown)
    lower, upper = imputer.interval(shown, LEVEL)
    found |= {OURS: imputer.transform(shown)}
    return Assessment(
        names=tuple(names),
        columns=columns.columns,
        truth=np.where(observed[:, first], _cells(columns, values), np.nan),
        hidden=hidden[:, first],
        filled={name: _cells(columns, columns.encode(found[name]).values) for name in IMPUTERS},
        drawn=_cells(columns, columns.encode(imputer.sample(shown, 1)[0]).values),
        lower=_cells(columns, columns.encode(lower).values),
        upper=_cells(columns, columns.encode(upper).values),
        empty=tuple(empty),
        left_out=tuple(n for n in table.column_names if n not in names and n not in empty),
        gaps=gaps,
        n_rows=len(table),
    )


def _choose(
    table: pa.Table, gaps: Mapping[str, int], kinds: Mapping[str, Choice]
) -> tuple[pa.Table, Columns]:
    """Leave out empty columns and, of very many, those with the fewest gaps."""
    filled = [name for name, gap in gaps.items() if gap < len(table)]
    if not filled:
        raise InputError("nothing is observed in any column: there is nothing to learn from")
    most = sorted(filled, key=lambda name: -gaps[name])[:N_COLUMNS]

    def fitted(names: Sequence[str]) -> tuple[pa.Table, Columns]:
        part = table.select([name for name in table.column_names if name in names])
        own: dict[str | int, Choice] = {name: kind for name, kind in kinds.items() if name in names}
        return part, fit_columns(part, kinds=own)

    part, columns = fitted(most)
    n_slots = {n: c.n_slots for n, c in zip(part.column_names, columns.columns, strict=True)}
    room = np.cumsum([n_slots[name] for name in most]) <= N_SLOTS
    return (part, columns) if room.all() else fitted(most[: max(1, int(room.sum()))])


def _choice(column: Column) -> Choice:
    """Name a column's kind so that a fit finds the same column again."""
    if column.kind == "bounded":
        return ("bounded", column.lower, column.upper)
    return ("ordered", *column.levels) if column.kind == "ordered" else column.kind


def _without(table: pa.Table, hidden: Bools) -> pa.Table:
    """Make gaps of some cells."""
    columns = [
        pc.if_else(pa.array(gaps), pa.scalar(None, column.type), column)
        for gaps, column in zip(hidden.T, table.columns, strict=True)
    ]
    return pa.table(columns, names=table.column_names)


def _cells(columns: Columns, values: Floats) -> Floats:
    """Make one number of a column's slots: the number itself, or that of the category."""
    slots = columns.slots.column.numpy()
    parts = [values[:, slots == j] for j in range(len(columns.columns))]
    return np.stack(
        [part.argmax(1) if part.shape[1] > 1 else part[:, 0] for part in parts], axis=1
    ).astype(np.float64)
