"""The cells of one column, as they were read: numbers or text, and which of them are missing."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vaefill.errors import InputError

Value = str | bool | int | float
Family = Literal["float", "integer", "boolean", "text"]
Bools = NDArray[np.bool_]

_OF_TYPE: Mapping[Family, tuple[type, ...]] = {
    "text": (str,),
    "boolean": (bool, np.bool_),
    "integer": (Integral, np.bool_),
    "float": (Real, np.bool_),
}
_PYTHON: Mapping[Family, type] = {"text": str, "boolean": bool, "integer": int, "float": float}


class CellTypeError(InputError, TypeError):
    """A cell that is neither a number nor text; a TypeError too, as scikit-learn has it."""


@dataclass(frozen=True)
class Cells:
    """The cells of one column, as they were read.

    Parameters
    ----------
    family : {"float", "integer", "boolean", "text"}
        What the cells are: by the dtype, or by the observed cells where it holds anything.
    values : array of shape (n,)
        float64, or objects where they are text; what is missing is nan or anything.
    missing : bool array of shape (n,)
        True where nothing is known.
    category : bool
        Whether the dtype is one of categories.
    order : tuple or None
        All values, ascending, of a dtype of categories that have an order.
    """

    family: Family
    values: NDArray[Any]
    missing: Bools
    category: bool = False
    order: tuple[Value, ...] | None = None

    @cached_property
    def observed(self) -> NDArray[Any]:
        """The values that are known."""
        return self.values[~self.missing]

    def distinct(self) -> tuple[Value, ...]:
        """List the different values that are known, ascending."""
        known = set(self.observed) if self.family == "text" else np.unique(self.observed)
        return tuple(_PYTHON[self.family](value) for value in sorted(known))


def from_numbers(
    name: str,
    family: Family,
    numbers: NDArray[np.float64],
    *,
    precision: Any = np.float64,
    sentinel: Value | None = None,
) -> Cells:
    """Take the cells of a dtype of numbers or booleans.

    Parameters
    ----------
    name : str
        What messages call the column.
    family : str
        See `Cells`.
    numbers : float64 array of shape (n,)
        The cells, nan where they are missing.
    precision : dtype
        Of floats: what the sentinel was rounded to.
    sentinel : str, number or None
        Stands for missing, too; but not among booleans.

    Raises
    ------
    InputError
        When a number is infinite.
    """
    missing = np.isnan(numbers)
    if family != "boolean" and isinstance(sentinel, int | float):
        if family == "float":
            with np.errstate(over="ignore"):
                sentinel = float(np.dtype(precision).type(sentinel))
        missing |= numbers == sentinel
    infinite = np.isinf(numbers)
    infinite &= ~missing
    if infinite.any():
        raise InputError(
            f"{name}, row {infinite.argmax()}: infinity or a value too large for dtype('float64');"
            " values must be finite, mark it as missing or mend it"
        )
    return Cells(family, numbers, missing)


def from_objects(
    name: str,
    values: Sequence[Any],
    sentinel: Value | None,
    unknown: Family,
    category: bool = False,
    order: Sequence[Any] | None = None,
) -> Cells:
    """Take the cells of a dtype that can hold anything.

    Parameters
    ----------
    name : str
        What messages call the column.
    values : sequence
        Text, numbers or booleans, and what `is_absent`.
    sentinel : str, number or None
        Stands for missing, too.
    unknown : str
        The family if nothing is observed.
    category, order
        See `Cells`.

    Raises
    ------
    InputError
        When text and numbers are mixed, or for a cell that is neither.
    """
    cells: NDArray[Any] = np.fromiter(values, object, len(values))
    missing = np.fromiter((is_absent(value, sentinel) for value in values), bool, len(values))
    known = cells[~missing]
    family = _shared_family(name, known if order is None else order) or unknown
    levels = None if order is None else python_values(name, order)
    if family == "text":
        return Cells(family, cells, missing, category, levels)
    numbers = np.full(len(values), np.nan)
    numbers[~missing] = [_float(value) for value in known]
    return replace(from_numbers(name, family, numbers), category=category, order=levels)


def is_absent(value: Any, sentinel: Value | None = None) -> bool:
    """Tell whether a value means missing: the sentinel, None, NaN, NaT, or NA of pandas."""
    if isinstance(value, str):
        return value == sentinel
    if value is None:
        return True
    # NaN and NaT differ from themselves; pandas' NA says neither yes nor no, but NA.
    differs = value != value
    if not isinstance(differs, bool | np.bool_):
        return differs is value
    return bool(differs) or (isinstance(value, Real) and value == sentinel)


def python_values(name: str, values: Sequence[Any]) -> tuple[Value, ...]:
    """Take values of one family as plain Python's; InputError where they are not of one."""
    family = _shared_family(name, values)
    return tuple(_PYTHON[family](value) for value in values) if family else ()


def _shared_family(name: str, values: Sequence[Any] | NDArray[Any]) -> Family | None:
    types = set(map(type, values))
    for family, bases in _OF_TYPE.items():
        if types and all(issubclass(found, bases) for found in types):
            return family
    texts = [value for value in values if isinstance(value, str)]
    numbers = [value for value in values if isinstance(value, _OF_TYPE["float"])]
    if len(texts) + len(numbers) < len(values):
        strange = next(v for v in values if not isinstance(v, (str, *_OF_TYPE["float"])))
        raise CellTypeError(
            f"{name}: argument must be a string or a real number, not {str(strange)[:40]!r}"
            f" ({type(strange).__name__}): drop the column or convert it"
        )
    if texts and numbers:
        raise InputError(
            f"{name}: text such as {texts[0]!r} beside numbers such as {numbers[0]!r}; make it"
            " all numbers, or all text by astype(str)"
        )
    return None


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of more than 308 digits
        return math.inf


def unusable(name: str, dtype: Any) -> InputError:
    """Say that a column is of a dtype that the imputer does not know."""
    why = "Complex data not supported" if "complex" in str(dtype) else "it cannot be filled"
    return InputError(
        f"{name}, dtype {dtype}: {why}; drop it, or convert it to numbers, booleans, text or"
        " categories"
    )
