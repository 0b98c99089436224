"""Scores by hand, and what an honest imputer reaches."""

import numpy as np
import pytest
from scipy import stats

from study.tables.scoring import Filled, regression_r2, score


def test_scores_are_means_over_columns_by_hand():
    truth = np.array([[0.0, 0.0, 5.0], [0.0, 1.0, 5.0], [2.0, 1.0, 5.0]])
    missing = np.array([[True, False, False], [True, True, False], [False, False, False]])
    values = np.array([[3.0, 9.0, 9.0], [-4.0, 0.5, 9.0], [9.0, 9.0, 9.0]])
    low, high = values - 3.5, values + 3.5
    found = score(truth, missing, Filled(values, (low, high)))
    # Column 1 errs by 3 and 4, column 2 by 0.5; column 3 misses nothing.
    assert found == pytest.approx(
        {"rmse": (12.5**0.5 + 0.5) / 2, "mae": (3.5 + 0.5) / 2, "coverage": 0.75, "width": 7}
    )


def test_draws_of_the_truths_own_law_cover_nine_in_ten_and_have_the_crps_of_a_normal():
    rng = np.random.default_rng(0)
    mean = rng.standard_normal((4000, 3))
    truth = mean + rng.standard_normal(mean.shape)
    draws = mean + rng.standard_normal((19, *mean.shape))
    found = score(truth, np.ones(mean.shape, bool), Filled(mean, draws=draws))
    assert found["coverage"] == pytest.approx(0.9, abs=0.01)
    assert found["crps"] == pytest.approx(1 / np.sqrt(np.pi), abs=0.02)
    # Expectation of the range of 19 standard normals.
    expected = 2 * stats.order_statistic(stats.Normal(), r=19, n=19).mean()
    assert found["width"] == pytest.approx(expected, abs=0.02)


def test_few_draws_give_no_interval():
    draws = np.zeros((5, 4, 2))
    found = score(np.ones((4, 2)), np.ones((4, 2), bool), Filled(draws[0], draws=draws))
    assert set(found) == {"rmse", "mae", "crps"}


def test_a_regression_learns_from_filled_rows_and_is_tested_on_true_ones():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 2))
    truth = np.c_[x, x @ [2.0, -1.0]]
    assert regression_r2(truth, truth, 0) > 0.999
    assert regression_r2(truth, truth * [-1, -1, 1], 0) < -2
