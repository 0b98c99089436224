"""Fill a piece of a table in Arrow's memory: what every way to fill a file is made of.

`fill_table` is a pure function of the imputer, the rows of a piece and where they stand. A table
that is cut at multiples of `vaefill.tables.completion.BLOCK` rows comes out with the same bytes
however it was cut, draws included: pieces can be filled one after the other, once more after a
fault, or somewhere else. Their types do not depend on what is missing in them.
"""

import copy
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from vaefill.errors import InputError
from vaefill.imputer import VAEImputer
from vaefill.tables.cells import Family
from vaefill.tables.kinds import Column, some


def types_of(imputer: VAEImputer) -> dict[str, Family]:
    """Tell what the cells of each column of the model are.

    Parameters
    ----------
    imputer : VAEImputer
        Fitted to a data frame.

    Returns
    -------
    dict of str to {"float", "integer", "boolean", "text"}
        In the order of the fit, without columns in which nothing was observed.

    Raises
    ------
    InputError
        When the columns of the fit had no names.
    """
    return {n: _family(column) for n, column in _columns(imputer).items() if not column.empty}


def fill_table(
    imputer: VAEImputer,
    table: pa.Table,
    *,
    draws: int = 0,
    interval: float | None = None,
    indicator: bool = False,
    keep: Sequence[str] = (),
    first_row: int = 0,
    part: int = 0,
) -> pa.Table:
    """Fill the gaps of a piece of a table.

    Parameters
    ----------
    imputer : VAEImputer
        Fitted to a data frame.
    table : pyarrow.Table
        The columns of the fit and those to keep, in any order; null and nan are missing.
    draws : int, default=0
        Fill in so many draws from the predictive distribution, instead of the best guess: each row
        comes out so many times, one below the other, after a column ``draw`` that counts from 1.
    interval : float, optional
        Append ``NAME_lower`` and ``NAME_upper`` for each column of numbers: bounds between which
        such a share of the missing cells shall lie; null where the cell was observed.
    indicator : bool, default=False
        Append ``NAME_missing`` for each column of the model: whether the cell was missing.
    keep : sequence of str
        Columns that were not there at fit, to hand on as they are.
    first_row : int, default=0
        Number of the first row in the table that this is a piece of: a multiple of `BLOCK`.
    part : int, default=0
        Number of that table among several.

    Returns
    -------
    pyarrow.Table
        The columns of `table`, in its order and types, then those appended. Observed cells are as
        they were, bit by bit; so are the columns to keep, and those in which nothing was observed
        at fit. A type changes only where it cannot hold all that might be filled in: integers that
        are too short become int64, nulls what the column was at fit. Views become plain strings.

    Raises
    ------
    InputError
        When a column of the fit is gone, one is there that was not at fit nor is to be kept, or
        one to append is there already; and as `VAEImputer.fill` does.
    """
    fitted = _columns(imputer)
    _check_names(table.column_names, fitted, set(keep))
    columns = {name: column for name, column in fitted.items() if not column.empty}
    table = _without_views(table)
    seen = table.select(list(fitted))
    schema = _filled_schema(imputer, seen.schema)
    n_copies = max(draws, 1)
    if len(table):
        plain = copy.copy(imputer).set_params(
            add_indicator=False, keep_empty_features=False, sample_posterior=False
        )
        results = plain.fill(seen, n_draws=draws, level=interval, first_row=first_row, part=part)
        missing = imputer.columns_.missing(seen)
    else:
        results = [seen.select(schema.names)] * (n_copies + 2)
        missing = np.zeros((0, seen.num_columns), dtype=bool)
    results = [result.cast(schema) for result in results]
    gaps = {name: pa.array(cells) for name, cells in zip(seen.column_names, missing.T, strict=True)}

    ends = {} if interval is None else {"lower": results[-2], "upper": results[-1]}
    appended = {
        f"{name}_{end}": pc.if_else(gaps[name], bounds[name], None)
        for end, bounds in ends.items()
        for name, column in columns.items()
        if not column.levels
    }
    if indicator:
        appended |= {f"{name}_missing": gaps[name] for name in columns}
    for name in ("draw", *appended)[not draws :]:
        if name in table.column_names:
            raise InputError(f"{name!r}, a column to append, is there already: rename yours")

    copies = [
        {name: (filled if name in columns else table)[name] for name in table.column_names}
        for filled in results[:n_copies]
    ]
    if not draws:
        return pa.table(copies[0] | appended)
    drawn = [
        pa.table({"draw": np.full(len(table), number)} | own | appended)
        for number, own in enumerate(copies, start=1)
    ]
    order = np.arange(draws * len(table)).reshape(draws, -1).T.ravel()
    return pa.concat_tables(drawn).take(order)


def _columns(imputer: VAEImputer) -> dict[str, Column]:
    names = [name for name in imputer.columns_.names or () if isinstance(name, str)]
    if len(names) < len(imputer.columns_.columns):
        raise InputError("an imputer whose columns have no names: fit it to a data frame")
    return dict(zip(names, imputer.columns_.columns, strict=True))


def _family(column: Column) -> Family:
    if not column.levels:
        return "integer" if column.whole else "float"
    families: dict[type, Family] = {str: "text", bool: "boolean", int: "integer", float: "float"}
    return families[type(column.levels[0])]


def _check_names(names: Sequence[str], fitted: Collection[str], keep: Collection[str]) -> None:
    """Say in one line which columns are lacking, and which should not be there."""
    counts = Counter(names)
    faults = {
        "two columns are called {}: rename one": [n for n in counts if counts[n] > 1],
        "columns lacking that were there at fit: {}; add them": [
            n for n in fitted if n not in counts
        ],
        "columns to keep that are not there: {}; mend or drop the name": [
            n for n in keep if n not in counts
        ],
        "columns to keep that were there at fit: {}; they are filled, drop the name": [
            n for n in keep if n in fitted
        ],
        "columns that were not there at fit: {}; keep them as they are, by name, or drop them": [
            n for n in counts if n not in fitted and n not in keep
        ],
    }
    for message, found in faults.items():
        if found:
            raise InputError(message.format(some(found)))


def _without_views(table: pa.Table) -> pa.Table:
    """Turn views of strings, for which Arrow lacks functions, into strings."""
    fields = [
        field.with_type(pa.string()) if field.type == pa.string_view() else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields))


def _filled_schema(imputer: VAEImputer, schema: pa.Schema) -> pa.Schema:
    """Find the types that hold the lowest and the highest value that may be filled in."""
    columns = imputer.columns_
    ends = torch.stack([columns.slots.lower, columns.slots.upper]).numpy()
    gaps = pa.table({field.name: pa.nulls(2, field.type) for field in schema})
    return columns.decode(ends, np.zeros_like(ends, dtype=bool), gaps).schema
