"""The columns of a table: found at fit, turned into numbers, and filled with what is inferred."""

import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import takewhile
from numbers import Integral
from traceback import walk_stack
from types import FrameType
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from vaefill.errors import InputError
from vaefill.tables.cells import Bools, Cells, Value, is_absent
from vaefill.tables.frames import Fill, Names, Table, label, read_table
from vaefill.tables.kinds import Choice, Column, Floats, fit_column, some


class Encoded(NamedTuple):
    """A table as numbers; both of shape (n, p), p being the number of slots."""

    values: Floats
    observed: Bools


@dataclass(frozen=True)
class Slots:
    """What the p columns of an encoded table are.

    Parameters
    ----------
    column : int64 Tensor of shape (p,)
        The column that the slot belongs to, counted from 0 without the empty ones.
    kind : tuple of str, of length p
        The column's kind.
    lower, upper : float64 Tensor of shape (p,)
        Range of the values.
    step : float64 Tensor of shape (p,)
        Distance of neighbouring values: 1 of "count" and "ordered", else 0.
    """

    column: Tensor
    kind: tuple[str, ...]
    lower: Tensor
    upper: Tensor
    step: Tensor

    def to(self, device: torch.device) -> Self:
        """Move to a device."""
        moved: dict[str, Any] = {
            name: part.to(device) for name, part in vars(self).items() if isinstance(part, Tensor)
        }
        return replace(self, **moved)


@dataclass(frozen=True)
class Columns:
    """The columns of a table as `fit_columns` found them.

    Parameters
    ----------
    names : tuple of str or int, or None
        Their names; None for an array.
    columns : tuple of Column
        One per column.
    sentinel : str, number or None
        The value that means missing, beside nan, None and the like.
    """

    names: Names
    columns: tuple[Column, ...]
    sentinel: Value | None = None

    @cached_property
    def empty(self) -> Bools:
        """True for each column in which nothing was observed at fit."""
        return np.array([column.empty for column in self.columns], dtype=bool)

    @cached_property
    def slots(self) -> Slots:
        """What the columns of the encoded table are."""
        filled = [column for column in self.columns if not column.empty]
        counts = torch.tensor([column.n_slots for column in filled], dtype=torch.int64)

        def spread(numbers: Sequence[float]) -> Tensor:
            return torch.tensor(numbers, dtype=torch.float64).repeat_interleave(counts)

        return Slots(
            column=torch.arange(len(filled)).repeat_interleave(counts),
            kind=tuple(column.kind for column in filled for _ in range(column.n_slots)),
            lower=spread([column.lower for column in filled]),
            upper=spread([column.upper for column in filled]),
            step=spread([float(column.kind in ("count", "ordered")) for column in filled]),
        )

    def missing(self, X: Any) -> Bools:
        """Tell which cells are missing, of empty columns too; shape (n, n_columns)."""
        table = read_table(X)
        found = [table.cells(n, self.sentinel).missing for n in range(table.shape[1])]
        return np.stack(found, axis=1)

    def encode(self, X: Any, *, unseen: Literal["warn", "error"] = "warn") -> Encoded:
        """Turn a table into numbers.

        Parameters
        ----------
        X : array of shape (n, n_columns), list of lists or data frame
            With the columns of the table that was fitted, in the same order.
        unseen : {"warn", "error"}, default="warn"
            What to do about a category that was not there at fit: take it as missing with a
            warning, or refuse it.

        Returns
        -------
        Encoded
            Its values are 0 where nothing is observed, and a bounded one is within its range.

        Raises
        ------
        InputError
            When names, their order or number differ, when a column holds text and held numbers or
            the other way round, when a number is infinite, or for an unseen category if so chosen.
        """
        table = read_table(X)
        self._check_names(table)
        values = np.zeros((table.shape[0], len(self.slots.kind)), order="F")
        observed = np.zeros_like(values, dtype=bool)
        unknown = []
        for number, column, place in self._placed():
            name, cells = label(self.names, number), table.cells(number, self.sentinel)
            column.check(name, cells)
            numbers, missing = cells.values, cells.missing
            if column.levels:
                numbers = column.codes(cells)
                strange = cells.values[(numbers < 0) & ~missing]
                if strange.size:
                    unknown.append(f"{name}: {some(strange)}")
                missing = numbers < 0
            if column.kind == "bounded":
                numbers = numbers.clip(column.lower, column.upper)
            if column.kind == "categorical":
                values[:, place] = numbers[:, np.newaxis] == np.arange(column.n_slots)
            else:
                values[:, place.start] = np.where(missing, 0, numbers)
            observed[:, place] = ~missing[:, np.newaxis]
        if unknown:
            message = f"categories that were not there at fit, {'; '.join(unknown)}"
            if unseen == "error":
                raise InputError(f"{message}: fit anew, mend them or mark them as missing")
            warnings.warn(f"{message}: taken as missing", stacklevel=_users_level())
        return Encoded(values, observed)

    def decode(self, values: Floats, observed: Bools, X: Any, *, keep_empty: bool = False) -> Any:
        """Fill the missing cells of a table.

        Parameters
        ----------
        values : float64 array of shape (n, p)
            Numbers for the cells that are not observed; others are not looked at. Of a
            categorical column the slot of the largest value is taken.
        observed : bool array of shape (n, p)
            As `encode` gave it.
        X : array, list of lists or data frame
            The table that was encoded.
        keep_empty : bool, default=False
            Whether columns that were empty at fit stay, their gaps filled with 0 (or False, or
            "missing_value"); else they are left out.

        Returns
        -------
        array or data frame, as `X`
            All observed cells are the table's own, bit by bit, and so are complete columns. Dtypes
            are, too, but for one that cannot hold what is filled in: categories of the fit are
            added to those of the dtype, small integers become int64.
        """
        table = read_table(X)
        fills = {}
        for number, column, place in self._placed():
            rows = np.flatnonzero(~observed[:, place.start])
            if rows.size:
                found = column.decoded(values[rows, place], table.is_integer(number))
                fills[number] = Fill(rows, found, column.levels)
        keep = np.flatnonzero(~self.empty | keep_empty).tolist()
        for number in np.flatnonzero(self.empty & keep_empty).tolist():
            cells = table.cells(number, self.sentinel)
            rows = np.flatnonzero(cells.missing)
            if rows.size:
                nothing = _nothing(cells)
                fills[number] = Fill(rows, np.full(rows.size, nothing), (nothing,))
        return table.filled(fills, keep)

    def to_dict(self) -> dict[str, Any]:
        """Describe the columns by plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, described: Mapping[str, Any]) -> Self:
        """Take what `to_dict` gave, with lists for tuples as JSON has them."""
        columns = (
            Column(**{**column, "levels": tuple(column["levels"])})
            for column in described["columns"]
        )
        names = described["names"]
        return cls(None if names is None else tuple(names), tuple(columns), described["sentinel"])

    def _placed(self) -> Iterator[tuple[int, Column, slice]]:
        start = 0
        for number, column in enumerate(self.columns):
            if not column.empty:
                yield number, column, slice(start, start + column.n_slots)
                start += column.n_slots

    def _check_names(self, table: Table) -> None:
        if self.names is not None and table.names is not None and table.names != self.names:
            lacking = [name for name in self.names if name not in table.names]
            strange = [name for name in table.names if name not in self.names]
            if lacking or strange:
                raise InputError(
                    f"columns lacking: {some(lacking)}; not there at fit: {some(strange)};"
                    " give the columns of the fit"
                )
            then, now = next(p for p in zip(self.names, table.names, strict=True) if p[0] != p[1])
            raise InputError(
                f"columns in another order than at fit: {now!r} where {then!r} was; reorder them"
            )
        if table.shape[1] != len(self.columns):
            raise InputError(f"{table.shape[1]} columns: {len(self.columns)} were there at fit")


def fit_columns(
    X: Any, *, kinds: Mapping[str | int, Choice] | None = None, missing_values: Any = np.nan
) -> Columns:
    """Find out what the columns of a table are.

    Parameters
    ----------
    X : array of shape (n, n_columns), list of lists or data frame
        Any dtype of numbers, booleans, text or categories; objects of these.
    kinds : mapping of name or position to kind, optional
        The kinds of columns for which the dtype does not tell: one of `KINDS`,
        ``("bounded", lower, upper)`` or ``("ordered", first, second, ...)``. "bounded" alone means
        the observed range, "ordered" alone the order of the dtype, or of the numbers.
    missing_values : number or str, default=nan
        A value that means missing. NaN, None, NaT, NA and null always do.

    Returns
    -------
    Columns

    Raises
    ------
    InputError
        When a column is of another dtype, mixes text and numbers, holds infinity, or text that is
        different in nearly every row (`MAX_CATEGORIES`); when a choice does not fit its column;
        when two columns have the same name.
    """
    table = read_table(X)
    sentinel = _sentinel(missing_values)
    choices = _choices(kinds or {}, table)
    columns = tuple(
        fit_column(label(table.names, number), table.cells(number, sentinel), choices.get(number))
        for number in range(table.shape[1])
    )
    return Columns(table.names, columns, sentinel)


def _sentinel(missing_values: Any) -> Value | None:
    if is_absent(missing_values):
        return None
    plain = missing_values.item() if isinstance(missing_values, np.generic) else missing_values
    if isinstance(plain, str | int | float) and not isinstance(plain, bool):
        return plain
    raise InputError(f"missing_values = {missing_values!r}: must be nan, None, a number or a text")


def _choices(kinds: Mapping[str | int, Choice], table: Table) -> dict[int, Choice]:
    if not isinstance(kinds, Mapping):
        raise InputError(f"kinds = {kinds!r}: must give columns their kinds: {{'age': 'count'}}")
    choices = {}
    for key, choice in kinds.items():
        if table.names is not None and key in table.names:
            choices[table.names.index(key)] = choice
        elif isinstance(key, Integral) and 0 <= key < table.shape[1]:
            choices[int(key)] = choice
        else:
            raise InputError(f"kinds: there is no column {key!r}; take a name or a position")
    return choices


def _nothing(cells: Cells) -> Value:
    if cells.family == "text":
        return cells.order[0] if cells.order else "missing_value"
    return {"float": 0.0, "integer": 0, "boolean": False}[cells.family]


def _users_level() -> int:
    """Tell how far up the stack the user's own line is, for a warning of the calling function."""

    def inside(entry: tuple[FrameType, int]) -> bool:
        return str(entry[0].f_globals.get("__name__")).startswith(("vaefill.", "sklearn."))

    return 1 + sum(1 for _ in takewhile(inside, walk_stack(sys._getframe(1))))
