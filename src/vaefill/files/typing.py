"""Text that stands for numbers: which columns hold them, and what they are."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vaefill.errors import InputError
from vaefill.files.source import short

Type = Literal["integer", "float", "boolean", "text"]
Place = Callable[[int], str]

#: What means in text that a cell is missing, spaces around it aside.
ABSENT = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None", "?")
ARROW = {
    "integer": pa.int64(),
    "float": pa.float64(),
    "boolean": pa.bool_(),
    "text": pa.string(),
}
#: What text looks like that Arrow takes for it: to find what it does not.
PATTERNS = {
    "integer": r"^-?\d{1,18}$",
    "float": r"^(?i:[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf(inity)?|[+-]?nan)$",
    "boolean": r"^(?i:true|false|0|1)$",
}
NAMES = {"integer": "a whole number", "float": "a number", "boolean": "true or false"}


@dataclass
class _Found:
    """What was seen of a column: cells, those that are no numbers, and the first of these."""

    type: Literal["integer", "float"] = "integer"
    cells: int = 0
    texts: int = 0
    row: int = 0
    value: str = ""


class TypeFinder:
    """Find out what the columns of a table of text hold, batch by batch.

    Parameters
    ----------
    decimal : str, default="."
        Decimal sign.
    missing : sequence of str, default=ABSENT
        What means that a cell is missing.
    """

    def __init__(self, *, decimal: str = ".", missing: Sequence[str] = ABSENT) -> None:
        self.decimal = decimal
        self.missing = missing
        self.rows = 0
        self.found: dict[str, _Found] = {}

    def update(self, table: pa.Table) -> None:
        """Look at the next rows; at the columns of text only."""
        for name, column in zip(table.column_names, table.columns, strict=True):
            if _is_text(column.type):
                self._look(self.found.setdefault(name, _Found()), column)
        self.rows += table.num_rows

    def types(self, text: Iterable[str] = (), place: Place = "row {}".format) -> dict[str, Type]:
        """Tell the types.

        Parameters
        ----------
        text : iterable of str, default=()
            Columns that are text, whatever is in them.
        place : callable, optional
            `Source.place`, for the message.

        Returns
        -------
        dict of str to {"integer", "float", "text"}
            Of each column of text, in order. A column without any cell is "float".

        Raises
        ------
        InputError
            When most cells of a column are numbers, and others are not.
        """
        types: dict[str, Type] = {}
        text = set(text)
        for name, found in self.found.items():
            if name in text or 2 * found.texts > found.cells:
                types[name] = "text"
            elif found.texts:
                raise _refusal(name, place(found.row), found.value, "a number, as most are")
            else:
                types[name] = found.type if found.cells else "float"
        return types

    def _look(self, found: _Found, column: pa.ChunkedArray) -> None:
        cells = _plain(_present(column, self.missing), self.decimal)
        found.cells += len(cells) - cells.null_count
        if _holds(cells, "float"):
            if found.type == "integer" and not _holds(cells, "integer"):
                found.type = "float"
            return
        if not found.texts:
            row = _first_strange(cells, "float")
            found.row, found.value = self.rows + row + 1, column[row].as_py()
        counts = pc.value_counts(cells.drop_null())
        strange = pc.invert(pc.match_substring_regex(counts.field("values"), PATTERNS["float"]))
        found.texts += pc.sum(counts.field("counts").filter(strange)).as_py()


def to_typed(
    table: pa.Table,
    types: Mapping[str, Type],
    *,
    decimal: str = ".",
    missing: Sequence[str] = ABSENT,
    first_row: int = 0,
    place: Place = "row {}".format,
) -> pa.Table:
    """Turn text into what it stands for.

    Parameters
    ----------
    table : pyarrow.Table
        Rows of a source.
    types : mapping of str to {"integer", "float", "boolean", "text"}
        Of columns, which need not all be there; those that are not named stay as they are.
    decimal : str, default="."
        Decimal sign.
    missing : sequence of str, default=ABSENT
        What means that a cell is missing; numbers among them mean every way to write the number.
    first_row : int, default=0
        Rows of the source before these.
    place : callable, optional
        `Source.place`, for the message.

    Returns
    -------
    pyarrow.Table
        With null for what is missing. Columns that were no text keep their type.

    Raises
    ------
    InputError
        When text cannot be what its column is: with column, row and value.
    """
    columns = dict(zip(table.column_names, table.columns, strict=True))
    for name, column in list(columns.items()):
        if name not in types:
            continue
        if not _is_text(column.type):
            found = _without(column, _numbers(missing, decimal))
        elif types[name] == "text":
            gone = pc.is_null(_present(column, missing))
            found = pc.if_else(gone, pa.scalar(None, column.type), column)
        else:
            cells = _plain(_present(column, missing), decimal)
            if not _holds(cells, types[name]):
                row = _first_strange(cells, types[name])
                value, what = column[row].as_py(), NAMES[types[name]]
                raise _refusal(name, place(first_row + row + 1), value, what)
            found = _without(cells.cast(ARROW[types[name]]), [*_numbers(missing, decimal), np.nan])
        columns[name] = found
    return pa.table(columns, metadata=table.schema.metadata)


def _refusal(name: str, where: str, value: str, what: str) -> InputError:
    return InputError(
        f"column {short(name)}, {where}: {short(value)} is not {what}; mend it, name it as missing,"
        " or take the column as text"
    )


def _is_text(type: pa.DataType) -> bool:
    return type in (pa.string(), pa.large_string())


def _present(column: pa.ChunkedArray, missing: Sequence[str]) -> pa.ChunkedArray:
    """Cells without spaces around them, null where nothing is there."""
    cells = pc.utf8_trim_whitespace(column)
    gone = pc.is_in(cells, value_set=pa.array(missing, cells.type))
    return pc.if_else(gone, pa.scalar(None, cells.type), cells)


def _plain(cells: pa.ChunkedArray, decimal: str) -> pa.ChunkedArray:
    """Numbers with a point for the decimal sign; what had a point is no number then."""
    if decimal == ".":
        return cells
    return pc.replace_substring(pc.replace_substring(cells, ".", "'"), decimal, ".")


def _holds(cells: pa.ChunkedArray, type: Type) -> bool:
    try:
        cells.cast(ARROW[type])
    except pa.ArrowInvalid:
        return False
    return True


def _first_strange(cells: pa.ChunkedArray, type: Type) -> int:
    matches = pc.match_substring_regex(cells, PATTERNS[type])
    return int(pc.index(matches, False).as_py())


def _numbers(missing: Sequence[str], decimal: str) -> list[float]:
    """Those that mean missing."""
    plain = _plain(pa.chunked_array([missing], pa.string()), decimal)
    numbers = plain.filter(pc.match_substring_regex(plain, PATTERNS["float"]))
    return [number for number in numbers.cast(pa.float64()).to_pylist() if number == number]


def _without(column: pa.ChunkedArray, numbers: Iterable[float]) -> pa.ChunkedArray:
    """Make null of these numbers."""
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        return column
    values = []
    for number in numbers:
        try:
            values.append(pa.scalar(number).cast(column.type))
        except pa.ArrowInvalid:
            continue  # no cell can hold it
    if not values:
        return column
    # Arrow does not look for numbers of 16 bits.
    wide = column.cast(pa.float32()) if column.type == pa.float16() else column
    gone = pc.is_in(wide, value_set=pa.array([v.as_py() for v in values], wide.type))
    return pc.if_else(gone, pa.scalar(None, column.type), column)
