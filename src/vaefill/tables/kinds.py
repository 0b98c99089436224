"""The kinds that a column can be of, and the numbers that stand for its values.

=============  ====================================  ======================  ==================
kind           taken for                             its slots               what is filled in
=============  ====================================  ======================  ==================
"continuous"   floats; integers, some of them < 0    the number              a number
"bounded"      nothing but by choice                 the number              a number
"count"        integers from 0                       the number              a whole number
"binary"       booleans; two categories at most      0 or 1                  the nearest
"ordered"      categories that have an order         0, 1, 2, ...            the nearest
"categorical"  text; categories without an order     an indicator for each   the most probable
=============  ====================================  ======================  ==================

Nothing is filled in outside the range observed at fit, or that of a "bounded" column. Integers
stay whole numbers. A column in which nothing was observed is *empty*: it has no slots.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from numbers import Real
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vaefill.errors import InputError
from vaefill.tables.cells import Cells, Value, python_values

Floats = NDArray[np.float64]
Kind = Literal["continuous", "bounded", "count", "binary", "ordered", "categorical"]
#: A kind, or one with its range ("bounded", 0, 1) or its levels ("ordered", "low", "high").
Choice = Kind | Sequence[Any]

KINDS: tuple[Kind, ...] = get_args(Kind)
#: More categories than this are taken for names of rows, unless they are asked for.
MAX_CATEGORIES = 50
#: So are more than this, if there are more than half as many of them as observed cells.
FEW_CATEGORIES = 10


@dataclass(frozen=True)
class Column:
    """One column: its kind, its range in encoded units, and the values that codes stand for.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    lower, upper : float
        Range of the number, or of the code.
    whole : bool
        Whether the numbers are whole ones.
    levels : tuple
        The value of each code; none where the number itself is encoded.
    empty : bool
        Whether nothing was observed.
    """

    kind: Kind
    lower: float = 0.0
    upper: float = 0.0
    whole: bool = False
    levels: tuple[Value, ...] = ()
    empty: bool = False

    @property
    def n_slots(self) -> int:
        """Number of encoded columns."""
        if self.empty:
            return 0
        return len(self.levels) if self.kind == "categorical" else 1

    def check(self, name: str, cells: Cells) -> None:
        """Refuse new cells that are not of the family that the column was of.

        Raises
        ------
        InputError
            When text stands where numbers were, or numbers where text was, or categories where
            numbers were, or when an ordered dtype has other levels, or another order of them.
        """
        text = bool(self.levels) and isinstance(self.levels[0], str)
        if cells.observed.size and text != (cells.family == "text"):
            found = "text" if cells.family == "text" else "numbers"
            raise InputError(
                f"{name}: {found} such as {cells.observed[0]!s} where"
                f" {'text' if text else 'numbers'} stood at fit; convert the column"
            )
        if cells.category and not self.levels:
            raise InputError(f"{name}: categories where numbers stood at fit; convert the column")
        if cells.order is not None:
            order = [level for level in cells.order if level in self.levels]
            if (order if self.kind == "ordered" else sorted(order)) != list(self.levels):
                raise InputError(
                    f"{name}: a dtype of the categories {some(cells.order)}, in this order; at fit"
                    f" it was {some(self.levels)}: convert it to the dtype of the fit"
                )

    def codes(self, cells: Cells) -> NDArray[np.intp]:
        """Give each cell the number of its level, or -1 where it has none or is missing."""
        code = {level: number for number, level in enumerate(self.levels)}
        codes: NDArray[np.intp] = np.full(cells.missing.shape, -1)
        if cells.family == "text":
            codes[~cells.missing] = [code.get(value, -1) for value in cells.observed]
        else:
            distinct, inverse = np.unique(cells.observed, return_inverse=True)
            numbers = np.array([code.get(value, -1) for value in distinct.tolist()], np.intp)
            codes[~cells.missing] = numbers[inverse]
        return codes

    def decoded(self, values: Floats, whole: bool) -> NDArray[Any]:
        """Turn numbers of shape (k, n_slots) into values of the column, whole ones if asked for."""
        number: NDArray[Any] = values[:, 0].clip(self.lower, self.upper)
        if self.levels:
            code = values.argmax(1) if self.kind == "categorical" else np.rint(number).astype(int)
            found: NDArray[Any] = np.array(self.levels)[code]
            return found
        if not (whole or self.whole):
            return number
        dtype = np.uint64 if self.upper > 2.0**63 else np.int64
        # The largest integer is no float, but the float below it is an integer of the dtype.
        most = np.nextafter(float(np.iinfo(dtype).max), 0)
        nearest: NDArray[Any] = np.rint(number).clip(np.ceil(self.lower), np.floor(self.upper))
        return nearest.clip(float(np.iinfo(dtype).min), most).astype(dtype)


def fit_column(name: str, cells: Cells, choice: Choice | None = None) -> Column:
    """Find out what a column is.

    Parameters
    ----------
    name : str
        What messages call it.
    cells : Cells
        The column.
    choice : str or tuple, optional
        Its kind, where that is not to be read off the dtype; see `Choice`.

    Raises
    ------
    InputError
        When the choice is none, or does not fit the cells, or when there are so many categories
        that they must be names of rows.
    """
    kind, *given = choice if isinstance(choice, tuple | list) else (choice or _default(cells),)
    if kind not in KINDS:
        raise InputError(f"{name}: kind = {kind!r}: must be one of {', '.join(KINDS)}")
    if given and kind not in ("bounded", "ordered"):
        raise InputError(f"{name}: kind = {choice!r}: {kind!r} takes nothing else, leave it out")
    if not cells.observed.size:
        return Column("continuous", empty=True)
    if kind in ("binary", "ordered", "categorical"):
        return _with_levels(name, cells, kind, given, chosen=choice is not None)
    return _with_range(name, cells, kind, given)


def _default(cells: Cells) -> Kind:
    if cells.category or cells.family == "text":
        return "categorical" if cells.order is None else "ordered"
    if cells.family == "boolean":
        return "binary"
    return "count" if cells.family == "integer" and not (cells.observed < 0).any() else "continuous"


def _with_range(name: str, cells: Cells, kind: Kind, given: Sequence[Any]) -> Column:
    known = cells.observed
    if cells.category or cells.family not in ("float", "integer"):
        raise InputError(f"{name}: kind = {kind!r}: {some(known)} are no numbers; convert them")
    lower, upper = known.min(), known.max()
    if given:
        numbers = len(given) == 2 and all(isinstance(end, Real) for end in given)
        if not numbers or not -math.inf < given[0] < given[1] < math.inf:
            raise InputError(
                f"{name}: kind = {(kind, *given)}: must be ('bounded', lower, upper), two finite"
                " numbers, the smaller one first"
            )
        if lower < given[0] or upper > given[1]:
            outside = lower if lower < given[0] else upper
            raise InputError(f"{name}: {outside} is outside its bounds {given[0]} and {given[1]}")
        lower, upper = given
    if kind == "count":
        strange = known[(known < 0) | (known != np.rint(known))]
        if strange.size:
            raise InputError(f"{name}: {strange[0]} is no count: counts are whole numbers from 0")
    whole = kind == "count" or cells.family == "integer"
    return Column(kind, float(lower), float(upper), whole)


def _with_levels(name: str, cells: Cells, kind: Kind, given: Sequence[Any], chosen: bool) -> Column:
    found = cells.distinct()
    levels = found
    if kind == "ordered":
        levels = python_values(name, given) or cells.order or found
        if levels is found and cells.family == "text":
            raise InputError(
                f"{name}: kind = 'ordered': text has no order of its own, give it by"
                " ('ordered', first, second, ...)"
            )
        strange = [value for value in found if value not in levels]
        if strange:
            raise InputError(f"{name}: {strange[0]!r} is none of its levels {some(levels)}; add it")
    elif kind == "binary":
        levels = (False, True) if cells.family == "boolean" else found
        if len(levels) > 2:
            raise InputError(f"{name}: kind = 'binary': {some(levels)} are more than two values")
    elif not chosen and len(found) > min(
        MAX_CATEGORIES, max(FEW_CATEGORIES, cells.observed.size / 2)
    ):
        raise InputError(
            f"{name}: {len(found)} categories in {cells.observed.size} cells, as {some(found)}:"
            " drop it if it names rows, convert it if it holds numbers, or ask for"
            " kind 'categorical'"
        )
    if kind == "categorical" and len(levels) > 2:
        return Column(kind, 0.0, 1.0, levels=levels)
    codes = [levels.index(value) for value in found]
    kind = "ordered" if kind == "ordered" else "binary"
    return Column(kind, float(min(codes)), float(max(codes)), levels=levels)


def some(values: Iterable[Any]) -> str:
    """List different values, the first five of them."""
    texts = [str(value) for value in islice(dict.fromkeys(values), 6)]
    return ", ".join([*texts[:5], "..."] if len(texts) > 5 else texts) or "none"
