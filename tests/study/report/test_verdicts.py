"""Differences over seeds, and the words for them."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from study.report.verdicts import WORDS, compare, detectable, paired, spread, verdict

BETTER, WORSE, SAME, UNKNOWN = WORDS
GAUSS, T = np.array([3.0, 1.0, 2.0, 2.5]), np.array([2.0, 1.5, 1.0, 2.25])


@pytest.mark.parametrize(
    ("metric", "low", "high", "word"),
    [
        ("mse", -2, -1, BETTER),
        ("mse", 1, 2, WORSE),
        ("elbo", 1, 2, BETTER),
        ("ssim/square/imputation", -2, -1, WORSE),
        ("mse", -1, 1, SAME),
        ("mse", 0, 1, SAME),
        ("mse", np.nan, np.nan, UNKNOWN),
    ],
)
def test_a_direction_only_where_the_interval_excludes_0(metric, low, high, word):
    assert verdict(metric, low, high) == word


def test_compare_is_the_paired_t_test():
    found = compare(GAUSS, T)
    reference = stats.ttest_rel(T, GAUSS).confidence_interval()
    assert (found["low"], found["high"]) == pytest.approx(tuple(reference))
    own = stats.t.interval(0.95, 3, GAUSS.mean(), GAUSS.std(ddof=1) / 2)
    assert found["reference_half"] == pytest.approx((own[1] - own[0]) / 2)
    assert found["sd"] == pytest.approx(np.std(T - GAUSS, ddof=1))
    assert found["n"] == 4


def test_one_seed_has_no_interval():
    found = compare([1.0], [2.0])
    assert found["diff"] == 1
    assert np.isnan([found["low"], found["high"], found["sd"], found["other_half"]]).all()


def scores(drop=()):
    rows = [
        (metric, model, seed, factor * value)
        for metric, factor in (("b", 1.0), ("a", 10.0))
        for model, values in (("t", T), ("gauss", GAUSS))
        for seed, value in enumerate(values)
        if (metric, model, seed) not in drop
    ]
    return pd.DataFrame(rows, columns=["metric", "model", "seed", "value"])


def test_paired_by_seed_in_order_of_appearance():
    found = paired(scores(), ["metric"])
    assert found.metric.tolist() == ["b", "a"]
    assert found.iloc[0][list(compare(GAUSS, T))].to_dict() == compare(GAUSS, T)
    assert found.iloc[1]["diff"] == pytest.approx(10 * found.iloc[0]["diff"])


def test_only_seeds_that_both_have_count():
    found = paired(scores(drop={("a", "t", 0), ("a", "gauss", 2)}), ["metric"])
    assert found.seeds.tolist() == [(0, 1, 2, 3), (1, 3)]
    expected = compare(10 * GAUSS[[1, 3]], 10 * T[[1, 3]])
    assert found.iloc[1][list(expected)].to_dict() == expected


def test_nothing_in_common_is_an_empty_frame():
    found = paired(scores(), ["metric"], sides=("gauss", "vae"))
    assert found.empty
    assert {"metric", "diff", "low", "high", "seeds"} <= set(found)


def held(differences, claim):
    found = compare(np.zeros(len(differences)), differences)
    return spread([claim], [found["diff"]], [found["sd"]], [found["n"]])[:, 0]


def test_the_chance_of_a_pair_has_a_closed_form_for_two_seeds():
    """One degree of freedom is Cauchy's distribution: P(T > x) = 1/2 - atan(x) / pi."""
    distance, chance = found = held([-1.0, 1.0], 3.0)
    assert distance == pytest.approx(3 / math.sqrt(2))
    x = 3 / math.sqrt(2) / math.sqrt(1.5)
    assert chance == pytest.approx(0.5 - math.atan(x) / math.pi)
    assert held([1.0, -1.0], -3.0) == pytest.approx(found)  # lower may be better
    assert tuple(held([3.0, 3.0], 1.0)) == (math.inf, 1)
    assert tuple(held([0.0, 0.0], -1.0)) == (math.inf, 0)


def test_pairs_go_as_far_as_often_as_the_chance_says():
    """Of differences that are normal, the chance of the next one is uniform."""
    draws = np.random.default_rng(0).normal(7, 2, size=(1000, 6))
    first, last = draws[:, :5], draws[:, 5]
    chances = spread(last, first.mean(1), first.std(1, ddof=1), np.full(1000, 5))[1]
    assert stats.kstest(chances, "uniform").pvalue > 0.01


def test_a_detectable_difference_is_found_as_often_as_promised():
    rng = np.random.default_rng(0)
    for n in (3, 5, 10):
        size = detectable(2.0, n)
        runs = rng.normal(size, 2.0, (20_000, n))
        found = stats.ttest_1samp(runs, 0, axis=1).pvalue < 0.05
        assert found.mean() == pytest.approx(0.8, abs=0.01)
    assert detectable(0.0, 5) == 0
    assert np.isnan(detectable(1.0, 1))
