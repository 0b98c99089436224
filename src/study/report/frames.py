"""Tracked results as tidy pandas frames, checked once where they are read.

A table is read as text first, so that what is wrong with a cell is said with file, line and rule,
and a number is never a guess of the parser. Nothing in a frame is pre-averaged: views over seeds
are made by `study.report.verdicts`.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from vaefill.errors import InputError
from vaefill.storage import load_table

REMEDY = "delete it, and `dvc repro` makes it anew"


class Column(NamedTuple):
    """What the cells of a column must be.

    Attributes
    ----------
    kind : {str, int, float}
        Numbers are finite; whole ones stay whole, and become floats only beside empty cells.
    among : tuple of str
        The texts that are known; none for any text.
    low : float
        The least number allowed.
    empty : bool
        Whether a cell may be empty: it is then "" or nan.
    infinite : bool
        Whether a number may be infinite all the same.
    optional : bool
        Whether a table may lack the column.
    """

    kind: type = str
    among: tuple[str, ...] = ()
    low: float = -math.inf
    empty: bool = False
    infinite: bool = False
    optional: bool = False

    @property
    def rule(self) -> str:
        """The rule, as the end of a sentence."""
        if self.kind is str:
            rule = f"one of {', '.join(self.among)}" if self.among else "a name"
        else:
            rule = "a whole number" if self.kind is int else "a finite number"
            rule = "a number" if self.infinite else rule
            rule += f" from {self.low:g}" if math.isfinite(self.low) else ""
        return f"{rule}, or empty" if self.empty else rule

    def parse(self, cells: pd.Series) -> tuple[pd.Series, pd.Series]:
        """Convert texts; return the values, and which cells break the rule."""
        empty = cells == ""
        if self.kind is str:
            known = cells.isin(self.among) if self.among else ~empty
            return cells, ~known & ~(empty & self.empty)
        numbers = pd.to_numeric(cells, errors="coerce").astype("float64")
        bad = numbers.isna() if self.infinite else ~np.isfinite(numbers)
        bad |= numbers < self.low
        if self.kind is int:
            bad |= numbers % 1 != 0
        bad &= ~(empty & self.empty)
        whole = self.kind is int and not (bad | empty).any()
        return numbers.astype("int64") if whole else numbers, bad


def read(
    path: str | Path,
    columns: Mapping[str, Column],
    *,
    key: Sequence[str] = (),
    rest: Column | None = None,
    remedy: str = REMEDY,
) -> pd.DataFrame:
    """Read one tracked table.

    Parameters
    ----------
    path : path-like
        A CSV file with a header.
    columns : mapping of str to Column
        Those that it must have, but for optional ones, in any order; they come first, in the order
        given here.
    key : sequence of str
        Columns that name a row: no two rows agree in all of them.
    rest : Column, optional
        What all other columns hold; without it there may be none.
    remedy : str
        What to do about a broken table, as the end of each message.

    Raises
    ------
    InputError
        When the file is missing or no table, a column is missing or unknown, a cell breaks the
        rule of its column, or a row is there twice; the message names file, line and rule.
    """
    table = pd.DataFrame(load_table(path))
    if table.empty:
        raise InputError(f"{path}: no rows in it; {remedy}")

    for name in columns:
        if name not in table and not columns[name].optional:
            raise InputError(f"{path}: line 1: no column {name}; {remedy}")
    others = [name for name in table if name not in columns]
    if rest is None and others:
        raise InputError(f"{path}: line 1: unknown column {others[-1]}; {remedy}")
    names = [*(name for name in columns if name in table), *others]
    values = {}
    for name in names:
        column = columns.get(name, rest)
        assert column is not None
        values[name], bad = column.parse(table[name])
        cell = table[name][bad.idxmax()]
        require(path, ~bad, f"{name} {cell!r} must be {column.rule}", remedy)
    frame = pd.DataFrame(values)
    if key:
        twice = frame.duplicated(list(key))
        row = table.loc[twice.idxmax(), list(key)]
        named = ", ".join(f"{name} {cell!r}" for name, cell in row.items() if cell)
        require(path, ~twice, f"a second row for {named}; there must be one", remedy)
    return frame


def require(path: str | Path, holds: pd.Series, rule: str, remedy: str = REMEDY) -> None:
    """Refuse the first row of a table that was read which breaks a rule of several columns.

    Raises
    ------
    InputError
        When `holds` is false of a row; the message names file, line and rule.
    """
    if not holds.all():
        # Line 1 is the header.
        raise InputError(f"{path}: line {int(holds.idxmin()) + 2}: {rule}; {remedy}")
