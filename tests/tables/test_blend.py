"""Weights of several guesses, against a general-purpose optimiser and cases known by heart."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from vaefill.tables.blend import blend_weights


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def weights_of(candidates, target, column, n_columns=None, **kwargs):
    column = np.broadcast_to(column, len(target)).copy()
    n_columns = n_columns or column.max() + 1
    tensors = (torch.from_numpy(np.asarray(x)) for x in (candidates, target, column))
    weights = blend_weights(*tensors, n_columns, **kwargs).numpy()
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-12)
    return weights


def guesses(rng, m, spread):
    """Truth, and a guess with errors of each spread."""
    y = rng.normal(size=m)
    return y[:, None] + rng.normal(size=(m, len(spread))) * spread, y


def on_simplex(objective, k):
    """Minimum over the simplex, by sequential quadratic programming from several starts."""
    found = [
        minimize(
            objective, start, method="SLSQP", bounds=[(0, 1)] * k, tol=1e-15,
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        )
        for start in [np.full(k, 1 / k), *np.eye(k)]
    ]  # fmt: skip
    return min(found, key=lambda result: result.fun).x


def test_weights_minimise_the_objective_of_the_module(rng):
    k, pseudo_count, column = 4, 30.0, np.repeat([0, 1, 2], [80, 40, 12])
    f, y = guesses(rng, len(column), [0.5, 0.6, 0.8, 3.0])
    y[column == 2] /= 100  # its variance is at the floor
    weights = weights_of(f, y, column, pseudo_count=pseudo_count)
    variance = np.maximum([y[column == j].var() for j in range(3)], 0.05)[column]
    spread = (f - f.mean(1, keepdims=True)) ** 2

    def common(w):
        ridge = 10 * (spread / variance[:, None]).mean() * ((w - 1 / k) ** 2).sum()
        return ((y - f @ w) ** 2 / variance).sum() + ridge

    shared = on_simplex(common, k)
    for j in range(3):
        own = column == j

        def objective(w, own=own):
            ridge = pseudo_count * spread[own].mean() * ((w - shared) ** 2).sum()
            return ((y[own] - f[own] @ w) ** 2).sum() + ridge

        np.testing.assert_allclose(weights[j], on_simplex(objective, k), atol=1e-5)


def test_a_perfect_candidate_takes_all(rng):
    f, y = guesses(rng, 50, [1.0, 0.0, 1.0])
    np.testing.assert_allclose(weights_of(f, y, 0, pseudo_count=0), [[0, 1, 0]], atol=1e-12)


def test_few_cells_take_the_common_weights_and_many_their_own(rng):
    f, y = guesses(rng, 4003, [0.1, 1.0])
    f[2000:4000] = f[2000:4000, ::-1]
    column = np.repeat([0, 1, 2], [2000, 2000, 3])
    weights = weights_of(f, y, column, n_columns=5)
    common = weights[3]  # of columns without any cell
    np.testing.assert_array_equal(weights[4], common)
    np.testing.assert_allclose(common, 0.5, atol=0.02)
    np.testing.assert_allclose(weights[2], common, atol=0.02)
    assert min(weights[0, 0], weights[1, 1]) > 0.85


@pytest.mark.parametrize("df", [math.inf, 4.0])
def test_equal_weights_where_nothing_tells_candidates_apart(rng, df):
    none = weights_of(np.empty((0, 3)), np.empty(0), np.empty(0, int), n_columns=2, df=df)
    np.testing.assert_allclose(none, 1 / 3)
    y = rng.normal(size=40)
    same = np.repeat(rng.normal(size=(40, 1)), 3, axis=1)
    np.testing.assert_allclose(weights_of(same, y, 0, df=df), [[1 / 3] * 3])
    np.testing.assert_array_equal(weights_of(same[:, :1], y, 0, df=df), [[1]])
    np.testing.assert_allclose(weights_of(y[:, None] + np.zeros((40, 2)), y, 0, df=df), [[0.5] * 2])


def test_a_candidate_given_twice_shares_its_weight(rng):
    f, y = guesses(rng, 300, [0.5, 0.5])
    twice = weights_of(f[:, [0, 1, 1]], y, 0)[0]
    assert twice[1] == pytest.approx(twice[2])
    assert twice[0] == pytest.approx(0.5, abs=0.1)


def test_weights_do_not_depend_on_units_nor_on_the_order_of_cells(rng):
    column = np.repeat([0, 1], [100, 30])
    f, y = guesses(rng, 130, [0.5, 0.7, 0.9])
    f, y = 100 * f, 100 * y  # far above the floor of variances, in both units
    expected = weights_of(f, y, column, df=4.0)
    order = rng.permutation(130)
    moved = weights_of(1e3 * f[order], 1e3 * y[order], column[order], df=4.0)
    np.testing.assert_allclose(moved, expected, rtol=1e-6)


def test_an_outlier_rules_the_weights_of_least_squares_but_not_of_the_t(rng):
    f, y = guesses(rng, 400, [0.3, 1.0])
    clean = weights_of(f, y, 0, df=4.0)
    y[:8] += 60 * np.sign(f[:8, 1] - f[:8, 0])  # the worse candidate happens to err less there
    assert weights_of(f, y, 0)[0, 1] > 0.4
    np.testing.assert_allclose(weights_of(f, y, 0, df=4.0), clean, atol=0.02)
    np.testing.assert_allclose(weights_of(f, y, 0, df=1e9), weights_of(f, y, 0), atol=1e-6)


def test_an_outlier_alone_in_its_column_is_known_by_the_errors_of_others(rng):
    f, y = guesses(rng, 401, [0.3, 1.0])
    column = np.repeat([0, 1], [400, 1])
    clean = weights_of(f[:-1], y[:-1], column[:-1], n_columns=2, df=4.0)
    y[-1] += 600 * np.sign(f[-1, 1] - f[-1, 0])
    np.testing.assert_allclose(weights_of(f, y, column, df=4.0), clean, atol=0.02)


def test_student_t_weights_maximise_the_likelihood(rng):
    # One column and no pseudo-cells of its own; the common weights then do not matter.
    y = rng.normal(size=2000)
    f = y[:, None] + rng.standard_t(3, size=(2000, 3)) * [0.3, 0.5, 0.6]

    def loss(parameters):
        w, scale = parameters[:3], np.exp(parameters[3])
        return (2.5 * np.log1p(((y - f @ w) / scale) ** 2 / 4) + np.log(scale)).mean()

    best = minimize(
        loss, [1 / 3, 1 / 3, 1 / 3, 0], method="SLSQP", bounds=[(0, 1)] * 3 + [(-9, 9)],
        constraints={"type": "eq", "fun": lambda p: p[:3].sum() - 1}, tol=1e-12,
    )  # fmt: skip
    np.testing.assert_allclose(
        weights_of(f, y, 0, pseudo_count=0, df=4.0)[0], best.x[:3], atol=2e-3
    )
