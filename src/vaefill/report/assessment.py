"""How well imputers fill a table, tried on cells of this very table that are hidden from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from vaefill.errors import InputError
from vaefill.imputer import VAEImputer
from vaefill.report.rivals import N_ROWS as RIVAL_ROWS
from vaefill.report.rivals import RIVALS, complete, deviations
from vaefill.tables.columns import Columns, fit_columns
from vaefill.tables.kinds import Choice, Column
from vaefill.tables.masks import hold_out

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

OURS = "vaefill"
IMPUTERS = (OURS, *RIVALS)
#: Of the intervals.
LEVEL = 0.9
#: What is looked at of a larger table: seconds to a minute on one core.
N_ROWS, N_COLUMNS, N_SLOTS = 10_000, 40, 80


@dataclass(frozen=True)
class Assessment:
    """A table, the cells that were hidden in it, and what imputers made of them.

    In all arrays of shape (n, c) a number stands for itself, a category for its number among the
    `levels` of its column. The c columns are those that are looked at.

    Parameters
    ----------
    names : tuple of str
        The columns' names.
    columns : tuple of Column
        Their kinds and levels.
    truth : float64 array of shape (n, c)
        The table; nan where it has gaps.
    hidden : bool array of shape (n, c)
        Observed cells that no imputer was shown.
    filled : mapping of str to float64 array of shape (n, c)
        By imputer: the table with its gaps and hidden cells filled in.
    drawn : float64 array of shape (n, c)
        One draw of `VAEImputer` for these cells.
    lower, upper : float64 arrays of shape (n, c)
        Its intervals of `LEVEL`.
    empty, left_out : tuple of str
        Names of the columns without any value, and of those that were one column too many.
    gaps : mapping of str to int
        Missing cells of every column of the table, among the n rows looked at.
    n_rows : int
        Rows of the table.
    """

    names: tuple[str, ...]
    columns: tuple[Column, ...]
    truth: Floats
    hidden: Bools
    filled: Mapping[str, Floats]
    drawn: Floats
    lower: Floats
    upper: Floats
    empty: tuple[str, ...]
    left_out: tuple[str, ...]
    gaps: Mapping[str, int]
    n_rows: int

    @cached_property
    def missing(self) -> Bools:
        """The gaps of the table; shape (n, c)."""
        return np.isnan(self.truth)

    @cached_property
    def numeric(self) -> Bools:
        """Columns of numbers, not of categories; shape (c,)."""
        return np.array([not column.levels for column in self.columns], dtype=bool)

    @cached_property
    def scale(self) -> Floats:
        """Standard deviation of each column's observed values, 1 where there is none."""
        return deviations(self.truth)

    @cached_property
    def losses(self) -> Mapping[str, Floats]:
        """By imputer, what each hidden cell costs, nan elsewhere; shape (n, c).

        The squared error in squared standard deviations of a number; 1 for a wrong category.
        """
        return {
            name: np.where(
                self.hidden,
                np.where(
                    self.numeric,
                    ((filled - self.truth) / self.scale) ** 2,
                    filled != self.truth,
                ),
                np.nan,
            )
            for name, filled in self.filled.items()
        }

    @cached_property
    def n_hidden(self) -> NDArray[np.intp]:
        """Hidden cells of each column; shape (c,)."""
        return np.asarray(self.hidden.sum(0))

    def errors(self, imputer: str) -> Floats:
        """Root mean squared error of a number's column, share of wrong categories; shape (c,)."""
        return column_errors(self.losses[imputer], self.hidden, self.numeric)

    @cached_property
    def inside(self) -> Bools:
        """Hidden numbers that lie within their interval; shape (n, c)."""
        return self.hidden & self.numeric & (self.lower <= self.truth) & (self.truth <= self.upper)

    @cached_property
    def coverage(self) -> Floats:
        """Share of each column's hidden numbers within their interval; nan of categories."""
        return np.where(self.numeric, _means(self.inside, self.hidden), np.nan)

    @cached_property
    def width(self) -> Floats:
        """Mean width of these intervals in standard deviations; nan of categories."""
        wide = (self.upper - self.lower) / self.scale
        return np.where(self.numeric, _means(wide, self.hidden), np.nan)


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


def scores(assessment: Assessment) -> list[dict[str, Any]]:
    """List all scores, one a dict of ``column``, ``imputer``, ``metric``, ``value``, ``cells``.

    Metrics are ``rmse`` (in standard deviations) of numbers and ``wrong`` (a share) of categories;
    of `VAEImputer` ``coverage`` (a share) and ``width`` (in standard deviations) too. A column
    of which nothing was hidden has none.
    """
    numeric = assessment.numeric
    values = [
        *((name, "rmse", np.where(numeric, assessment.errors(name), np.nan)) for name in IMPUTERS),
        *((name, "wrong", np.where(numeric, np.nan, assessment.errors(name))) for name in IMPUTERS),
        (OURS, "coverage", assessment.coverage),
        (OURS, "width", assessment.width),
    ]
    return [
        {"column": column, "imputer": imputer, "metric": metric, "value": float(found[j]),
         "cells": int(assessment.n_hidden[j])}
        for j, column in enumerate(assessment.names)
        for imputer, metric, found in values
        if not np.isnan(found[j])
    ]  # fmt: skip


def column_errors(losses: Floats, hidden: Bools | Floats, numeric: Bools) -> Floats:
    """Root of the mean loss of numbers, mean loss of categories; nan without hidden cells."""
    mean = _means(losses, hidden)
    return np.where(numeric, np.sqrt(mean), mean)


def rivals_learned_from(assessment: Assessment) -> int:
    """Tell how many rows the nearest rows and the chained regressions were learned from."""
    return min(len(assessment.truth), RIVAL_ROWS)


def _means(values: NDArray[Any], chosen: Bools | Floats) -> Floats:
    counts = chosen.sum(0)
    sums = np.where(chosen, values, 0).sum(0)
    means: Floats = np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0)
    return means


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
