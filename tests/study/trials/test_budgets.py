"""Scores of one model by work: against the metrics of what it predicts."""

import numpy as np
import pytest
import torch
from exact import gen

from study.trials.budgets import SCORES, scores
from study.trials.degradation import grid, missing_mse
from vaefill.inference import infer
from vaefill.models import ConditionalVAE


def test_scores_are_those_of_the_single_pass():
    model = ConditionalVAE("gauss", shape=(8, 8), widths=[9, 5], latent=2, generator=gen(0))
    images = np.random.default_rng(0).random((6, 8, 8), np.float32)
    cases = list(grid({"random": {"fraction": [0.3]}, "square": {"size": [2, 5]}}, {}))
    found = list(scores(model, images, cases, seed=3, generator=gen()))
    assert [row[2:4] for row in found] == [*SCORES] * 3

    def predict(x, missing):
        return infer(model, x, missing, method="single_pass", generator=gen()).mean

    for case, rows in zip(cases, (found[:3], found[3:6], found[6:]), strict=True):
        assert {row[:2] for row in rows} == {(case.name, case.setting)}
        if case.mechanism == "square":  # as many missing in each image
            expected = missing_mse(predict, images, case, seed=3)
            assert rows[2][-1] == pytest.approx(expected, rel=1e-5)
            assert rows[0][-1] == pytest.approx(expected * case.setting**2 / 64, rel=1e-5)
        assert 0 < rows[1][-1] < 1
    again = list(scores(model, images, cases[1:], seed=3, generator=torch.Generator()))
    assert again == found[3:]
