"""Tables of all dtypes there and back; the oracle of a fill is the table before its gaps."""

import datetime
import json
import tracemalloc

import hypothesis.extra.numpy as hnp
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from polars.testing import assert_frame_equal as assert_polars_equal

from vaefill.errors import InputError
from vaefill.tables.columns import Columns, fit_columns
from vaefill.tables.frames import read_table

NAN = np.nan
# The values of a column, of which the second is hidden, and its kind.
NUMBERS = ([1.5, 0.25, -2.0, 0.25], "continuous")
COUNTS = ([1, 2, 0, 2], "count")
WHOLE = ([-7, 3, 0, 100], "continuous")
TRUTH = ([True, False, False, True], "binary")
TEXT = (["b", "c", "a", "c"], "categorical")
TWO = (["yes", "no", "no", "yes"], "binary")
LEVELS = (["low", "high", "mid", "high"], "ordered")
ORDER = ["low", "mid", "high", "top"]
PANDAS = {
    "float64": NUMBERS,
    "float32": NUMBERS,
    "float16": NUMBERS,
    "Float64": NUMBERS,
    "Float32": NUMBERS,
    "Int64": COUNTS,
    "Int8": WHOLE,
    "UInt16": COUNTS,
    "boolean": TRUTH,
    "object": TRUTH,
    "object ": COUNTS,
    "object  ": NUMBERS,
    "object   ": TEXT,
    "str": TEXT,
    "string": TWO,
    "category": TEXT,
    "category ": ([3, 1, 2, 1], "categorical"),
    "category  ": TWO,
    "order": LEVELS,
}
POLARS = {
    pl.Float32: NUMBERS,
    pl.Float64: NUMBERS,
    pl.UInt8: COUNTS,
    pl.Int64: WHOLE,
    pl.Int128: COUNTS,
    pl.Boolean: TRUTH,
    pl.String: TEXT,
    pl.Categorical: TEXT,
    pl.Enum(ORDER): LEVELS,
}
# Labels that are not a range, one of them twice.
INDICES = [
    ["x", "y", "x", "z"],
    pd.MultiIndex.from_product([[7, 5], ["a", "b"]], names=["p", None]),
]


def gap(values):
    return [None if row == 1 else value for row, value in enumerate(values)]


def pandas_frame(hide, index=None):
    def column(dtype, values):
        dtype = pd.CategoricalDtype(ORDER, ordered=True) if dtype == "order" else dtype.strip()
        return pd.array(hide(values), dtype=dtype)

    data = {dtype: column(dtype, values) for dtype, (values, _) in PANDAS.items()}
    return pd.DataFrame(data, index=index)


def polars_frame(hide):
    return pl.DataFrame(
        [pl.Series(str(dtype), hide(values), dtype) for dtype, (values, _) in POLARS.items()]
    )


def filled(columns, X, truth):
    """Fill the gaps of X with what stands there in a complete table."""
    return columns.decode(columns.encode(truth).values, columns.encode(X).observed, X)


@pytest.mark.parametrize("index", INDICES)
def test_pandas_columns_come_back_with_their_gaps_filled(index):
    X, truth = pandas_frame(gap, index), pandas_frame(list, index)
    X.columns.name = truth.columns.name = "dtype"
    before = X.copy()
    columns = fit_columns(X)
    assert [column.kind for column in columns.columns] == [kind for _, kind in PANDAS.values()]
    assert_frame_equal(filled(columns, X, truth), truth)
    assert_frame_equal(filled(columns, X.iloc[1:2], truth.iloc[1:2]), truth.iloc[1:2])
    assert_frame_equal(X, before)


def test_polars_columns_come_back_with_their_gaps_filled():
    X, truth = polars_frame(gap), polars_frame(list)
    columns = fit_columns(X)
    assert [column.kind for column in columns.columns] == [kind for _, kind in POLARS.values()]
    assert_polars_equal(filled(columns, X, truth), truth)
    assert_polars_equal(filled(columns, X[1], truth[1]), truth[1])


@pytest.mark.parametrize("make", [pandas_frame, polars_frame])
def test_columns_travel_as_json(make):
    columns = fit_columns(make(gap), missing_values=-9)
    text = json.dumps(columns.to_dict(), allow_nan=False)
    assert Columns.from_dict(json.loads(text)) == columns


def test_arrays_come_back_with_their_gaps_filled():
    mixed = np.array([[2, "b", True], [1, "a", False], [2, "b", True]], dtype=object)
    holes = mixed.copy()
    holes[1] = None, NAN, pd.NA
    truth = mixed.tolist()
    for X in (holes, holes.tolist()):
        columns = fit_columns(X)
        assert [column.kind for column in columns.columns] == ["count", "binary", "binary"]
        result = columns.decode(np.ones((3, 3)), columns.encode(X).observed, X)
        assert result.dtype == object
        assert result.tolist() == [truth[0], [2, "b", True], truth[2]]


@given(
    hnp.arrays(
        st.sampled_from([np.float16, np.float32, np.float64]),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=st.one_of(st.just(NAN), st.floats(width=16, allow_infinity=False)),
    ),
    st.sampled_from("CF"),
    st.floats(allow_infinity=False, allow_nan=False),
)
@settings(max_examples=60, deadline=None)
def test_float_arrays_keep_every_bit_and_their_range(X, order, guess):
    X = np.asarray(X, order=order)
    X.flags.writeable = False
    missing = np.isnan(X)
    columns = fit_columns(X)
    assert (columns.empty == missing.all(0)).all()
    values, observed = columns.encode(X)
    kept = X[:, ~columns.empty]
    np.testing.assert_array_equal(observed, ~np.isnan(kept))
    np.testing.assert_array_equal(values, np.nan_to_num(kept))
    result = columns.decode(np.full(values.shape, guess), observed, X)
    assert result.dtype == X.dtype
    assert result[observed].tobytes() == kept[observed].tobytes()
    assert (result >= np.nanmin(kept, axis=0, initial=np.inf)).all()
    assert (result <= np.nanmax(kept, axis=0, initial=-np.inf)).all()
    whole = columns.decode(np.full(values.shape, guess), observed, X, keep_empty=True)
    np.testing.assert_array_equal(whole[:, ~columns.empty], result)
    assert (whole[:, columns.empty] == 0).all()


CELLS = {
    "float": st.floats(-9, 9),
    "integer": st.integers(-3, 9),
    "boolean": st.booleans(),
    "text": st.sampled_from(["a", "b", "", "ü"]),
}


@given(st.data(), st.lists(st.sampled_from(sorted(CELLS)), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_libraries_agree(data, families):
    size = data.draw(st.integers(1, 6))
    lists = [
        data.draw(st.lists(st.none() | CELLS[family], min_size=size, max_size=size))
        for family in families
    ]
    names = [f"c{number}" for number in range(len(lists))]
    array = np.array(lists, dtype=object).T
    tables = [array, pd.DataFrame(array, columns=names), pl.DataFrame(lists, schema=names)]
    found = [fit_columns(table) for table in tables]
    assert found[0].columns == found[1].columns == found[2].columns
    encoded = [columns.encode(table) for columns, table in zip(found, tables, strict=True)]
    guess = data.draw(hnp.arrays(float, encoded[0].values.shape, elements=st.floats(-20, 20)))
    results = []
    for columns, table, (values, observed) in zip(found, tables, encoded, strict=True):
        np.testing.assert_array_equal(values, encoded[0].values)
        np.testing.assert_array_equal(observed, encoded[0].observed)
        again = columns.decode(guess, observed, table)
        results.append(np.array(again, dtype=object).tolist())
        assert not any(cell is None for row in results[-1] for cell in row)
    if guess.size:  # polars has no rows without columns
        assert results[0] == results[1] == results[2]


def test_slots_by_hand():
    X = pd.DataFrame(
        {
            "none": [NAN] * 5,
            "text": ["b", "a", None, "c", "a"],
            "share": [0.5, NAN, 0.2, 0.9, 1.2],
            "n": pd.array([3, None, 5, 4, 3], dtype="Int64"),
            "size": pd.Categorical(["S", "M", "M", None, "S"], ["XS", "S", "M", "L"], ordered=True),
            "on": [True, False, True, True, False],
        }
    )
    columns = fit_columns(X, kinds={"share": ("bounded", 0, 2)})
    slots = columns.slots
    assert columns.empty.tolist() == [True, *[False] * 5]
    assert slots.column.tolist() == [0, 0, 0, 1, 2, 3, 4]
    assert slots.kind == (*["categorical"] * 3, "bounded", "count", "ordered", "binary")
    assert slots.lower.tolist() == [0, 0, 0, 0, 3, 1, 0]
    assert slots.upper.tolist() == [1, 1, 1, 2, 5, 2, 1]
    assert slots.step.tolist() == [0, 0, 0, 0, 1, 1, 0]
    values, observed = columns.encode(X)
    assert (columns.missing(X) == X.isna()).all(axis=None)
    assert columns.slots.to(torch.device("meta")).lower.device.type == "meta"
    assert values.tolist() == [
        [0, 1, 0, 0.5, 3, 1, 1],
        [1, 0, 0, 0, 0, 2, 0],
        [0, 0, 0, 0.2, 5, 2, 1],
        [0, 0, 1, 0.9, 4, 0, 1],
        [1, 0, 0, 1.2, 3, 1, 0],
    ]
    assert (~observed).nonzero()[0].tolist() == [1, 1, 2, 2, 2, 3]
    guess = np.tile([0.2, 0.1, 0.7, 9, 4.6, 0.4, 0.4], (5, 1))
    result = columns.decode(guess, observed, X)
    assert result.loc[2, "text"] == "c"
    assert result.loc[1, "share"] == 2
    assert result.loc[1, "n"] == 5
    assert result.loc[3, "size"] == "S"  # XS was never observed
    assert result.columns.tolist() == X.columns.tolist()[1:]


def test_kinds_by_choice():
    X = pl.DataFrame(
        {"a": [1.0, None, 3.0], "b": [2, 1, None], "c": ["l", "h", None], "d": [0.5, None, 1.0]}
    )
    kinds = {"a": "count", 1: "categorical", "c": ("ordered", "l", "m", "h"), "d": "bounded"}
    columns = fit_columns(X, kinds=kinds)
    values, observed = columns.encode(X)
    assert [column.kind for column in columns.columns] == ["count", "binary", "ordered", "bounded"]
    assert columns.columns[2].levels == ("l", "m", "h")
    assert values.tolist() == [[1, 1, 0, 0.5], [0, 0, 2, 0], [3, 0, 0, 1]]
    result = columns.decode(np.full((3, 4), 1.2), observed, X)
    assert result.rows()[1] == (1.0, 1, "h", 1.0)
    assert result.rows()[2] == (3.0, 2, "m", 1.0)
    # A bounded value beyond the bounds counts as the bound, but is nobody's to change.
    more = X.with_columns(d=pl.Series([0.5, 7.0, 0.0]))
    assert columns.encode(more).values[:, 3].tolist() == [0.5, 1, 0.5]
    assert filled(columns, more, X)["d"].to_list() == [0.5, 7, 0]


@pytest.mark.parametrize(
    "X",
    [
        np.array([[1, 7], [-1, 5], [3, 200]], dtype=np.int16),
        np.array([[1, 7], [-1, 5], [3, 200]], dtype=np.float32),
        pd.DataFrame({"a": np.array([1, -1, 3], dtype=np.int8), "b": [7, 5, 200]}),
        pl.DataFrame({"a": [1, -1, 3], "b": [7, 5, 200]}, schema={"a": pl.Int8, "b": pl.UInt8}),
    ],
)
def test_a_number_that_means_missing(X):
    columns = fit_columns(X, missing_values=np.int64(-1))
    observed = columns.encode(X).observed
    assert observed.tolist() == [[True, True], [False, True], [True, True]]
    result = columns.decode(np.full((3, 2), 2.4), observed, X)
    assert np.array(result).tolist()[1] == pytest.approx([2, 5], abs=0.5)
    assert read_table(result).cells(0, None).family == read_table(X).cells(0, None).family
    if not isinstance(X, np.ndarray):
        assert list(result.dtypes) == list(X.dtypes)


def test_sentinels_are_met_in_the_precision_of_the_column():
    X = np.array([[-999.9], [1]], dtype=np.float32)
    for table in (X, pd.DataFrame(X), pl.DataFrame({"a": X[:, 0]})):
        columns = fit_columns(table, missing_values=-999.9)
        assert columns.encode(table).observed.tolist() == [[False], [True]]
    infinite = fit_columns([[np.inf], [1.0]], missing_values=np.inf)
    assert infinite.columns[0].upper == 1


@pytest.mark.parametrize("absent", [NAN, None, pd.NA, pd.NaT, np.float32("nan")])
def test_what_always_means_missing(absent):
    X = np.array([[absent, "?"], [1, "a"]], dtype=object)
    assert fit_columns(X, missing_values=absent).sentinel is None
    columns = fit_columns(X, missing_values="?")
    assert columns.encode(X).observed.tolist() == [[False, False], [True, True]]
    X = np.array([["?", "aa"], ["b", "?"]])
    columns = fit_columns(X, missing_values="?")
    assert columns.decode(np.zeros((2, 2)), ~(X == "?"), X).tolist() == [["b", "aa"], ["b", "aa"]]


def test_integers_beyond_floats_stay_what_they_are():
    large = np.iinfo(np.int64).max
    for dtype, values in {
        "Int64": [large, None, large - 1],
        "UInt64": [2 * large, 1, None],
    }.items():
        X = pd.DataFrame({"a": pd.array(values, dtype=dtype)})
        columns = fit_columns(X)
        observed = columns.encode(X).observed
        result = columns.decode(np.full((3, 1), 1e30), observed, X)
        assert result.a.dtype == dtype
        assert result.a[observed[:, 0]].tolist() == X.a.dropna().tolist()
        fill = result.a[~observed[:, 0]].item()
        assert 0 <= X.a.max() - fill <= 2048


def test_a_dtype_that_cannot_hold_the_fill_is_widened():
    columns = fit_columns(pd.DataFrame({"a": [1000, 2000], "b": ["x", "y"]}))
    for library, dtype in ((pd, "Int8"), (pl, pl.Int8)):
        a = library.Series([None, 5], dtype=dtype)
        X = library.DataFrame({"a": a, "b": [None, None]})
        result = columns.decode(np.full((2, 2), 3000.0), columns.encode(X).observed, X)
        assert np.array(result, dtype=object).tolist() == [[2000, "y"], [5, "y"]]
        assert str(result["a"].dtype) == "Int64"
    array = np.array([[-1], [5]], dtype=np.int8)
    columns = fit_columns([[1000], [2000]], missing_values=-1)
    result = columns.decode(np.full((2, 1), 1500.0), columns.encode(array).observed, array)
    assert result.dtype == np.int64
    assert result.tolist() == [[1500], [5]]
    below = pl.DataFrame({"a": [None, 5]}, schema={"a": pl.UInt8})
    columns = fit_columns([[-5], [3]])
    result = columns.decode(np.full((2, 1), -9.0), columns.encode(below).observed, below)
    assert result.rows() == [(-5,), (5,)]
    nothing = pl.DataFrame({"a": [None]}, schema={"a": pl.String})
    result = filled(fit_columns([[True], [False]]), nothing, [[True]])
    assert result.rows() == [(True,)]
    nothing = pd.DataFrame({"a": [None]}, dtype="str", index=["r"])
    assert_frame_equal(
        filled(fit_columns([[7], [8]]), nothing, [[7]]), pd.DataFrame({"a": [7]}, ["r"])
    )
    columns = fit_columns([[1e30], [-1e30]])
    halves = np.array([[NAN], [5]], dtype=np.float16)
    for X in (halves, pd.DataFrame(halves), pl.DataFrame({"a": halves[:, 0]})):
        result = columns.decode(np.full((2, 1), 1e20), columns.encode(X).observed, X)
        assert np.array(result).tolist() == [[1e20], [5]]
    kinds = {0: "categorical"}
    columns = fit_columns([[1.5], [2.0], [-1.0]], kinds=kinds, missing_values=-1)
    result = columns.decode(np.zeros((1, 1)), np.array([[False]]), np.array([[-1]]))
    assert result.tolist() == [[1.5]]


def test_whole_numbers_stay_whole_and_within_a_range_that_is_not():
    columns = fit_columns([[0.6], [3.7]], missing_values=-1)
    X = np.array([[-1], [2]])
    for guess, fill in ((-9, 1), (2.4, 2), (9, 3)):
        result = columns.decode(np.full((2, 1), float(guess)), columns.encode(X).observed, X)
        assert result.dtype == X.dtype
        assert result.tolist() == [[fill], [2]]


def test_a_complete_table_comes_back_as_a_copy():
    for X in (np.ones((2, 2)), pd.DataFrame({"a": [1.0, 2.0]}), pd.DataFrame(index=[3, 4])):
        columns = fit_columns(X)
        values, observed = columns.encode(X)
        result = columns.decode(values, observed, X)
        assert result is not X
        pd.testing.assert_frame_equal(pd.DataFrame(result), pd.DataFrame(X))


def test_no_number_means_missing_among_booleans():
    X = np.array([[True], [False]])
    assert fit_columns(X, missing_values=1).encode(X).observed.all()


# --- new data --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["category", "str", pl.Categorical, pl.Enum(["c", "a", "b"])])
def test_new_data_may_lack_a_category(dtype):
    library = pd if isinstance(dtype, str) else pl
    frame = lambda values: library.DataFrame({"a": library.Series(values, dtype=dtype)})  # noqa: E731
    X = frame(["a", "b", "c", None])
    columns = fit_columns(X, kinds={"a": "categorical"})
    new = frame(["b", None])
    observed = columns.encode(new).observed
    result = columns.decode(np.array([[0, 0, 0], [0.1, 0.2, 0.7]]), observed, new)["a"]
    assert result.to_list() == ["b", "c"] if library is pl else result.tolist() == ["b", "c"]
    if dtype == "category":
        assert result.cat.categories.tolist() == ["b", "a", "c"]
    else:
        assert result.dtype == new["a"].dtype


def test_new_data_of_another_dtype_of_the_same_values():
    X = pd.DataFrame({"a": [1, 2, 3], "b": [True, False, True], "c": ["x", "y", "z"]})
    columns = fit_columns(X)
    new = pd.DataFrame({"a": [NAN, 2.5], "b": [0.0, NAN], "c": pd.Categorical([None, "z"])})
    values, observed = columns.encode(new)
    assert values.tolist() == [[0, 0, 0, 0, 0], [2.5, 0, 0, 0, 1]]
    result = columns.decode(np.full((2, 5), 1.4), observed, new)
    assert result.astype(object).values.tolist() == [[1, 0, "x"], [2.5, 1, "z"]]
    assert result.dtypes.tolist()[:2] == [np.float64, np.float64]
    # Text that is missing throughout arrives as numbers, as pandas has it.
    nothing = pd.DataFrame({"a": [1], "b": [True], "c": [NAN]})
    assert filled(columns, nothing, X.iloc[:1])["c"].tolist() == ["x"]
    polars = pl.DataFrame({"a": [None], "b": ["x"], "c": [None]}).with_columns(b=None)
    result = filled(columns, polars, X.iloc[:1])
    assert result.rows() == [(1, True, "x")]
    array = np.full((1, 3), NAN)
    assert filled(columns, array, X.iloc[:1]).tolist() == [[1, True, "x"]]


def test_unseen_categories_count_as_missing_with_one_warning():
    X = pd.DataFrame({"a": ["x", "y", "z"], "b": [True, False, True], "c": [1, 2, 3]})
    new = pd.DataFrame({"a": ["u", "y", "v", "u"], "b": [0, 1, 2, 1], "c": [9, 9, 9, 9]})
    columns = fit_columns(X)
    with pytest.warns(UserWarning, match=r"column 'a': u, v; column 'b': 2\.0: taken") as caught:
        values, observed = columns.encode(new)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert observed[:, 0].tolist() == [False, True, False, False]
    assert observed[:, 3].tolist() == [True, True, False, True]
    assert columns.decode(values, observed, new)["a"].tolist() == ["x", "y", "x", "x"]
    with pytest.raises(InputError, match="column 'a': u, v; column 'b'"):
        columns.encode(new, unseen="error")


def test_a_column_complete_at_fit_and_a_constant_one():
    X = pd.DataFrame({"a": [1.0, 2.0], "b": [5.0, NAN], "c": ["x", "x"]})
    columns = fit_columns(X)
    new = pd.DataFrame({"a": [NAN], "b": [NAN], "c": [None]}, index=["r"])
    result = columns.decode(np.array([[9.0, 9.0, 9.0]]), columns.encode(new).observed, new)
    assert result.loc["r"].tolist() == [2, 5, "x"]


@pytest.mark.parametrize(
    "labels", [[1, 0], [("p", "q"), ("p", "r")], ["a", 1]], ids=["numbers", "levels", "mixed"]
)
def test_labels_that_are_not_text(labels):
    X = pd.DataFrame([[1.0, NAN], [NAN, 4.0]])
    X.columns = pd.MultiIndex.from_tuples(labels) if isinstance(labels[0], tuple) else labels
    columns = fit_columns(X)
    result = columns.decode(np.full((2, 2), 2.0), columns.encode(X).observed, X)
    assert result.columns.equals(X.columns)
    assert result.values.tolist() == [[1, 4], [1, 4]]
    half = X.iloc[:1]  # its second column is empty
    result = fit_columns(half).decode(np.zeros((1, 1)), np.ones((1, 1), dtype=bool), half)
    assert_frame_equal(result, half.iloc[:, :1])
    assert Columns.from_dict(json.loads(json.dumps(columns.to_dict()))) == columns
    with pytest.raises(InputError, match="another order than at fit"):
        columns.encode(X.iloc[:, ::-1])


@pytest.mark.parametrize("keep_empty", [False, True])
def test_columns_that_were_empty_at_fit(keep_empty):
    dtypes = {"f": float, "i": "Int64", "b": "boolean", "t": "str", "o": object, "c": "category"}
    X = pd.DataFrame({name: pd.array([None], dtype=dtype) for name, dtype in dtypes.items()})
    columns = fit_columns(X.assign(x=1))
    assert columns.empty.tolist() == [True] * 6 + [False]
    assert len(columns.slots.kind) == 1
    new = X.assign(f=[2.5], x=NAN)
    result = columns.decode(
        np.ones((1, 1)), np.zeros((1, 1), dtype=bool), new, keep_empty=keep_empty
    )
    if keep_empty:
        text = ["missing_value"] * 3
        assert result.values.tolist() == [[2.5, 0, False, *text, 1]]
        assert result.dtypes.tolist()[:5] == new.dtypes.tolist()[:5]
    else:
        assert result.columns.tolist() == ["x"]


def test_encoding_copies_little():
    X = np.random.default_rng(0).normal(size=(100_000, 10)).astype(np.float32)
    X[::7] = NAN
    columns = fit_columns(X)
    tracemalloc.start()
    values, observed = columns.encode(X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.5 * (values.nbytes + observed.nbytes)


# --- refusals --------------------------------------------------------------------------------

DAY = datetime.date(2026, 1, 1)
MANY = [f"name {number}" for number in range(60)]
REFUSED = {
    "infinity": ([[1.0], [np.inf]], {}, "column 0, row 1: infinity"),
    "infinity in a frame": (pl.DataFrame({"a": [-np.inf]}), {}, "column 'a', row 0: infinity"),
    "endless integer": ([[10**400]], {}, "column 0, row 0: infinity"),
    "text beside numbers": ([[1.5], ["x"]], {}, "column 0: text such as 'x' beside numbers .* 1.5"),
    "a dict": ([[{}], [1]], {}, "column 0: argument must be a string or a real number, not '{}'"),
    "dates": (
        pd.DataFrame({"d": pd.to_datetime([DAY])}),
        {},
        r"column 'd', dtype datetime64\[.*drop",
    ),
    "objects of dates": (pd.DataFrame({"d": [DAY]}), {}, "column 'd': argument .* '2026-01-01'"),
    "lists": (pl.DataFrame({"l": [[1, 2]]}), {}, r"column 'l', dtype List.*convert"),
    "bytes": (np.array([[b"x"]]), {}, r"column 0, dtype \|S1.*convert"),
    "complex": (np.array([[1j]]), {}, "column 0, dtype complex128: Complex data not supported"),
    "intervals": (pd.DataFrame({"i": pd.cut([1, 2], 2)}), {}, "column 'i': argument .*Interval"),
    "decimals": (
        pl.DataFrame({"d": ["1"]}).cast(pl.Decimal(9, 2)),
        {},
        "column 'd', dtype Decimal",
    ),
    "names of rows": (pd.DataFrame({"id": MANY}), {}, "column 'id': 60 categories in 60 .*drop"),
    "few names": (np.array([MANY[:20]]).T, {}, "column 0: 20 categories in 20 cells"),
    "names of categories": (pd.DataFrame({"c": MANY * 9}, dtype="category"), {}, "60 .* in 540"),
    "one dimension": ([1.0], {}, "Expected 2D array, got 1D list .*Reshape your data"),
    "a series": (pd.Series([1.0]), {}, "Expected 2D array, got 1D Series"),
    "lazy": (pl.LazyFrame({"a": [1]}), {}, "Expected 2D array, got 0D LazyFrame"),
    "masked": (np.ma.array([[1.0]], mask=[[True]]), {}, r"a masked array: .*X\.filled\(nan\)"),
    "ragged": ([[1], [1, 2]], {}, "rows of different lengths"),
    "duplicates": (pd.DataFrame([[1, 2]], columns=["a", "a"]), {}, "two columns are called 'a'"),
    "sentinel": ([[1]], {"missing_values": [1]}, r"missing_values = \[1\]: must be nan"),
    "no column": (pd.DataFrame({"a": [1]}), {"kinds": {"b": "count"}}, "no column 'b'"),
    "no position": ([[1]], {"kinds": {1: "count"}}, "no column 1; take a name or a position"),
    "no kind": ([[1]], {"kinds": {0: "counts"}}, "column 0: kind = 'counts': must be one of conti"),
    "no parts": (
        [[1]],
        {"kinds": {0: ("count", 1)}},
        r"kind = \('count', 1\): 'count' takes nothing",
    ),
    "no numbers": ([["a"]], {"kinds": {0: "count"}}, "column 0: kind = 'count': a are no numbers"),
    "no count": ([[1.5]], {"kinds": {0: "count"}}, "column 0: 1.5 is no count"),
    "below 0": ([[-1]], {"kinds": {0: "count"}}, r"column 0: -1\.0 is no count"),
    "not two": ([[1], [2], [3]], {"kinds": {0: "binary"}}, r"'binary': 1, 2, 3 are more than two"),
    "bounds": ([[1.5]], {"kinds": {0: ("bounded", 2, 1)}}, "must be .'bounded', lower, upper"),
    "texts as bounds": (
        [[1.5]],
        {"kinds": {0: ("bounded", "a", "b")}},
        "must be .'bounded', lower",
    ),
    "out of bounds": (
        [[1.5]],
        {"kinds": {0: ("bounded", 0, 1)}},
        "1.5 is outside its bounds 0 and 1",
    ),
    "no order": ([["a"]], {"kinds": {0: "ordered"}}, "text has no order of its own"),
    "no level": (
        [["a"]],
        {"kinds": {0: ("ordered", "b")}},
        "column 0: 'a' is none of its levels b",
    ),
}


@pytest.mark.parametrize(("X", "settings", "message"), REFUSED.values(), ids=REFUSED)
def test_a_table_that_cannot_be_fitted_is_refused_in_one_line(X, settings, message):
    with pytest.raises(InputError, match=message) as caught:
        fit_columns(X, **settings)
    assert "\n" not in str(caught.value)


def test_names_of_rows_may_be_asked_for():
    columns = fit_columns(pd.DataFrame({"id": MANY}), kinds={"id": "categorical"})
    assert len(columns.slots.kind) == 60


ORDERED = pd.Categorical(["S", "M"], ["M", "S"], ordered=True)
UNLIKE = {
    "lacking": (lambda X: X[["n", "t"]], r"columns lacking: s; not there at fit: none"),
    "additional": (lambda X: X.assign(u=1), r"columns lacking: none; not there at fit: u"),
    "renamed": (lambda X: X.rename(columns={"n": "u"}), r"columns lacking: n; not there at fit: u"),
    "swapped": (lambda X: X[["t", "n", "s"]], "another order than at fit: 't' where 'n' was"),
    "narrower": (lambda X: np.ones((2, 2)), "2 columns: 3 were there at fit"),
    "text": (lambda X: X.assign(n=["a", None]), "column 'n': text such as a where numbers stood"),
    "numbers": (
        lambda X: X.assign(t=[NAN, 1.5]),
        "column 't': numbers such as 1.5 where text stood",
    ),
    "categories": (lambda X: X.astype({"n": "category"}), "column 'n': categories where numbers"),
    "order": (lambda X: X.assign(s=ORDERED), "column 's': a dtype of the categories M, S, .* S, M"),
}


@pytest.mark.parametrize(("change", "message"), UNLIKE.values(), ids=UNLIKE)
def test_a_table_unlike_the_fitted_one_is_refused_in_one_line(change, message):
    size = pd.Categorical(["S", "M"], ["S", "M"], ordered=True)
    X = pd.DataFrame({"n": [1.0, NAN], "t": ["x", None], "s": size})
    columns = fit_columns(X)
    with pytest.raises(InputError, match=message) as caught:
        columns.encode(change(X))
    assert "\n" not in str(caught.value)


def test_a_cell_of_no_type_is_a_type_error_as_scikit_learn_has_it():
    with pytest.raises(TypeError, match=r"argument must be .* string.* number"):
        fit_columns(np.array([[{"foo": "bar"}], [1.0]], dtype=object))
