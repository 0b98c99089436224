"""Tables as people have them: arrays and data frames, read and filled column by column.

Data frames are read through narwhals, so that pandas, polars and others are the same here and none
of them is imported. Arrays are read as they are, lists of lists as arrays. Nothing that is given is
ever written to.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import narwhals.stable.v2 as nw
import numpy as np
from narwhals.exceptions import DuplicateError
from numpy.typing import NDArray

from vaefill.errors import InputError
from vaefill.tables.cells import Cells, Family, Value, from_numbers, from_objects, unusable

Names = tuple[str | int, ...] | None

_OF_KIND: Mapping[str, Family] = {"f": "float", "i": "integer", "u": "integer", "b": "boolean"}
_WIDER: Mapping[str, Any] = {
    "f": nw.Float64,
    "i": nw.Int64,
    "u": nw.UInt64,
    "b": nw.Boolean,
    "U": nw.String,
}


@dataclass(frozen=True)
class Fill:
    """What to write into one column.

    Parameters
    ----------
    rows : int array of shape (k,)
        Where.
    values : array of shape (k,)
        What: float64, int64, uint64, bool or fixed-width text.
    levels : tuple
        All values that a column of categories must be able to hold.
    """

    rows: NDArray[np.intp]
    values: NDArray[Any]
    levels: tuple[Value, ...] = ()

    def fits(self, low: Any, high: Any, *, whole: bool) -> bool:
        """Tell whether a dtype from `low` to `high`, of whole numbers or not, holds the values."""
        if not whole:
            low, high = float(low), float(high)  # not in the precision of the limits
        elif self.values.dtype.kind == "f":
            return False
        return bool(low <= self.values.min().item() and self.values.max().item() <= high)


class Table(Protocol):
    """A table that can be read by columns and copied with other values in some cells."""

    names: Names
    shape: tuple[int, int]

    def cells(self, column: int, sentinel: Value | None) -> Cells:
        """Read a column, in which `sentinel` is missing too."""
        ...

    def is_integer(self, column: int) -> bool:
        """Tell whether the column's dtype holds whole numbers only."""
        ...

    def filled(self, fills: Mapping[int, Fill], keep: Sequence[int]) -> Any:
        """Copy the columns to keep into a container of the same kind, with cells replaced.

        A column's dtype changes only where it cannot hold what is filled in.
        """
        ...


def read_table(X: Any) -> Table:
    """Take a two-dimensional array, a list of lists or a data frame.

    Raises
    ------
    InputError
        When it has not two dimensions, or two columns of the same name.
    """
    frame = _as_frame(X)
    return _Array(as_array(X)) if frame is None else _Frame(frame)


def is_frame(X: Any) -> bool:
    """Tell whether a table is a data frame; InputError if two of its columns have one name."""
    return _as_frame(X) is not None


def as_array(X: Any) -> NDArray[Any]:
    """Take a table that is no data frame as an array.

    In a list of lists, numbers beside text stay numbers.

    Raises
    ------
    InputError
        When it has not two dimensions, rows of different lengths, or a mask.
    """
    if isinstance(X, np.ma.MaskedArray):
        raise InputError("a masked array: write nan where it is masked, by X.filled(nan)")
    try:
        array = np.asarray(X)
    except ValueError as error:
        raise InputError("rows of different lengths: make them equally long") from error
    if array.dtype.kind in "US" and not isinstance(X, np.ndarray):
        array = np.asarray(X, dtype=object)  # or numbers beside text would become text
    if array.ndim != 2:
        raise InputError(
            f"Expected 2D array, got {array.ndim}D {type(X).__name__} instead: a table has rows"
            " and columns. Reshape your data, or read it into an array or a data frame first"
        )
    return array


def with_columns(table: Any, names: Sequence[str], columns: NDArray[np.bool_]) -> Any:
    """Append columns to a data frame, or, as numbers, to an array.

    Parameters
    ----------
    table : array of shape (n, n_columns) or data frame
        What to append to.
    names : sequence of str
        Their names, for a data frame.
    columns : bool array of shape (n, len(names))

    Raises
    ------
    InputError
        When the data frame has a column of that name.
    """
    frame = _as_frame(table)
    if frame is None:
        numbers = table.dtype.kind in "biuf"
        return np.hstack([table, columns.astype(table.dtype if numbers else object)])
    for name in set(names).intersection(frame.columns):
        raise InputError(f"{name!r}, a column to append, is there already: rename yours")
    return frame.with_columns(
        nw.new_series(name, column, nw.Boolean, backend=frame.implementation)
        for name, column in zip(names, columns.T, strict=True)
    ).to_native()


def label(names: Names, column: int) -> str:
    """Call a column by its name, or by its position where there are no names."""
    return f"column {column if names is None else names[column]!r}"


def _as_frame(X: Any) -> "nw.DataFrame[Any] | None":
    try:
        frame = nw.from_native(X, eager_only=True, pass_through=True)
    except DuplicateError as error:
        name, _ = Counter(X.columns).most_common(1)[0]
        raise InputError(f"two columns are called {name!r}: rename one, names differ") from error
    return frame if isinstance(frame, nw.DataFrame) else None


class _Array:
    names: Names = None

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array
        self.shape: tuple[int, int] = array.shape

    def cells(self, column: int, sentinel: Value | None) -> Cells:
        values, name = self.array[:, column], label(None, column)
        kind = values.dtype.kind
        if kind in _OF_KIND:
            numbers = values.astype(np.float64)
            return from_numbers(
                name, _OF_KIND[kind], numbers, precision=values.dtype, sentinel=sentinel
            )
        if kind in "OUT":
            unknown: Family = "float" if kind == "O" else "text"
            return from_objects(name, values.tolist(), sentinel, unknown)
        raise unusable(name, values.dtype)

    def is_integer(self, column: int) -> bool:
        return self.array.dtype.kind in "iu"

    def filled(self, fills: Mapping[int, Fill], keep: Sequence[int]) -> NDArray[Any]:
        dtype = self.array.dtype
        for fill in fills.values():
            dtype = _wide_enough(dtype, fill)
        result = self.array.astype(dtype)
        for column, fill in fills.items():
            result[fill.rows, column] = fill.values
        return result if len(keep) == self.shape[1] else result[:, list(keep)]


def _wide_enough(dtype: np.dtype[Any], fill: Fill) -> np.dtype[Any]:
    if (dtype.kind in "UT") != (fill.values.dtype.kind == "U") or dtype.kind == "O":
        return np.dtype(object)
    if dtype.kind in "iuf":
        whole = dtype.kind != "f"
        limits: Any = np.iinfo(dtype) if whole else np.finfo(dtype)
        if fill.fits(limits.min, limits.max, whole=whole):
            return dtype
    return np.result_type(dtype, fill.values.dtype)


class _Frame:
    def __init__(self, frame: "nw.DataFrame[Any]") -> None:
        self.frame = frame
        self.shape = frame.shape
        self.names: Names = tuple(
            name if isinstance(name, int) else str(name) for name in frame.columns
        )

    def cells(self, column: int, sentinel: Value | None) -> Cells:
        series, name = self.frame[:, column], label(self.names, column)
        family = _family(series.dtype)
        if family is not None:
            numbers = series.cast(nw.Float64).to_numpy()
            precision = str(series.dtype).lower()
            return from_numbers(name, family, numbers, precision=precision, sentinel=sentinel)
        if series.dtype in (nw.String, nw.Categorical, nw.Enum):
            category = series.dtype != nw.String
            order = series.dtype.categories if isinstance(series.dtype, nw.Enum) else None
            return from_objects(name, series.to_list(), sentinel, "text", category, order)
        if series.dtype == nw.Object or series.is_null().all():
            return from_objects(name, series.to_list(), sentinel, "float")
        raise unusable(name, _native_dtype(series))

    def is_integer(self, column: int) -> bool:
        return self.frame[:, column].dtype.is_integer()

    def filled(self, fills: Mapping[int, Fill], keep: Sequence[int]) -> Any:
        columns = [_filled(self.frame[:, column], fill) for column, fill in fills.items()]
        frame = self.frame.with_columns(*columns) if columns else self.frame
        drop = set(range(self.shape[1])).difference(keep)
        return frame.drop([self.frame.columns[column] for column in drop]).to_native()


def _family(dtype: nw.dtypes.DType) -> Family | None:
    if dtype == nw.Boolean:
        return "boolean"
    if dtype.is_float():
        return "float"
    return "integer" if dtype.is_integer() else None


def _filled(series: "nw.Series[Any]", fill: Fill) -> "nw.Series[Any]":
    if series.dtype in (nw.Categorical, nw.Enum) and series.implementation.is_pandas_like():
        # By pandas' own methods: through narwhals the categories would not stay.
        native = series.to_native()
        known = set(native.cat.categories)
        native = native.cat.add_categories([v for v in fill.levels if v not in known])
        native.iloc[fill.rows] = fill.values.tolist()
        return nw.from_native(native, series_only=True)
    if not _holds(series, fill):
        wider = _WIDER[fill.values.dtype.kind]
        if fill.rows.size == len(series):  # text where a dtype of numbers held none, say
            return nw.new_series(series.name, fill.values, wider, backend=series.implementation)
        series = series.cast(wider)
    numeric = series.dtype.is_numeric()
    values = nw.new_series(
        series.name,
        fill.values if numeric else fill.values.tolist(),
        series.dtype if numeric else None,
        backend=series.implementation,
    )
    rows = nw.new_series(series.name, fill.rows, backend=series.implementation)
    return series.scatter(rows, values)


def _native_dtype(series: "nw.Series[Any]") -> str:
    return str(getattr(series.to_native(), "dtype", series.dtype))


def _holds(series: "nw.Series[Any]", fill: Fill) -> bool:
    kind, dtype = fill.values.dtype.kind, series.dtype
    family = _family(dtype)
    if _native_dtype(series) == "object":
        return True
    if kind == "U" or family is None:
        return kind == "U" and dtype in (nw.String, nw.Categorical, nw.Enum)
    if family == "integer":
        signed, bits = dtype.is_signed_integer(), int(str(dtype).strip("UInt"))
        return fill.fits(-(2 ** (bits - 1)) * signed, 2 ** (bits - signed) - 1, whole=True)
    if family == "float":
        limits = np.finfo(str(dtype).lower())
        return fill.fits(limits.min, limits.max, whole=False)
    return kind == "b"
