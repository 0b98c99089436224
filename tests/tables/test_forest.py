"""A chain of forests, against scikit-learn's own predictions and a chain written out."""

from dataclasses import fields

import numpy as np
import pytest
import sklearn.ensemble
import torch

from vaefill.tables import forest as module
from vaefill.tables.forest import fit_forest


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def table(n=120, p=4, missing=0.3, seed=0):
    """Curved rows, what is observed of them, the columns, and means instead of the rest."""
    rng = np.random.default_rng(seed)
    code = rng.normal(size=n)
    truth = np.stack([np.sin((1 + j / 2) * code + j) for j in range(p)], 1)
    truth += 0.1 * rng.normal(size=(n, p))
    observed = rng.random((n, p)) >= missing
    mean = np.where(observed, truth, 0).sum(0) / observed.sum(0)
    start = np.where(observed, truth, mean)
    truth, observed, start = (torch.from_numpy(x) for x in (truth, observed, start))
    return truth, observed, torch.arange(p), start


def two_slots():
    """The same with its last two columns as the indicators of one."""
    truth, observed, _, start = table()
    truth[:, 2:] = truth[:, 2:].sign()
    observed[:, 3] = observed[:, 2]
    return truth, observed, torch.tensor([5, 3, 4, 4]), start.where(~observed, truth)


@pytest.fixture
def models(monkeypatch):
    """All forests that scikit-learn fits."""
    fitted = []

    class Recorded(sklearn.ensemble.ExtraTreesRegressor):
        def fit(self, x, y):
            fitted.append(self)
            return super().fit(x, y)

    monkeypatch.setattr(sklearn.ensemble, "ExtraTreesRegressor", Recorded)
    return fitted


@pytest.mark.parametrize("max_samples", [8000, 50])
@pytest.mark.parametrize("max_leaves", [10**6, 600])
def test_trees_predict_what_scikit_learn_predicts(monkeypatch, models, max_samples, max_leaves):
    monkeypatch.setattr(module, "MAX_LEAVES", max_leaves)
    truth, *rest = two_slots()
    forest = fit_forest(truth, *rest, generator(), n_trees=20, n_rounds=1, max_samples=max_samples)
    assert len(forest.trees) == len(models) == 3
    # Training values and middles between two of them lie where rounding shows.
    x = torch.cat([truth, truth[1:] / 2 + truth[:-1] / 2])
    for trees, model in zip(forest.trees, models, strict=True):
        others = np.delete(np.arange(4), trees.slots)
        expected = model.predict(x[:, others]).reshape(len(x), -1)
        np.testing.assert_allclose(trees.predict(x), expected, atol=1e-6)
        assert all((e.tree_.n_leaves <= max_leaves / 80) for e in model.estimators_)
        assert (trees.feature.unique() == torch.from_numpy(others)).all()


def test_thresholds_are_compared_as_scikit_learn_compares_them():
    # Neighbours in float32: the threshold between them is none of both, and rounds up.
    low = np.float32(2**20)
    high = np.nextafter(low, np.float32(np.inf))
    x = torch.from_numpy(np.array([[low, 0], [high, 1]] * 4, np.float64))
    observed = torch.ones(8, 2, dtype=torch.bool)
    forest = fit_forest(x, observed, torch.arange(2), x, generator(), n_rounds=1)
    (of_second,) = (trees for trees in forest.trees if trees.slots == 1)
    np.testing.assert_allclose(of_second.predict(x)[:, 0], x[:, 1])


def test_columns_take_turns_from_the_fewest_missing_cells_on(models):
    truth, observed, column, start = two_slots()
    forest = fit_forest(truth, observed, column, start, generator(), n_trees=10)
    assert [len(model.estimators_) for model in models] == [5] * 3 + [10] * 3
    missing = (~observed).sum(0)
    turns = sorted([[0], [1], [2, 3]], key=lambda slots: missing[slots[0]])
    assert [trees.slots.tolist() for trees in forest.trees] == turns
    new, known, _, begin = table(seed=1)
    known[:, 3] = known[:, 2]
    expected = np.where(known, new, begin)
    for _ in range(2):
        for slots, model in zip(turns, models[3:], strict=True):
            rows = ~known[:, slots[0]].numpy()
            guess = model.predict(np.delete(expected[rows], slots, axis=1))
            expected[np.ix_(rows, slots)] = guess.reshape(-1, len(slots))
    found = forest.complete(new, known, begin)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(found[known], new[known])


def test_it_learns_curves_and_completes_new_rows_each_by_itself():
    truth, observed, column, start = table(n=400)
    forest = fit_forest(truth, observed, column, start, generator(), n_trees=20)
    for seed in (0, 1):
        truth, observed, _, start = table(n=400, seed=seed)
        found = forest.complete(truth, observed, start)
        missing = ~observed
        error, at_start = ((x - truth)[missing].square().mean() for x in (found, start))
        assert error < 0.5 * at_start
    some = torch.tensor([3, 200])
    alone = forest.complete(truth[some], observed[some], start[some])
    torch.testing.assert_close(alone, found[some], rtol=0, atol=0)


def test_the_same_generator_gives_the_same_trees_and_no_other_randomness_is_used():
    np_state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    data = table()
    first, again, other = (
        fit_forest(*data, generator(seed), n_trees=4).trees[0] for seed in (0, 0, 1)
    )
    assert all(torch.equal(*(getattr(t, f.name) for t in (first, again))) for f in fields(first))
    assert not torch.equal(first.threshold, other.threshold)
    assert (np.random.get_state()[1] == np_state).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_state)


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (2, 1), (5, 2)])
def test_tiny_tables(shape):
    values = torch.arange(float(np.prod(shape))).reshape(shape)
    observed = torch.ones(shape, dtype=torch.bool)
    observed[0:1, 0] = False
    observed[:, -1] = False  # a column that is observed nowhere stays as it started
    start = torch.full(shape, 0.5)
    forest = fit_forest(values, observed, torch.arange(shape[1]), start, generator(), n_trees=2)
    completed = forest.complete(values, observed, start)
    assert completed.shape == shape
    assert completed.isfinite().all()
    assert (completed[:, -1] == 0.5).all()


def test_huge_values_are_within_the_range_of_trees():
    truth, observed, column, start = table(n=50)
    truth[0, 0], observed[0] = 1e100, True
    forest = fit_forest(truth, observed, column, start, generator(), n_trees=4)
    found = forest.complete(truth, observed, start)
    assert found.isfinite().all()
    assert found[0, 0] == 1e100
