import datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vaefill.errors import InputError
from vaefill.files.typing import ABSENT, TypeFinder, to_typed

TEXT = [*ABSENT, "1", "-2", "0.5", "1e3", "inf", " 7 ", "0x1f", "abc", "99999999999999999999"]


def column(*cells):
    return pa.table({"x": pa.array(cells, pa.string())})


def found(*cells, text=(), **options):
    finder = TypeFinder(**options)
    finder.update(column(*cells))
    return finder.types(text)["x"]


def typed(type, *cells, **options):
    return to_typed(column(*cells), {"x": type}, **options)["x"]


@pytest.mark.parametrize(
    ("cells", "type"),
    [
        (["1", "-2", " 3 ", "", "NA"], "integer"),
        (["1", "2.5", "?"], "float"),
        (["1", "1e3", "+5", ".5", "5.", "-inf"], "float"),
        (["1", "99999999999999999999"], "float"),
        (["", "NULL"], "float"),
        (["a", "b", "1"], "text"),
        (["0x1", "0x2"], "text"),
        (["True", "False"], "text"),
        (["2020-01-01"], "text"),
    ],
)
def test_types_are_found(cells, type):
    assert found(*cells) == type


@settings(deadline=None)
@given(cells=st.lists(st.sampled_from(TEXT), max_size=12), cut=st.integers(1, 12))
def test_types_do_not_depend_on_the_batches_and_can_be_had(cells, cut):
    """What is found holds for every cell, whichever batch it came in."""

    def types(step):
        finder = TypeFinder()
        for start in range(0, len(cells) or 1, step):
            finder.update(column(*cells[start : start + step]))
        try:
            return finder.types()["x"]
        except InputError as error:
            return str(error)

    assert types(cut) == types(100)
    if types(100) in ("integer", "float", "text"):
        present = [cell for cell in cells if cell not in ABSENT]
        values = typed(types(100), *cells)
        assert len(values) - values.null_count == len(present)
        convert = {"integer": int, "float": float, "text": str}[types(100)]
        assert values.drop_null().to_pylist() == [convert(cell) for cell in present]


def test_text_among_numbers_is_named():
    finder = TypeFinder()
    finder.update(column("1", "2"))
    finder.update(column("3", "", "4+", "5", "6+"))
    message = r"^column 'x', row 5 of it: '4\+' is not a number, as most are; mend it, name"
    with pytest.raises(InputError, match=message):
        finder.types(place="row {} of it".format)
    assert finder.types(text=["x"]) == {"x": "text"}
    assert found("1", "2", "4+", missing=["4+"]) == "integer"


@pytest.mark.parametrize(
    ("type", "value", "message"),
    [
        ("float", "abc", "'abc' is not a number"),
        ("float", "1,5", "'1,5' is not a number"),
        ("float", "x" * 10**6, f"'{'x' * 60}'... is not a number"),
        ("integer", "1.5", "'1.5' is not a whole number"),
        ("boolean", "perhaps", "'perhaps' is not true or false"),
    ],
)
def test_text_that_is_not_what_its_column_is_is_named(type, value, message):
    with pytest.raises(InputError, match=rf"^column 'x', row 13 of it: {message}; mend"):
        typed(type, "1", "", value, "zzz", first_row=10, place="row {} of it".format)


def test_missing_numbers_mean_every_way_to_write_them():
    missing = [*ABSENT, "-999", "none at all"]
    values = typed("float", "-999.0", "-9.99e2", "NAN", " none at all", "1", missing=missing)
    assert values.to_pylist() == [None] * 4 + [1.0]
    assert typed("integer", "-999", "1", missing=["-999.0"]).to_pylist() == [None, 1]
    assert typed("text", "-999", " b", "?", missing=missing).to_pylist() == [None, " b", None]


def test_decimal_commas():
    assert found("1,5", "2", decimal=",") == "float"
    missing = ["-999,0"]
    values = typed("float", "1,5", "-999", decimal=",", missing=missing)
    assert values.to_pylist() == [1.5, None]
    with pytest.raises(InputError, match=r"'1\.234,5' is not a number"):
        typed("float", "1.234,5", decimal=",")


def test_columns_with_types_of_their_own_keep_them():
    table = pa.table(
        {
            "small": pa.array([1, 255], pa.uint8()),
            "half": pa.array([-999, 0.5], pa.float32()),
            "day": [datetime.date(2020, 1, 1), None],
            "level": pa.array(["a", "?"]).dictionary_encode(),
            "kept": ["NA", "1"],
        }
    )
    types = {"small": "integer", "half": "float", "day": "text", "level": "text"}
    result = to_typed(table, types, missing=["-999", "255"])
    assert result.schema == table.schema
    assert result["small"].to_pylist() == [1, None]
    assert result["half"].to_pylist() == [None, 0.5]
    assert result.select(["day", "level", "kept"]) == table.select(["day", "level", "kept"])


def test_columns_may_be_lacking_or_not_asked_for():
    table = column("1", "NA")
    assert to_typed(table, {"y": "float"}) == table
    assert np.isnan(to_typed(table, {"x": "float"}).to_pandas()["x"][1])


def test_numbers_of_16_bits_can_be_missing():
    table = pa.table({"a": pa.array(np.array([1, -999, 2], np.float16))})
    typed = to_typed(table, {"a": "float"}, missing=["-999"])
    assert typed["a"].type == pa.float16()
    assert typed["a"].to_pylist() == [1, None, 2]
