import numpy as np
import pytest
import torch

from study.trials.degradation import Case, grid, missing_mse


def test_grid_lists_curves_then_the_others():
    cases = list(
        grid(
            {"random": {"fraction": [0.1, 0.5]}, "square": {"size": [4]}},
            {"half-top": {"mechanism": "half", "side": "top"}},
        )
    )
    assert cases == [
        Case("random", 0.1, "random", {"fraction": 0.1}),
        Case("random", 0.5, "random", {"fraction": 0.5}),
        Case("square", 4, "square", {"size": 4}),
        Case("half-top", None, "half", {"side": "top"}),
    ]


def test_error_is_of_the_missing_pixels_alone():
    images = np.random.default_rng(0).random((20, 8, 8)).astype(np.float32)
    top = Case("half-top", None, "half", {"side": "top"})

    def half_grey(x, missing):
        assert missing[:, :4].all()
        assert not missing[:, 4:].any()
        return torch.where(missing, torch.tensor(0.5), torch.tensor(9.0))

    error = missing_mse(half_grey, images, top, seed=0)
    assert error == pytest.approx(np.square(images[:, :4].astype(float) - 0.5).mean(), rel=1e-6)


def test_every_imputer_gets_the_same_missing_pixels():
    images = np.random.default_rng(0).random((20, 8, 8)).astype(np.float32)
    seen = []

    def look(x, missing):
        seen.append(missing)
        return x

    for _ in range(2):
        missing_mse(look, images, Case("random", 0.5, "random", {"fraction": 0.5}), seed=4)
    assert torch.equal(*seen)
