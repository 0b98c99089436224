import math

import pytest
import torch

from vaefill.tables.normal import MultivariateNormal, condition, fit_normal, leave_one_out
from vaefill.tables.robust import INLIER, fit_normal_robust, pull_in

DF = 5.0
F64 = torch.float64


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(8)


@pytest.fixture
def normal():
    covariance = torch.tensor([[1, 0.8, 0.6], [0.8, 1, 0.7], [0.6, 0.7, 1]], dtype=F64)
    return MultivariateNormal(torch.zeros(3, dtype=F64), covariance)


def draw(normal, n, generator):
    noise = torch.randn(n, 3, generator=generator, dtype=F64)
    return noise @ torch.linalg.cholesky(normal.covariance).T


def weight(r):
    return min(1, (DF + INLIER**2) / (DF + r**2))


@pytest.mark.parametrize("x", [-40.0, -3.0, 1.0, 1 + 2 * INLIER, 9.0, 1e12])
def test_a_cell_alone_is_judged_by_its_column(x):
    column = MultivariateNormal(torch.ones(1, dtype=F64), torch.full((1, 1), 4.0, dtype=F64))
    cell = torch.tensor([[x]], dtype=F64)
    expected = 1 + weight((x - 1) / 2) * (x - 1)
    assert pull_in(column, cell, cell.isfinite(), DF).item() == pytest.approx(expected)


def test_pseudo_values_solve_their_equation(normal):
    values = torch.tensor([[1.0, 0.9, 8.0]], dtype=F64)
    observed = torch.ones(1, 3, dtype=torch.bool)
    pulled = pull_in(normal, values, observed, DF)
    others = leave_one_out(normal, pulled, observed)
    for x, got, m, variance in zip(
        values[0], pulled[0], others.mean[0], others.variance[0], strict=True
    ):
        r = (x - m) / variance.sqrt()
        assert got == pytest.approx(float(m + weight(float(r)) * (x - m)), abs=0.02)


def test_cells_that_fit_their_row_stay_and_others_leave(normal):
    values = torch.tensor([[2.0, 2.0, 2.0], [2.0, -2.0, 2.0]], dtype=F64)
    pulled = pull_in(normal, values, torch.ones(2, 3, dtype=torch.bool), DF)
    torch.testing.assert_close(pulled[0], values[0])
    assert pulled[1, 1] > -1  # common alone, wild beside its neighbours


def test_infinite_degrees_of_freedom_change_nothing(normal, generator):
    values = draw(normal, 30, generator)
    values[0] = torch.tensor([9.0, -9.0, 9.0])
    observed = torch.rand(30, 3, generator=generator) > 0.2
    torch.testing.assert_close(pull_in(normal, values, observed, math.inf), values)
    df = torch.tensor([math.inf, DF, math.inf])
    changed = (pull_in(normal, values, observed, df) - values).abs().amax(0) > 1e-9
    assert changed.tolist() == [False, True, False]
    robust = fit_normal_robust(values, observed, df=math.inf, ridge=1)
    torch.testing.assert_close(
        robust.mu, fit_normal(values, observed, ridge=1).mu, atol=0.02, rtol=0
    )


@pytest.mark.parametrize("outlier", [8.0, 1e30])
def test_wrong_cells_hardly_move_the_fit(normal, generator, outlier):
    clean = draw(normal, 1000, generator)
    observed = torch.rand(1000, 3, generator=generator) > 0.2
    wrong = torch.rand(1000, 3, generator=generator) < 0.05
    values = torch.where(wrong, outlier, clean)

    def error(fitted, seen):
        filled = condition(fitted, seen, observed).mean
        return (filled - clean)[~observed].square().mean().sqrt()

    ideal = error(fit_normal(clean, observed, ridge=1), clean)
    robust = fit_normal_robust(values, observed, df=DF, ridge=1)
    torch.testing.assert_close(robust.mu, normal.mu, rtol=0, atol=0.15)
    torch.testing.assert_close(robust.covariance, normal.covariance, rtol=0, atol=0.2)
    assert error(robust, pull_in(robust, values, observed, DF)) < 1.1 * ideal
    assert error(fit_normal(values, observed, ridge=1), values) > 1.3 * ideal


def test_a_clean_table_gives_the_fit_that_is_not_robust(normal, generator):
    values = draw(normal, 2000, generator)
    observed = torch.rand(2000, 3, generator=generator) > 0.2
    robust, plain = (
        fit_normal_robust(values, observed, df=DF, ridge=1),
        fit_normal(values, observed, ridge=1),
    )
    torch.testing.assert_close(robust.mu, plain.mu, rtol=0, atol=0.02)
    torch.testing.assert_close(robust.covariance, plain.covariance, rtol=0, atol=0.05)


def test_a_part_of_the_rows_is_the_generators_choice(normal, generator):
    values = draw(normal, 400, generator)
    observed = torch.rand(400, 3, generator=generator) > 0.2
    fits = [
        fit_normal_robust(
            values, observed, df=DF, ridge=1, max_rows=200,
            generator=torch.Generator().manual_seed(seed),
        )
        for seed in (0, 0, 1)
    ]  # fmt: skip
    assert torch.equal(fits[0].covariance, fits[1].covariance)
    assert not torch.equal(fits[0].covariance, fits[2].covariance)


@pytest.mark.parametrize("n", [0, 1])
def test_short_tables(n):
    values = torch.ones(n, 2, dtype=F64)
    fitted = fit_normal_robust(values, values > 0, df=DF, ridge=0.1)
    assert torch.linalg.eigvalsh(fitted.covariance).min() > 0
    torch.testing.assert_close(pull_in(fitted, values, values > 0, DF), values)
