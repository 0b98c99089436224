"""A chain of forests, against scikit-learn's own predictions and a chain written out."""

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from sklearn.ensemble import ExtraTreesRegressor

from vaefill.tables import forest as module
from vaefill.tables.forest import fit_forest


def generator():
    return torch.Generator().manual_seed(0)


def table(n=120, p=4, missing=0.3, seed=0):
    """Curved rows, what is observed of them, and means instead of the rest."""
    rng = np.random.default_rng(seed)
    code = rng.normal(size=n)
    truth = np.stack([np.sin((1 + j / 2) * code + j) for j in range(p)], 1)
    truth += 0.1 * rng.normal(size=(n, p))
    observed = rng.random((n, p)) >= missing
    mean = np.where(observed, truth, 0).sum(0) / observed.sum(0)
    start = np.where(observed, truth, mean)
    return *(torch.from_numpy(x) for x in (truth, observed, start)), torch.arange(p)


@pytest.mark.parametrize("limits", [{}, {"max_samples": 50}])
def test_trees_predict_what_scikit_learn_predicts(monkeypatch, limits):
    models = []

    class Recorded(ExtraTreesRegressor):
        def fit(self, x, y):
            models.append(self)
            return super().fit(x, y)

    monkeypatch.setattr("sklearn.ensemble.ExtraTreesRegressor", Recorded)
    truth, observed, start, _ = table()
    truth[:, 2:] = truth[:, 2:].sign()  # a column of two slots
    observed[:, 3] = observed[:, 2]
    column = torch.tensor([5, 3, 4, 4])
    fitted = fit_forest(truth, observed, start, column, generator(), max_rounds=1, **limits)
    assert len(fitted.trees) == len(models) == 3
    # Halves and training values lie on thresholds, where rounding would show.
    x = torch.cat([truth, truth[1:] / 2 + truth[:-1] / 2]).float()
    for trees, model in zip(fitted.trees, models, strict=True):
        others = np.delete(np.arange(4), trees.slots)
        expected = model.predict(x[:, others]).reshape(len(x), -1)
        np.testing.assert_allclose(trees.predict(x), expected, atol=1e-6)
