"""Which imputer is ahead of which, by hand."""

import numpy as np
import pandas as pd
import pytest

from study.report.ranking import (
    ACCURACY,
    COVERAGE,
    MSE,
    SECONDS,
    SSIM,
    emphasised,
    leaders,
    pairs,
)


def scores(score, values):
    """Rows of one mask: `values` by imputer, then by recipe, model and seed."""
    rows = [
        {"imputer": imputer, "recipe": recipe, "model": model, "seed": seed, "value": value,
         "mechanism": "random", "region": score.region, "metric": score.metric}
        for imputer, runs in values.items() for (recipe, model, seed), value in runs.items()
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    return frame.assign(imputer=pd.Categorical(frame["imputer"], [*values], ordered=True))


G0, T0, G1 = ("a", "gauss", 0), ("a", "t", 0), ("a", "gauss", 1)
OTHER, PLAIN = ("b", "gauss", 0), ("", "", np.nan)


@pytest.mark.parametrize(
    ("score", "values", "expected"),
    [
        # The best mean leads; ahead it is only where every model says so.
        (MSE, {"x": {G0: 0.01, T0: 0.02}, "y": {G0: 0.009, T0: 0.019}}, ["y"]),
        (MSE, {"x": {G0: 0.01, T0: 0.02}, "y": {G0: 0.011, T0: 0.01}}, ["y", "x"]),
        # Of one recipe the same models are compared, across recipes every pair.
        (MSE, {"x": {G0: 0.01, T0: 0.02}, "y": {OTHER: 0.018}}, ["x", "y"]),
        (MSE, {"x": {G0: 0.01, T0: 0.02}, "y": {PLAIN: 0.021}}, ["x"]),
        (MSE, {"x": {G0: 0.01}, "y": {G1: 0.02}}, ["x", "y"]),
        # A difference that is not printed does not count.
        (MSE, {"x": {PLAIN: 0.001}, "y": {G0: 0.001004}}, ["x", "y"]),
        (MSE, {"x": {PLAIN: 0.001}, "y": {G0: 0.001006}}, ["x"]),
        (ACCURACY, {"x": {PLAIN: 0.90004}, "y": {G0: 0.9}}, ["x", "y"]),
        # Higher is better, or nearer to what was promised.
        (SSIM, {"x": {PLAIN: -0.8}, "y": {G0: 0.9}}, ["y"]),
        (COVERAGE, {"x": {PLAIN: 0.85}, "y": {G0: 0.94}}, ["y"]),
    ],
)
def test_leaders_by_hand(score, values, expected):
    assert leaders(scores(score, values), "random", score) == expected
    assert leaders(scores(score, values), "square", score) == []


def test_both_models_in_one_text():
    values = {"x": {G0: 0.01, G1: 0.03, T0: 0.04}, "y": {G0: 0.5}, "z": {PLAIN: 0.25}}
    found = pairs(scores(MSE, values), MSE)["random"]
    assert found.to_dict() == {"x": "0.02000 / 0.04000", "y": "0.50000 / –", "z": "0.25000"}


@pytest.mark.parametrize(
    ("score", "values", "expected"),
    [
        (MSE, [0.001, np.nan, 0.001004, 0.002], ["**0.00100**", "–", "**0.00100**", "0.00200"]),
        (SSIM, [0.9, 0.8], ["**0.9000**", "0.8000"]),
        (COVERAGE, [0.95, 0.88, 0.5], ["95.0", "**88.0**", "50.0"]),
        (COVERAGE._replace(best=None), [0.95, 0.88], ["95.0", "88.0"]),
        (SECONDS, [1234.0, 6.0], ["1,234", "**6**"]),
        (MSE, [np.nan], ["–"]),
    ],
)
def test_every_cell_that_reads_as_the_best_is_bold(score, values, expected):
    assert emphasised(pd.Series(values), score).tolist() == expected
