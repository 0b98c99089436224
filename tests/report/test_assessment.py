import numpy as np
import pyarrow as pa
import pytest
from report_tables import QUICK, assessed_mixed, by_hand, mixed
from sklearn.impute import KNNImputer

from vaefill.errors import InputError
from vaefill.report import trial
from vaefill.report.assessment import IMPUTERS, scores
from vaefill.report.rivals import RIVALS, complete
from vaefill.report.trial import assess

NAN = np.nan


def test_scores_of_a_case_worked_by_hand():
    assessment = by_hand()
    np.testing.assert_allclose(
        assessment.errors("knn"), [np.sqrt((0.5**2 + 1.5**2) / 2), 0.5], rtol=1e-12
    )
    # 0 lies within [0, 2], 4 not within [6, 8]; both intervals are one deviation wide.
    np.testing.assert_allclose(assessment.coverage, [0.5, NAN])
    np.testing.assert_allclose(assessment.width, [1.0, NAN])
    listed = {(s["column"], s["imputer"], s["metric"]): s["value"] for s in scores(assessment)}
    assert listed["colour", "mean", "wrong"] == 0.5
    assert listed["height", "vaefill", "coverage"] == 0.5
    assert len(listed) == 2 * 4 + 2


def test_imputers_are_scored_on_cells_that_they_did_not_see():
    table, assessment = mixed(), assessed_mixed()
    assert assessment.names == ("x", "y", "count", "colour", "nan")
    assert assessment.empty == ("nothing",)
    assert assessment.gaps["nothing"] == 300
    assert assessment.gaps["nan"] == np.isnan(table["nan"].to_numpy()).sum()
    assert not (assessment.hidden & assessment.missing).any()
    seen = ~assessment.hidden & ~assessment.missing
    assert seen.any(1).all()
    assert 0.07 < assessment.hidden.sum() / (~assessment.missing).sum() < 0.13
    for filled in (*assessment.filled.values(), assessment.drawn):
        np.testing.assert_array_equal(filled[seen], assessment.truth[seen])
        assert not np.isnan(filled).any()
        assert (filled[assessment.hidden] != assessment.truth[assessment.hidden]).any()
    # Of one cause: whoever looks at the other columns is ahead of the mean.
    errors = {name: assessment.errors(name)[:2].max() for name in IMPUTERS}
    assert max(errors["vaefill"], errors["knn"], errors["chained"]) < 0.5 * errors["mean"]


def test_mean_is_the_mean_of_what_was_shown_and_the_most_frequent_category():
    assessment = assessed_mixed()
    shown = np.where(assessment.hidden, NAN, assessment.truth)
    filled, hidden = assessment.filled["mean"], assessment.hidden
    np.testing.assert_allclose(filled[hidden[:, 0], 0], np.nanmean(shown[:, 0]))
    colours = shown[:, 3][~np.isnan(shown[:, 3])].astype(int)
    assert set(filled[hidden[:, 3], 3]) == {np.bincount(colours).argmax()}
    np.testing.assert_allclose(
        filled[hidden[:, 2], 2], np.rint(np.nanmean(shown[:, 2]))
    )  # whole numbers stay whole


def test_nearest_rows_are_those_of_the_standardised_table():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(60, 3)) * [1, 1000, 0.01]
    values[rng.random(values.shape) < 0.1] = NAN
    deviation = np.nanstd(values, axis=0)
    expected = KNNImputer().fit_transform(values / deviation) * deviation
    np.testing.assert_allclose(complete("knn", values, np.arange(3), 0), expected, rtol=1e-9)


@pytest.mark.parametrize("unit", [1e-300, 1e300])
def test_units_do_not_matter(unit):
    values = np.array([[1.0, 2.0], [2.0, 4.5], [3.0, NAN], [4.0, 8.0], [5.0, 10.0]])
    for name in RIVALS:
        found = complete(name, values * unit, np.arange(2), 0)
        np.testing.assert_allclose(found / unit, complete(name, values, np.arange(2), 0))


def test_chained_regressions_find_categories():
    # Which of three groups a row is of is seen in its number: 10, 20 or 30.
    group = np.arange(90) % 3
    values = np.column_stack([10.0 * group + 10, np.eye(3)[group]])
    values[:9, 1:] = NAN
    values[12:15, 0] = NAN
    # A straight line cannot give the middle group the largest share; it can the outer ones.
    found = complete("chained", values, np.array([0, 1, 1, 1]), 0)[:9, 1:].argmax(1)
    outer = group[:9] != 1
    np.testing.assert_array_equal(found[outer], group[:9][outer])


def test_same_seed_same_numbers_and_rows_are_drawn():
    first, second, other = (assess(mixed(), seed=s, n_rows=50, **QUICK) for s in (3, 3, 4))
    np.testing.assert_array_equal(first.filled["vaefill"], second.filled["vaefill"])
    assert first.truth.shape == (50, 5)
    assert first.n_rows == 300
    assert not np.array_equal(first.truth, other.truth, equal_nan=True)


def test_of_many_columns_those_with_most_gaps_are_looked_at(monkeypatch):
    monkeypatch.setattr(trial, "N_COLUMNS", 3)
    rng = np.random.default_rng(0)
    columns = {
        f"c{j}": pa.array(rng.normal(size=60), mask=np.arange(60) < gaps)
        for j, gaps in enumerate([5, 0, 30, 10, 10])
    }
    assessment = assess(pa.table(columns), **QUICK)
    assert assessment.names == ("c2", "c3", "c4")
    assert assessment.left_out == ("c0", "c1")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (pa.table({"a": pa.array([], pa.float64())}), "without rows"),
        (pa.table({"a": pa.nulls(5), "b": [NAN] * 5}), "nothing is observed"),
        (pa.table({"id": [f"name {i}" for i in range(90)]}), "'id'"),
    ],
)
def test_tables_without_an_answer_are_refused_in_one_line(table, words):
    with pytest.raises(InputError, match=words) as caught:
        assess(table)
    assert "\n" not in str(caught.value)
