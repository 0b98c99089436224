import numpy as np
import pytest
import torch

from study.trials.degradation import COLUMNS, Case, degradation_rows, grid, missing_mse

IMAGES = np.random.default_rng(0).random((20, 8, 8)).astype(np.float32)
TOP = Case("half-top", None, "half", {"side": "top"})
HALF = Case("random", 0.5, "random", {"fraction": 0.5})


def test_grid_lists_curves_then_the_others():
    curves = {"random": {"fraction": [0.1, 0.5]}, "square": {"size": [4]}}
    assert list(grid(curves, {"half-top": {"mechanism": "half", "side": "top"}})) == [
        Case("random", 0.1, "random", {"fraction": 0.1}),
        HALF,
        Case("square", 4, "square", {"size": 4}),
        TOP,
    ]


def test_error_is_of_the_missing_pixels_alone():
    def half_grey(x, missing):
        assert missing[:, :4].all()
        assert not missing[:, 4:].any()
        return torch.where(missing, torch.tensor(0.5), torch.tensor(9.0))

    expected = np.square(IMAGES[:, :4].astype(float) - 0.5).mean()
    assert missing_mse(half_grey, IMAGES, TOP, seed=0) == pytest.approx(expected, rel=1e-6)


def test_every_imputer_gets_the_same_missing_pixels():
    seen = []

    def look(x, missing):
        seen.append(missing)
        return x

    for _ in range(2):
        missing_mse(look, IMAGES, HALF, seed=4)
    assert torch.equal(*seen)


def test_rows_name_imputer_case_and_setting():
    def zeros(x, missing):
        return torch.zeros_like(x)

    rows = degradation_rows(("conv", "t", "draws"), zeros, IMAGES, [HALF, TOP], seed=0)
    half, top = (dict(zip(COLUMNS, row, strict=True)) for row in rows)
    assert (half["mechanism"], half["setting"]) == ("random", 0.5)
    assert (top["mechanism"], top["setting"]) == ("half-top", "")
    assert (top["recipe"], top["model"], top["method"]) == ("conv", "t", "draws")
    assert top["value"] == pytest.approx(np.square(IMAGES[:, :4].astype(float)).mean(), rel=1e-6)
