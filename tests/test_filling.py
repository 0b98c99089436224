"""Pieces of tables, filled: as the imputer does it, and the same however a table was cut."""

import copy
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vaefill import VAEImputer
from vaefill.errors import InputError
from vaefill.filling import fill_table, types_of
from vaefill.tables import completion
from vaefill.tables.completion import BLOCK


def table(n, *, gaps=0.3, seed=0):
    """Columns of every kind with gaps, one that is empty, and the names of the rows."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    columns = {
        "number": (x, pa.float64()),
        "half": (x + rng.normal(size=n), pa.float32()),
        "count": (rng.poisson(3, n), pa.int8()),
        "flag": (x > 0, pa.bool_()),
        "text": (rng.choice(["a", "b", "c"], n), pa.string()),
        "level": (rng.choice(["S", "L"], n), pa.dictionary(pa.int32(), pa.string())),
        "empty": (np.zeros(n), pa.float64()),
    }
    arrays = {
        name: pa.array(values.tolist(), mask=rng.random(n) < (gaps if name != "empty" else 1))
        for name, (values, _) in columns.items()
    }
    cast = {name: arrays[name].cast(kind) for name, (_, kind) in columns.items()}
    return pa.table({"id": [f"row {i}" for i in range(n)]} | cast)


@pytest.fixture(scope="module")
def imputer():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(completion, "MASKED_ROWS", 0)
        return VAEImputer(max_iter=3, random_state=0).fit(table(300).drop_columns("id"))


def values(filled):
    """Cells that can be compared bit by bit, nan and the sign of 0 included."""
    return repr(filled.to_pydict())


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "draws": st.integers(0, 3),
        "interval": st.sampled_from([None, 0.5, 0.9]),
        "indicator": st.booleans(),
        "part": st.integers(0, 2),
    },
)


@given(st.integers(1, 2 * BLOCK + 99), st.sets(st.sampled_from([BLOCK, 2 * BLOCK])), OPTIONS)
@settings(max_examples=12, deadline=None, derandomize=True)
def test_how_a_table_is_cut_changes_no_byte(imputer, n, cuts, options):
    rows = table(n, seed=n)
    ends = [0, *sorted(cut for cut in cuts if cut < n), n]
    pieces = [
        fill_table(imputer, rows.slice(start, end - start), keep=["id"], first_row=start, **options)
        for start, end in pairwise(ends)
    ]
    whole = fill_table(imputer, rows, keep=["id"], **options)
    assert all(piece.schema == whole.schema for piece in pieces)
    assert values(pa.concat_tables(pieces)) == values(whole)


def test_it_fills_what_the_imputer_fills(imputer):
    rows = table(50, seed=1)
    seen = rows.drop_columns("id")
    filled = fill_table(imputer, rows, keep=["id"])
    assert values(filled.select(imputer.transform(seen).column_names)) == values(
        imputer.transform(seen)
    )
    for setting in ({"add_indicator": True}, {"keep_empty_features": True}):
        # An imputer's settings for Python are not those of a file.
        other = copy.copy(imputer).set_params(sample_posterior=True, **setting)
        other.indicator_features_ = np.array([0])
        assert values(fill_table(other, rows, keep=["id"])) == values(filled)
    # Draw by draw, row by row, and with the bounds of `interval`.
    drawn = fill_table(imputer, rows, keep=["id"], draws=3, interval=0.8)
    assert drawn["draw"].to_pylist() == [1, 2, 3] * 50
    assert drawn["id"].to_pylist() == [f"row {i}" for i in range(50) for _ in range(3)]
    for number, sample in enumerate(imputer.sample(seen, 3)):
        own = drawn.take(np.arange(number, 150, 3))
        assert values(own.select(sample.column_names)) == values(sample)
        missing = rows["number"].is_null().to_numpy()
        for end, bound in zip(("lower", "upper"), imputer.interval(seen, 0.8), strict=True):
            found = own[f"number_{end}"]
            assert found.is_null().to_numpy().tolist() == (~missing).tolist()
            np.testing.assert_array_equal(
                found.to_numpy()[missing], bound["number"].to_numpy()[missing]
            )


def test_what_is_observed_or_kept_stays_as_it_is(imputer):
    rows = table(80, seed=2)
    rows = rows.select(rows.column_names[::-1])  # an order of its own
    negative = pa.chunked_array([pa.array([-0.0, None, np.nan] + [1e-300] * 77)])
    rows = rows.set_column(rows.column_names.index("number"), "number", negative)
    filled = fill_table(imputer, rows, keep=["id"], indicator=True)
    assert filled.schema.names[: rows.num_columns] == rows.schema.names
    assert filled.schema.types[: rows.num_columns] == rows.schema.types
    for name in rows.column_names:
        pairs = list(zip(rows[name].to_pylist(), filled[name].to_pylist(), strict=True))
        if name in ("id", "empty"):
            assert all(before is after or before == after for before, after in pairs)
            assert f"{name}_missing" not in filled.column_names
            continue
        gaps = filled[f"{name}_missing"].to_pylist()
        assert gaps == [value is None or value != value for value, _ in pairs]
        assert all(
            repr(old) == repr(new) for (old, new), gap in zip(pairs, gaps, strict=True) if not gap
        )
        assert all(new is not None and new == new for _, new in pairs)


def test_types_do_not_depend_on_what_is_missing(imputer):
    rows = table(40, seed=3)
    strange = {
        "count": pa.nulls(40),
        "flag": pa.nulls(40),
        "text": rows["text"].cast(pa.string_view()),
        "level": rows["level"].cast(pa.large_string()),
        "number": pa.array([1, None] * 20, pa.uint8()),  # the fit saw numbers below 0
    }
    for name, cells in strange.items():
        rows = rows.set_column(rows.column_names.index(name), name, cells)
    filled = fill_table(imputer, rows, keep=["id"])
    expected = [pa.int64(), pa.bool_(), pa.string(), pa.large_string(), pa.int64()]
    assert [filled.schema.field(name).type for name in strange] == expected
    for piece in (rows.slice(0, 1), rows.slice(0, 0)):
        options = {"keep": ["id"], "draws": 2, "interval": 0.9, "indicator": True}
        assert fill_table(imputer, piece, **options).schema == (
            fill_table(imputer, rows, **options).schema
        )


def test_types_of_the_cells(imputer):
    assert types_of(imputer) == {
        "number": "float",
        "half": "float",
        "count": "integer",
        "flag": "boolean",
        "text": "text",
        "level": "text",
    }
    numbers = pa.table({"n": [1, 5, 1, None], "y": [0.5, 1.5, None, 0.5]})
    kinds = {"n": "binary", "y": "binary"}
    chosen = VAEImputer(max_iter=1, random_state=0, kinds=kinds).fit(numbers)
    assert types_of(chosen) == {"n": "integer", "y": "float"}


def test_draws_of_parts_and_blocks_differ(imputer):
    rows = table(BLOCK, seed=4)
    drawn = [
        values(fill_table(imputer, rows, keep=["id"], draws=1, first_row=first, part=part))
        for first in (0, BLOCK)
        for part in (0, 1)
    ]
    assert len(set(drawn)) == 4
    guesses = {values(fill_table(imputer, rows, keep=["id"], part=part)) for part in (0, 1)}
    assert len(guesses) == 1


def test_quantiles_of_draws_are_the_bounds(imputer):
    rows = table(6, gaps=0.5, seed=5)
    filled = fill_table(imputer, rows, keep=["id"], draws=400, interval=0.8)
    for name in ("number", "half"):
        missing = rows[name].is_null().to_numpy()
        draws, lower, upper = (
            filled[column].to_numpy().reshape(6, 400)[missing]
            for column in (name, f"{name}_lower", f"{name}_upper")
        )
        assert missing.any()
        beyond = [(draws < lower).mean(1), (draws > upper).mean(1)]
        np.testing.assert_allclose(beyond, 0.1, atol=0.07)


REFUSED = {
    "gone": (lambda t: t.drop_columns("half"), {}, "lacking that were there at fit: half;"),
    "new": (lambda t: t.append_column("z", t["id"]), {}, "were not there at fit: z;"),
    "no such": (lambda t: t, {"keep": ["id", "where"]}, "to keep that are not there: where;"),
    "filled": (lambda t: t, {"keep": ["id", "half"]}, "to keep that were there at fit: half;"),
    "twice": (lambda t: t.append_column("id", t["id"]), {}, "two columns are called id:"),
    "draw": (lambda t: t.rename_columns({"id": "draw"}), {"keep": ["draw"], "draws": 1}, "'draw'"),
    "lower": (
        lambda t: t.rename_columns({"id": "half_lower"}),
        {"keep": ["half_lower"], "interval": 0.9},
        "'half_lower', a column to append, is there already",
    ),
    "missing": (
        lambda t: t.rename_columns({"id": "text_missing"}),
        {"keep": ["text_missing"], "indicator": True},
        "'text_missing', a column to append, is there already",
    ),
    "text": (lambda t: t.set_column(1, "number", t["id"]), {}, "'number': text such as row 0"),
    "row": (lambda t: t, {"first_row": 1000}, "first_row = 1000: must be a multiple of 1024"),
    "level": (lambda t: t, {"interval": 1.0}, "level = 1.0: must lie between 0 and 1"),
}


@pytest.mark.parametrize(("change", "options", "message"), REFUSED.values(), ids=REFUSED)
def test_a_table_that_cannot_be_filled_is_refused_in_one_line(imputer, change, options, message):
    with pytest.raises(InputError, match=message) as caught:
        fill_table(imputer, change(table(9)), **{"keep": ["id"]} | options)
    assert "\n" not in str(caught.value)


def test_an_imputer_of_arrays_is_refused():
    unnamed = VAEImputer(max_iter=1, random_state=0).fit(np.ones((4, 2)))
    with pytest.raises(InputError, match="columns have no names: fit it to a data frame"):
        fill_table(unnamed, pa.table({"x0": [1.0], "x1": [2.0]}))
