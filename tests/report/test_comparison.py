from dataclasses import replace

import numpy as np
import pytest
from report_tables import assessed, by_hand

from vaefill.report.comparison import compare

RNG = np.random.default_rng(0)


def test_errors_are_ratios_to_the_mean_imputer():
    comparison = compare(assessed([0.5, 1, 0.75, 0.25]))
    assert comparison.ranked == ("chained", "vaefill", "knn", "mean")
    found = {name: interval.mean for name, interval in comparison.errors.items()}
    # All are wrong in the same places: the ratio is the same in every column and resample.
    assert found == pytest.approx({"vaefill": 0.5, "mean": 1, "knn": 0.75, "chained": 0.25})
    assert comparison.errors["knn"] == pytest.approx((0.75, 0.75, 0.75))
    assert comparison.behind["knn"] == pytest.approx((0.5, 0.5, 0.5))
    assert comparison.tied == ()


def test_a_difference_of_no_account_is_a_tie():
    assert compare(assessed([0.5, 1, 0.75, 0.505])).tied == ("chained",)


def test_a_difference_that_may_be_chance_is_a_tie():
    assessment = assessed([0.5, 1, 0.75, 0.6])
    # The same size of error on average, but in other cells.
    mixed = assessment.filled["chained"] - assessment.truth
    shuffled = np.where(assessment.hidden, RNG.permuted(np.abs(mixed), axis=0), 0) * 2
    other = replace(assessment, filled=assessment.filled | {"chained": assessment.truth + shuffled})
    comparison = compare(other)
    interval = comparison.behind["chained" if comparison.best == "vaefill" else "vaefill"]
    assert interval.low < interval.mean < interval.high


def test_only_columns_with_gaps_count():
    assessment = assessed([0.5, 1, 0.75, 0.25])
    truth = assessment.truth.copy()
    truth[:, 1:] = np.nan_to_num(truth[:, 1:])
    np.testing.assert_array_equal(
        compare(replace(assessment, truth=truth)).columns, [True, False, False]
    )
    assert compare(assessed([0.5, 1, 0.75, 0.25], gap=0)).columns.all()


def test_nothing_is_said_of_few_cells():
    assert compare(by_hand()) is None
