"""The imputer as scikit-learn's users meet it: its contracts, its files, and bad data."""

import copy
import json
import pickle
import warnings

import hypothesis.extra.numpy as hnp
import numpy as np
import pandas as pd
import polars as pl
import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from vaefill import VAEImputer
from vaefill import imputer as imputer_module
from vaefill.errors import FileError, InputError
from vaefill.tables import completion

NAN = np.nan


@pytest.fixture(autouse=True, scope="module")
def few_masks():
    """Learn from three masks instead of 64: what is fitted is worse, and the same in kind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(completion, "MASKED_ROWS", 0)
        yield


def quick(**settings):
    return VAEImputer(**{"max_iter": 3, "random_state": 0} | settings)


def table(n=60, *, gaps=0.2, seed=0):
    """Three columns of numbers that depend on one another, with gaps."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    X = np.column_stack([x, 10 + x + rng.normal(size=n), 1000 * (x + rng.normal(size=n))])
    X[rng.random(X.shape) < gaps] = NAN
    return X


def mixed(n=60, seed=0):
    """A data frame of every kind of column, with gaps in each, and labels as an index."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    sizes = pd.CategoricalDtype(["S", "M", "L"], ordered=True)
    frame = pd.DataFrame(
        {
            "number": x,
            "share": 1 / (1 + np.exp(-x)),
            "count": pd.array(rng.poisson(3 + x.clip(-2)), dtype="Int64"),
            "flag": pd.array(x > 0, dtype="boolean"),
            "text": rng.choice(["a", "b", "c"], n),
            "size": pd.Categorical(np.array(["S", "M", "L"])[(x > -1) + 0 + (x > 1)], dtype=sizes),
            "half": x.astype(np.float32),
        },
        index=[f"row {number}" for number in range(n)],
    )
    return frame.mask(rng.random(frame.shape) < 0.2)


def check_filled(X, filled, *, lower=None, upper=None):
    """Hold what every filled array must keep to."""
    X, filled = np.asarray(X, float), np.asarray(filled, float)
    missing = np.isnan(X)
    assert filled.shape == X.shape
    assert (filled[~missing] == X[~missing]).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # columns of nothing but gaps
        lower = np.nan_to_num(np.nanmin(X, 0) if lower is None else lower)
        upper = np.nan_to_num(np.nanmax(X, 0) if upper is None else upper)
    assert ((lower <= filled) | ~missing).all()
    assert ((filled <= upper) | ~missing).all()


# As a part of scikit-learn


@parametrize_with_checks([VAEImputer(max_iter=5)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_it_is_cloned_pickled_and_searched():
    X, y = table(), np.arange(60.0)
    imputer = quick(add_indicator=True, hidden=[8, 8])
    assert clone(imputer).get_params() == imputer.get_params()
    filled = imputer.fit_transform(X)
    again = pickle.loads(pickle.dumps(imputer))
    assert again.transform(X).tobytes() == filled.tobytes()
    search = GridSearchCV(
        make_pipeline(quick(), Ridge()), {"vaeimputer__max_iter": np.array([1, 2])}, cv=2
    ).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_columns_are_transformed_beside_others():
    X = mixed()[["text", "number", "half"]]
    transformer = ColumnTransformer(
        [("numbers", quick(), ["half", "number"]), ("texts", quick(), ["text"])]
    ).set_output(transform="pandas")
    filled = transformer.fit_transform(X)
    assert filled.columns.tolist() == ["numbers__half", "numbers__number", "texts__text"]
    assert filled.index.equals(X.index)
    assert filled.notna().all(axis=None)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_output_is_of_the_library_that_was_asked_for(library):
    X = table()
    imputer = quick(add_indicator=True).set_output(transform=library)
    filled = imputer.fit_transform(X)
    assert type(filled).__module__.split(".")[0] == library
    assert list(filled.columns) == imputer.get_feature_names_out().tolist()
    plain = quick(add_indicator=True).fit_transform(X)
    np.testing.assert_array_equal(filled.to_numpy(), plain)


def test_data_frames_come_back_as_they_were_with_gaps_filled():
    X = mixed()
    before = X.copy()
    imputer = quick(kinds={"share": ["bounded", 0, 1]})
    filled = imputer.fit_transform(X)
    assert_frame_equal(X, before)
    assert filled.dtypes.equals(X.dtypes)
    assert filled.index.equals(X.index)
    assert filled.notna().all(axis=None)
    assert_frame_equal(filled.where(X.notna(), X), X)
    same = pl.DataFrame(X.astype(object).where(X.notna(), None).to_dict("list"))
    assert imputer.set_output(transform="default").transform(same).schema == same.schema


def test_it_says_what_it_is():
    assert "VAEImputer" in quick()._repr_html_()
    assert get_tags(quick()).input_tags.allow_nan
    # sklearn#32312: as the sentinel, pandas' NA has no truth value.
    assert repr(VAEImputer(missing_values=pd.NA)) == "VAEImputer(missing_values=<NA>)"
    assert clone(quick(missing_values=pd.NA)).fit(mixed()).columns_.sentinel is None


def test_names_that_come_out():
    X = table()
    X[:, 1] = NAN
    imputer = quick(add_indicator=True).fit(X)
    names = ["x0", "x2", "missingindicator_x0", "missingindicator_x1", "missingindicator_x2"]
    assert imputer.get_feature_names_out().tolist() == names
    assert imputer.get_feature_names_out(["a", "b", "c"]).tolist()[:3] == [
        "a",
        "c",
        "missingindicator_a",
    ]
    with pytest.raises(ValueError, match="input_features should have length"):
        imputer.get_feature_names_out(["a"])
    imputer.fit(pd.DataFrame(X, columns=list("abc")))
    with pytest.raises(ValueError, match="input_features is not equal"):
        imputer.get_feature_names_out(["a", "c", "b"])


def test_seeds():
    X = table()

    def fills(state):
        imputer = quick(random_state=state).fit(X)
        return imputer.transform(X).tobytes(), imputer.sample(X, 2).tobytes()

    assert fills(0) == fills(np.int64(0))
    assert all(first != second for first, second in zip(fills(0), fills(1), strict=True))
    assert fills(np.random.RandomState(3)) == fills(np.random.RandomState(3))
    state = np.random.RandomState(3)
    assert fills(state) != fills(state)
    imputer = quick(random_state=None).fit(X)
    assert imputer.sample(X, 2).tobytes() == imputer.sample(X, 2).tobytes()


def test_progress_goes_to_stderr(capsys):
    imputer = quick(max_iter=60).fit(table())
    assert capsys.readouterr() == ("", "")
    quick(max_iter=60, verbose=1).fit(table())
    out, err = capsys.readouterr()
    assert out == ""
    assert "VAEImputer" in err
    assert "held_out=" in err
    steps, losses, held_out = np.array(imputer.loss_curve_).T
    assert (np.diff(steps) > 0).all()
    assert np.isfinite([losses, held_out]).all()
    assert imputer.n_iter_ == steps[-1] <= 60


# What is filled in


def test_fit_and_transform_are_one_thing_in_two_steps():
    X = table()
    assert quick().fit_transform(X).tobytes() == quick().fit(X).transform(X).tobytes()


@pytest.mark.parametrize("setting", [{}, {"likelihood": "student_t"}, {"experts": "thorough"}])
def test_new_rows_are_filled_whatever_is_missing(setting):
    X = table()
    X[:, 0] = np.nan_to_num(X[:, 0])  # complete when fitted, MissForest#22
    imputer = quick(**setting).fit(X)
    new = table(9, gaps=0.5, seed=1)
    new[0], new[1] = NAN, [NAN, 11, NAN]
    filled = imputer.transform(new)
    check_filled(new, filled, lower=np.nanmin(X, 0), upper=np.nanmax(X, 0))
    # A row does not depend on those beside it (autoimpute#85), nor on their order.
    alone = np.vstack([imputer.transform(row[np.newaxis]) for row in new])
    np.testing.assert_allclose(alone, filled, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(imputer.transform(new[::-1])[::-1], filled, rtol=1e-6, atol=1e-6)


def test_linear_dependence_is_found():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 1))
    X = np.hstack([x, 1 - 2 * x, 3 * x]) + 0.01 * rng.normal(size=(300, 3))
    holes = X.copy()
    holes[:100, 1] = NAN
    filled = quick().fit_transform(holes)
    assert np.abs(filled - X)[:100, 1].mean() < 0.1


def test_intervals_and_draws_are_of_one_law():
    X = table(200)
    imputer = quick().fit(X)
    new = table(8, gaps=0.4, seed=1)
    missing = np.isnan(new)
    lower, upper = imputer.interval(new, 0.8)
    draws = imputer.sample(new, 3000)
    assert draws.shape == (3000, 8, 3)
    for filled in (lower, upper, *draws[:50]):
        check_filled(new, filled, lower=np.nanmin(X, 0), upper=np.nanmax(X, 0))
    assert (lower <= upper).all()
    guess = imputer.transform(new)
    assert ((lower <= guess) & (guess <= upper)).mean() > 0.95
    low, high = np.quantile(draws, [0.1, 0.9], axis=0)
    width = (upper - lower)[missing]
    np.testing.assert_allclose((low - lower)[missing] / width, 0, atol=0.1)
    np.testing.assert_allclose((high - upper)[missing] / width, 0, atol=0.1)
    wider = imputer.interval(new, 0.95)
    assert (wider[0] <= lower).all()
    assert (wider[1] >= upper).all()
    once = copy.copy(imputer).set_params(sample_posterior=True).transform(new)
    np.testing.assert_array_equal(once, imputer.sample(new, 1)[0])


def test_categories_are_drawn_with_their_probabilities():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {"x": rng.normal(size=400), "text": rng.choice(["a", "b", "c"], 400, p=[0.6, 0.3, 0.1])}
    )
    X.loc[:40, "text"] = None
    imputer = quick().fit(X)
    draws = imputer.sample(X[:40], 200)
    found = pd.concat([draw.text for draw in draws]).value_counts(normalize=True)
    np.testing.assert_allclose(found[["a", "b", "c"]], [0.6, 0.3, 0.1], atol=0.06)
    lower, upper = imputer.interval(X[:40])
    assert_frame_equal(lower, upper)


def test_scores_tell_strange_rows_from_ordinary_ones():
    X = table(300)
    imputer = quick().fit(X)
    ordinary, strange, nothing = imputer.score_samples(
        [[0, 10, 0], [3, 6, 0], [NAN, NAN, NAN]],
    )
    assert strange < ordinary - 3
    assert nothing == pytest.approx(0, abs=1e-9)
    # In own units: a column in thousandths has a density a thousand times as high.
    scaled = quick().fit(X / [1, 1, 1000]).score_samples([[0, 10, 0]])
    assert scaled - ordinary == pytest.approx(np.log(1000), abs=0.2)


def test_indicators_are_the_same_at_every_transform():
    # sklearn#26590
    X = table()
    X[:, 1] = 5
    imputer = quick(add_indicator=True).fit(X)
    for rows in (X, np.ones((2, 3)), np.full((1, 3), NAN)):
        filled = imputer.transform(rows)
        assert filled.shape == (len(rows), 5)
        np.testing.assert_array_equal(filled[:, 3:], np.isnan(rows)[:, [0, 2]])
    texts = np.array([["a", "?"], ["b", "x"], ["a", "y"]] * 9)
    filled = quick(missing_values="?", add_indicator=True).fit_transform(texts)
    assert filled[:, 2].tolist() == [True, False, False] * 9
    taken = pd.DataFrame(X, columns=["a", "b", "missingindicator_a"])
    with pytest.raises(InputError, match="'missingindicator_a', a column to append, is there"):
        quick(add_indicator=True).fit_transform(taken)


def test_empty_columns_change_nothing_in_others():
    # sklearn#29375, TabPFN#108
    X = np.insert(table(), 1, NAN, axis=1)
    kept = quick(keep_empty_features=True).fit_transform(X)
    np.testing.assert_array_equal(kept[:, [0, 2, 3]], quick().fit_transform(X))
    np.testing.assert_array_equal(kept[:, [0, 2, 3]], quick().fit_transform(table()))
    assert (kept[:, 1] == 0).all()


@pytest.mark.parametrize("sentinel", [-1, -999.25, "?"])
def test_sentinels_are_seen_as_gaps_are(sentinel):
    # Time-Series-Library#819: what stands in missing cells teaches nothing.
    X = table()
    marked = X.astype(object) if isinstance(sentinel, str) else X.copy()
    marked[np.isnan(X)] = sentinel
    filled = quick(missing_values=sentinel).fit_transform(marked)
    assert filled.astype(float).tobytes() == quick().fit_transform(X).tobytes()
    whole = np.where(np.isnan(X), -1, np.nan_to_num(X).round().clip(0)).astype(np.int16)
    filled = quick(missing_values=-1).fit_transform(whole)
    assert filled.dtype == np.int16
    assert (filled >= 0).all()


def test_categories_that_come_and_go():
    X = mixed()
    imputer = quick().fit(X)
    few = X.assign(text="a")[:3]  # miceforest#82
    assert (imputer.transform(few).text == "a").all()
    new = X.assign(text="z", number=NAN)[:3]
    for fill in (imputer.transform, imputer.sample, imputer.score_samples):
        with pytest.warns(UserWarning, match="column 'text': z: taken as missing") as caught:
            filled = fill(new)
        assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="taken as missing"):
        filled = imputer.transform(new)
    assert filled.text.isin(["a", "b", "c"]).all()
    with pytest.raises(InputError, match="categories that were not there at fit"):
        imputer.set_params(unseen="error").transform(new)


# Bad data


def lonely(X):
    X[1:, 0] = NAN
    X[0, 0] = 5


def rare(X):
    X[2:, 0] = NAN
    X[:2, 0] = 1, 2


def columns_of_zeros_and_ones(X):
    X[:] = np.eye(3)[np.nan_to_num(X).astype(int)[:, 0] % 3]
    X[::4] = NAN


BAD = {
    "rows of gaps": lambda X: X.__setitem__([3, 7], NAN),
    "a column of gaps": lambda X: X.__setitem__(np.s_[:, 1], NAN),
    "nothing but gaps": lambda X: X.__setitem__(np.s_[:], NAN),
    "no gap": lambda X: X.__setitem__(np.isnan(X), 1),
    "a constant column, gcimpute#4": lambda X: X.__setitem__(np.s_[5:, 1], 4.2),
    "constants": lambda X: X.__setitem__(~np.isnan(X), -3),
    "one cell in a column": lonely,
    "PyPOTS#820, two cells in a column": rare,
    "fancyimpute#96, large": lambda X: X.__imul__(2.6e6),
    "1e30": lambda X: X.__imul__(1e30),
    "1e-30": lambda X: X.__imul__(1e-30),
    "1e300": lambda X: X.__imul__(1e300),
    "all scales": lambda X: X.__imul__([1e-300, 1, 1e300]),
    "an offset": lambda X: X.__iadd__(1e15),
    "hardly different": lambda X: (X.__imul__(1e-12), X.__iadd__(1)),
    "an outlier": lambda X: X.__setitem__((0, 0), 1e200),
    "twice the same column": lambda X: X.__setitem__(np.s_[:, 1], X[:, 0]),
    "collinear": lambda X: X.__setitem__(np.s_[:, 2], X[:, 0] + 2 * X[:, 1]),
    "one-hot": columns_of_zeros_and_ones,
    "one row": lambda X: X.resize((1, 3), refcheck=False),
    "two rows": lambda X: X.resize((2, 3), refcheck=False),
    "one column": lambda X: X.resize((30, 1), refcheck=False),
    "wider than long": lambda X: X.resize((4, 20), refcheck=False),
}


ROBUST = ("constants", "one cell in a column", "1e300", "all scales", "an outlier", "two rows")


@pytest.mark.parametrize(
    ("name", "likelihood"),
    [*((name, "gaussian") for name in BAD), *((name, "student_t") for name in ROBUST)],
)
def test_bad_tables_are_filled(name, likelihood):
    X = table(30)
    BAD[name](X)
    imputer = quick(likelihood=likelihood, keep_empty_features=True).fit(X)
    for filled in (imputer.transform(X), *imputer.interval(X), *imputer.sample(X, 2)):
        check_filled(X, filled)
    assert np.isfinite(imputer.score_samples(X)).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, object])
def test_arrays_of_every_make(dtype):
    X = table().astype(dtype)
    filled = quick().fit_transform(X)
    assert filled.dtype == dtype
    check_filled(X, filled)
    kept = X.copy()
    kept.flags.writeable = False
    for same in (kept, np.asfortranarray(X), X.repeat(2, axis=0)[::2]):
        assert quick().fit_transform(same).tolist() == filled.tolist()


def test_arrays_on_disk(tmp_path):
    X = table()
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    np.testing.assert_array_equal(quick().fit_transform(mapped), quick().fit_transform(X))


def test_large_tables_are_summed_in_double_precision():
    # sklearn#12333: a running sum in float32 would be off by several units here.
    X = np.random.default_rng(0).normal(20_000, 1, (3000, 2)).astype(np.float32)
    filled = quick().fit(X).transform(np.full((1, 2), NAN, dtype=np.float32))
    np.testing.assert_allclose(filled[0], X.mean(0, dtype=float), atol=0.2)


def test_numbers_beside_text_in_a_list_stay_numbers():
    X = [[1, "a"], [2, "b"], [4, None]] * 5
    assert quick().fit_transform(X).tolist()[0] == [1, "a"]
    assert quick().fit(X[:2] * 5).columns_.columns[0].kind == "count"


FRAME = pd.DataFrame(table(), columns=["a", "b", "c"])
REFUSED = {
    "sparse": (csr_matrix(np.eye(4)), TypeError, "Sparse data was passed"),
    "masked": (np.ma.masked_array(np.ones((3, 2)), np.eye(3, 2)), InputError, "a masked array"),
    "ragged": ([[1, 2], [3]], InputError, "rows of different lengths"),
    "one dimension": ([1, 2], InputError, "Expected 2D array, got 1D list"),
    "series": (FRAME.a, InputError, "Expected 2D array, got 1D Series"),
    "lazy": (pl.LazyFrame({"a": [1]}), InputError, "got 0D LazyFrame"),
    "no rows": (FRAME[:0], InputError, r"a data frame of shape \(0, 3\)"),
    "no columns": (FRAME[[]], InputError, r"a data frame of shape \(60, 0\)"),
    "no rows at all": (np.ones((0, 2)), ValueError, r"Found array with 0 sample\(s\)"),
    "infinite": ([[1, np.inf], [2, 3]], InputError, "column 1, row 0: infinity"),
    "infinite number": (FRAME.fillna(-np.inf), InputError, "column 'a', row .*: infinity"),
    "dates": (FRAME.assign(a=pd.Timestamp(0)), InputError, "column 'a', dtype datetime64"),
    "complex": (np.ones((3, 2)) + 1j, ValueError, "Complex data not supported"),
    "two names alike": (FRAME.set_axis(["a", "b", "a"], axis=1), InputError, "called 'a'"),
    "names of two types": (FRAME.set_axis(["a", 1, 2], axis=1), TypeError, "only supported if"),
    "names of rows": (
        pd.DataFrame({"a": [str(n) for n in range(40)]}),
        InputError,
        "40 categories in 40 cells",
    ),
}


@pytest.mark.parametrize(("X", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_a_table_that_cannot_be_learned_from_is_refused(X, error, message):
    with pytest.raises(error, match=message):
        quick().fit(X)


UNLIKE = {
    "order": (lambda X: X[["b", "a", "c"]], "must be in the same order"),
    "names": (lambda X: X.rename(columns={"a": "z"}), "unseen at fit time"),
    "number": (lambda X: X[["a", "b"]], "seen at fit time, yet now missing"),
    "text": (lambda X: X.assign(a="x"), "column 'a': text such as x where numbers stood"),
    "infinite": (lambda X: X.fillna(np.inf), "column 'a', row .*: infinity"),
    "no rows": (lambda X: X[:0], "a data frame of shape"),
}


@pytest.mark.parametrize(("change", "message"), UNLIKE.values(), ids=UNLIKE)
@pytest.mark.parametrize("method", ["transform", "sample", "interval", "score_samples"])
def test_a_table_unlike_the_fitted_one_is_refused(fitted, method, change, message):
    with pytest.raises(ValueError, match=message):
        getattr(fitted, method)(change(FRAME))


@pytest.fixture(scope="module")
def fitted(few_masks):
    return quick().fit(FRAME)


def test_other_rows_than_those_of_the_fit(fitted):
    # MissForest#38 and #26: an index of its own, fewer rows.
    few = FRAME.iloc[[7, 3]]
    assert fitted.transform(few).index.tolist() == [7, 3]
    assert fitted.transform(FRAME.astype(np.float32)).dtypes.eq(np.float32).all()
    with pytest.raises(ValueError, match="X has 2 features, but VAEImputer is expecting 3"):
        quick().fit(table()).transform(np.ones((4, 2)))
    numbered = FRAME.set_axis([2, 1, 0], axis=1)
    imputer = quick().fit(numbered)
    assert imputer.transform(numbered).columns.tolist() == [2, 1, 0]
    with pytest.raises(InputError, match="columns in another order than at fit: 0 where 2 was"):
        imputer.transform(numbered[[0, 1, 2]])


WRONG = {
    "experts": "slow",
    "prior": None,
    "likelihood": "poisson",
    "unseen": 1,
    "device": "gpu",
    "df": 0.1,
    "n_latents": 0.5,
    "max_iter": 0,
    "validation_fraction": NAN,
    "max_samples": 1,
    "hidden": 96,
    "kinds": ["count"],
    "missing_values": [1],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *WRONG.items(),
        ("max_iter", 2.5),
        ("max_iter", True),
        ("df", "5"),
        ("hidden", ()),
        ("hidden", (8.5,)),
        ("hidden", "ab"),
    ],
)
def test_a_setting_out_of_range_is_refused_in_one_line(name, value):
    with pytest.raises(InputError, match=f"^{name} = .*: must ") as caught:
        quick(**{name: value}).fit(FRAME)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [0, 2.5, "3", None, True])
def test_a_number_of_draws_out_of_range_is_refused(fitted, value):
    with pytest.raises(InputError, match=r"n_draws = .*: must be a whole number from 1"):
        fitted.sample(FRAME, value)


def test_draws_of_pieces_are_those_of_the_whole(fitted):
    rows = pd.DataFrame(table(2 * completion.BLOCK, seed=1), columns=["a", "b", "c"])
    start = completion.BLOCK
    whole = fitted.sample(rows, 2)
    piece = fitted.sample(rows[start:], 2, first_row=start)
    for all_rows, last in zip(whole, piece, strict=True):
        assert_frame_equal(all_rows[start:], last, check_exact=True)
    assert not fitted.sample(rows[start:], 1, part=1)[0].equals(fitted.sample(rows[start:], 1)[0])
    guess, *bounds = fitted.fill(rows, level=0.8)
    assert_frame_equal(guess, fitted.transform(rows), check_exact=True)
    *drawn, lower, upper = fitted.fill(rows, n_draws=2, level=0.8)
    for first, second in zip([*bounds, *whole], [lower, upper, *drawn], strict=True):
        assert_frame_equal(first, second, check_exact=True)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ({"first_row": 1000}, "first_row = 1000: must be a multiple of 1024"),
        ({"first_row": -1024}, "first_row = -1024: must be a whole number from 0"),
        ({"part": 0.5}, "part = 0.5: must be a whole number from 0"),
    ],
)
def test_a_place_that_is_none_is_refused(fitted, place, message):
    with pytest.raises(InputError, match=message):
        fitted.sample(FRAME, 1, **place)


@pytest.mark.parametrize("value", [0, 1, "0.9", None, NAN])
def test_a_level_out_of_range_is_refused(fitted, value):
    with pytest.raises(InputError, match=r"level = .*: must lie between 0 and 1"):
        fitted.interval(FRAME, value)


@st.composite
def arrays(draw):
    """Tables of columns of unlike scales, some constant, some empty, some alike."""
    n, p = draw(st.integers(1, 9)), draw(st.integers(1, 4))
    dtype = draw(st.sampled_from([np.float64, np.float32]))
    largest = 250 if dtype == np.float64 else 30
    values = draw(hnp.arrays(np.int8, (n, p))).astype(np.float64)
    scales = st.integers(-largest, largest).map(lambda power: 10.0**power)
    values *= draw(hnp.arrays(np.float64, p, elements=scales))
    values[:, draw(hnp.arrays(bool, p))] = draw(st.sampled_from([NAN, 0, 1, -7]))
    values[:, -1] = values[:, draw(st.integers(0, p - 1))]
    X = values.astype(dtype, order=draw(st.sampled_from("CF")))
    X[draw(hnp.arrays(bool, (n, p)))] = NAN
    X.flags.writeable = False
    return X


@given(arrays(), st.sampled_from(["gaussian", "student_t"]), st.permutations(range(9)))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_any_array_is_filled(X, likelihood, order):
    imputer = quick(max_iter=2, likelihood=likelihood, keep_empty_features=True).fit(X)
    filled = imputer.transform(X)
    assert filled.dtype == X.dtype
    for result in (filled, *imputer.interval(X), *imputer.sample(X, 1)):
        check_filled(X, result)
    order = [row for row in order if row < len(X)]
    scale = np.abs(filled).max(0) + np.finfo(X.dtype).tiny
    again = imputer.transform(X[order])
    np.testing.assert_allclose(again / scale, filled[order] / scale, atol=1e-5)


COLUMNS = {
    "number": st.floats(-9, 9),
    "count": st.integers(0, 9),
    "flag": st.booleans(),
    "text": st.sampled_from(["a", "b", "", "ü"]),
    "level": st.sampled_from(["S", "M"]),
}
DTYPES = {
    "number": "float64",
    "count": "Int64",
    "flag": "boolean",
    "text": "str",
    "level": pd.CategoricalDtype(["S", "M", "L"], ordered=True),
}


@given(st.data(), st.integers(1, 8), st.sets(st.sampled_from(sorted(COLUMNS)), min_size=1))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_any_data_frame_is_filled(data, n, names):
    cells = {name: st.lists(st.none() | COLUMNS[name], min_size=n, max_size=n) for name in names}
    X = pd.DataFrame(
        {name: pd.Series(data.draw(cells[name]), dtype=DTYPES[name]) for name in names}
    )
    X.index = X.index[::-1]
    imputer = quick(max_iter=2).fit(X)
    kept = X[imputer.get_feature_names_out()]
    for filled in (imputer.transform(X), *imputer.interval(X), *imputer.sample(X, 1)):
        assert filled.columns.equals(kept.columns)
        assert filled.index.equals(X.index)
        assert filled.dtypes.equals(kept.dtypes)
        assert filled.notna().all(axis=None)
        assert_frame_equal(filled.where(kept.notna(), kept), kept)
        for name in filled:
            assert set(filled[name]) <= set(kept[name].dropna()) or name in ("number", "count")
            if name in ("number", "count"):
                assert filled[name].between(kept[name].min(), kept[name].max()).all()


# Files

SAVED = {
    "numbers": (table, {}),
    "pandas' NA": (mixed, {"missing_values": pd.NA}),
    "every kind": (mixed, {"kinds": {"share": ("bounded", 0, 1)}, "add_indicator": True}),
    "thorough": (lambda: mixed(30), {"experts": "thorough", "hidden": np.array([8, 8])}),
    "robust": (table, {"likelihood": "student_t", "prior": "student_t", "df": np.float64(4)}),
    "no gap": (lambda: table(gaps=0), {"random_state": np.random.RandomState(0)}),
    "nothing but gaps": (lambda: table(gaps=1), {"keep_empty_features": True}),
    "sentinel": (lambda: np.nan_to_num(table(), nan=-1), {"missing_values": np.int64(-1)}),
}


def same(first, second):
    if isinstance(first, pd.DataFrame):
        assert_frame_equal(first, second, check_exact=True)
    else:
        np.testing.assert_array_equal(first, second, strict=True)


@pytest.mark.parametrize(("make", "setting"), SAVED.values(), ids=SAVED)
def test_a_file_gives_the_imputer_back(make, setting, tmp_path):
    X = make()
    imputer = quick(**setting).fit(X)
    imputer.save(tmp_path / "imputer")
    again = VAEImputer.load(tmp_path / "imputer")
    same(imputer.transform(X), again.transform(X))
    same(imputer.score_samples(X), again.score_samples(X))
    for first, second in zip(imputer.sample(X, 2), again.sample(X, 2), strict=True):
        same(first, second)
    for first, second in zip(imputer.interval(X), again.interval(X), strict=True):
        same(first, second)
    assert again.get_feature_names_out().tolist() == imputer.get_feature_names_out().tolist()
    assert again.loss_curve_ == imputer.loss_curve_
    # It can be fitted anew, to the same.
    if isinstance(imputer.random_state, int):
        same(again.fit(X).transform(X), imputer.transform(X))
    # safetensors#584: the bytes are the same whenever and wherever they are written.
    imputer.save(tmp_path / "twice")
    VAEImputer.load(tmp_path / "twice").save(tmp_path / "thrice")
    written = {(tmp_path / name).read_bytes() for name in ("imputer", "twice", "thrice")}
    assert len(written) == 1


def test_a_file_holds_tensors_and_json_and_nothing_else(fitted, tmp_path):
    fitted.save(tmp_path / "imputer")
    content = (tmp_path / "imputer").read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    assert list(header.pop("__metadata__")) == ["imputer"]
    ends = [entry["data_offsets"][1] for entry in header.values()]
    assert max(ends) == len(content) - 8 - length


def test_settings_in_a_file_win_over_new_defaults(fitted, tmp_path, monkeypatch):
    # PyPOTS#650
    fitted.save(tmp_path / "imputer")
    defaults = VAEImputer.__init__.__kwdefaults__
    changed = {"max_iter": 7, "df": 9.0, "hidden": (5,), "add_indicator": True, "unseen": "error"}
    monkeypatch.setattr(VAEImputer.__init__, "__kwdefaults__", defaults | changed)
    assert VAEImputer().max_iter == 7
    again = VAEImputer.load(tmp_path / "imputer")
    expected = fitted.get_params()
    assert {name: value for name, value in again.get_params().items() if value == value} == {
        name: value for name, value in expected.items() if value == value
    }


def forge(path, change):
    """Change what a file says, and leave its tensors."""
    with safetensors.safe_open(path, framework="pt") as file:
        state = json.loads(file.metadata()["imputer"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(state)
    path.write_bytes(safetensors.torch.save(tensors, {"imputer": json.dumps(state)}))


FORGED = {
    "newer": (lambda state: state.update(version=2), "written by a newer vaefill .format 2"),
    "no version": (lambda state: state.pop("version"), "version"),
    "unknown part": (lambda state: state["completion"].update(part="os.system"), "os.system"),
    "no part": (lambda state: state["completion"].pop("part"), "part"),
    "part of parts": (lambda state: state["completion"].update(part=["Standard"]), "unhashable"),
    "another part": (
        lambda state: state.update(completion=state["completion"]["standard"]),
        "Standard where",
    ),
    "no tensor": (
        lambda state: state["completion"].update(weights={"tensor": "elsewhere"}),
        "elsewhere",
    ),
    "unknown field": (lambda state: state["completion"].update(evil=1), "evil"),
    "lacking field": (lambda state: state["completion"].pop("slots"), "slots"),
    "unknown setting": (lambda state: state["settings"].update(evil=1), "evil"),
    "wrong setting": (lambda state: state["settings"].update(experts="evil"), "experts = 'evil'"),
    "no seed": (lambda state: state["fitted"].pop("seed_"), "seed_"),
    "unknown column": (lambda state: state["columns"]["columns"][0].update(evil=1), "evil"),
    "no columns": (lambda state: state.pop("columns"), "columns"),
}


@pytest.mark.parametrize(("change", "message"), FORGED.values(), ids=FORGED)
def test_a_file_that_says_something_else_is_refused_in_one_line(fitted, change, message, tmp_path):
    path = tmp_path / "imputer"
    fitted.save(path)
    forge(path, lambda state: None)
    VAEImputer.load(path)
    forge(path, change)
    with pytest.raises(FileError, match=message) as caught:
        VAEImputer.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_a_file_adds_to_a_fit_is_not_taken(fitted, tmp_path):
    fitted.save(tmp_path / "imputer")
    forge(tmp_path / "imputer", lambda state: state["fitted"].update(transform="evil"))
    assert callable(VAEImputer.load(tmp_path / "imputer").transform)


def test_a_file_that_is_damaged_or_foreign_is_refused_in_one_line(fitted, tmp_path):
    path = tmp_path / "imputer"
    with pytest.raises(FileError, match="no such file"):
        VAEImputer.load(path)
    with pytest.raises(FileError, match="not an imputer or model"):
        VAEImputer.load(tmp_path)
    fitted.save(path)
    whole = path.read_bytes()
    for content in (b"", b"text, not tensors", whole[:5], whole[:200], whole[:-1]):
        path.write_bytes(content)
        with pytest.raises(FileError, match="not an imputer or model") as caught:
            VAEImputer.load(path)
        assert "\n" not in str(caught.value)
    for metadata in (None, {"imputer": "{"}, {"imputer": "[" * 9999}, {"architecture": "{}"}):
        path.write_bytes(safetensors.torch.save({}, metadata))
        with pytest.raises(FileError, match="not a"):
            VAEImputer.load(path)


def test_a_fit_takes_one_thread_and_gives_the_others_back(monkeypatch):
    seen = []
    fit = imputer_module.fit_completion
    monkeypatch.setattr(
        imputer_module,
        "fit_completion",
        lambda *args, **kwargs: seen.append(torch.get_num_threads()) or fit(*args, **kwargs),
    )
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        VAEImputer(max_iter=2, random_state=0).fit(np.random.default_rng(0).random((20, 3)))
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)


def test_a_column_of_one_boolean_is_filled_with_it():
    flag = pd.array([None, None, True, None, None, True, True, True], dtype="boolean")
    text = [None, "S", "S", *[None] * 5]
    X = pd.DataFrame({"flag": flag, "number": [0.0, *[np.nan] * 7], "text": text})
    imputer = quick(max_iter=2).fit(X)
    assert imputer.completion_.quantiles.knots.isfinite().all()
    for filled in (imputer.transform(X), *imputer.interval(X), *imputer.sample(X, 2)):
        assert filled["flag"].all()
        assert (filled["number"] == 0).all()
        assert (filled["text"] == "S").all()


def test_gaps_are_filled_in_one_thread_and_the_others_given_back(monkeypatch):
    table = np.arange(60.0).reshape(20, 3)
    table[::4, 1] = np.nan
    imputer = VAEImputer(max_iter=2, random_state=0).fit(table)
    complete, seen = type(imputer.completion_).complete, []

    def watched(*args, **options):
        seen.append(torch.get_num_threads())
        return complete(*args, **options)

    monkeypatch.setattr(type(imputer.completion_), "complete", watched)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        imputer.transform(table)
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(threads)
