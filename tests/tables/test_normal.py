import numpy as np
import pytest
import torch
from scipy import stats

from vaefill.tables.normal import (
    FLOOR,
    MultivariateNormal,
    condition,
    correlated_noise,
    fit_normal,
    leave_one_out,
    log_likelihood,
)

P = 5


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(3)


@pytest.fixture
def normal(generator):
    loadings = torch.randn(P, 2, generator=generator, dtype=torch.float64)
    return MultivariateNormal(
        torch.randn(P, generator=generator, dtype=torch.float64),
        loadings @ loadings.T + 0.3 * torch.eye(P, dtype=torch.float64),
    )


def draw(normal, n, share, generator):
    """Rows of the normal, complete ones and ones without an observed cell among them."""
    noise = torch.randn(n, P, generator=generator, dtype=torch.float64)
    values = normal.mu + noise @ torch.linalg.cholesky(normal.covariance).T
    observed = torch.rand(n, P, generator=generator) > share
    observed[0], observed[1] = True, False
    return torch.where(observed, values, -1e9), observed  # what is missing must not matter


def brute_force(normal, row, given, wanted):
    """Conditional mean and covariance from blocks of the covariance."""
    mu, covariance = normal.mu.numpy(), normal.covariance.numpy()
    gain = covariance[np.ix_(wanted, given)] @ np.linalg.inv(covariance[np.ix_(given, given)])
    return (
        mu[wanted] + gain @ (row[given] - mu[given]),
        covariance[np.ix_(wanted, wanted)] - gain @ covariance[np.ix_(given, wanted)],
    )


def test_condition_is_the_regression_on_the_observed_cells(normal, generator):
    values, observed = draw(normal, 60, 0.4, generator)
    found = condition(normal, values, observed)
    for i, (row, seen) in enumerate(zip(values.numpy(), observed.numpy(), strict=True)):
        mean, covariance = brute_force(normal, row, seen.nonzero()[0], (~seen).nonzero()[0])
        np.testing.assert_allclose(found.mean[i, ~seen], mean, rtol=0, atol=1e-10)
        np.testing.assert_allclose(found.variance[i, ~seen], covariance.diagonal(), atol=1e-10)
    assert torch.equal(found.mean[observed], values[observed])
    assert not found.variance[observed].any()


def test_leave_one_out_leaves_one_out(normal, generator):
    values, observed = draw(normal, 60, 0.4, generator)
    found, conditional = (
        leave_one_out(normal, values, observed),
        condition(normal, values, observed),
    )
    for i, j in observed.nonzero().tolist():
        others = observed[i].clone()
        others[j] = False
        mean, covariance = brute_force(
            normal, values[i].numpy(), others.nonzero()[:, 0].numpy(), [j]
        )
        assert found.mean[i, j].item() == pytest.approx(mean.item(), abs=1e-10)
        assert found.variance[i, j].item() == pytest.approx(covariance.item(), abs=1e-10)
    torch.testing.assert_close(found.mean[~observed], conditional.mean[~observed])
    torch.testing.assert_close(found.variance[~observed], conditional.variance[~observed])


def test_log_likelihood_is_that_of_the_observed_part(normal, generator):
    values, observed = draw(normal, 60, 0.4, generator)
    found = log_likelihood(normal, values, observed)
    assert found[1] == pytest.approx(0, abs=1e-12)
    for i in [0, *range(2, 60)]:
        seen = observed[i]
        if seen.any():
            expected = stats.multivariate_normal.logpdf(
                values[i, seen], normal.mu[seen], normal.covariance[seen][:, seen]
            )
            assert found[i].item() == pytest.approx(expected, abs=1e-9)


def test_noise_is_a_root_of_the_conditional_correlation(normal):
    observed = torch.tensor([[True, False, False, True, False]])
    # Of unit vectors as draws, the map itself comes out; it is linear.
    noise = torch.eye(P, dtype=torch.float64)[:, None]
    root = correlated_noise(normal, observed, noise)[:, 0].T.numpy()
    hidden = [1, 2, 4]
    _, covariance = brute_force(normal, np.zeros(P), [0, 3], hidden)
    unit = 1 / np.sqrt(covariance.diagonal())
    expected = np.zeros((P, P))
    expected[np.ix_(hidden, hidden)] = unit[:, None] * covariance * unit
    np.testing.assert_allclose(root @ root.T, expected, atol=1e-12)


def test_complete_rows_give_sample_moments(normal, generator):
    values, observed = draw(normal, 50, -1, generator)
    observed[1] = True
    values[1] = 0
    fitted = fit_normal(values, observed, ridge=4)
    covariance = np.cov(values.T.numpy(), bias=True)
    prior = np.diag(covariance.diagonal())
    np.testing.assert_allclose(fitted.mu, values.mean(0), atol=1e-12)
    np.testing.assert_allclose(
        fitted.covariance, (50 * covariance + 4 * prior) / 54 + FLOOR * prior, atol=1e-12
    )


def posterior(normal, values, observed, ridge):
    """The function that `fit_normal` says it maximises."""
    rows = observed.any(1)
    count, zeros = observed.sum(0), torch.zeros_like(values)
    mu = torch.where(observed, values, zeros).sum(0) / count
    spread = torch.where(observed, values - mu, zeros).square().sum(0) / count
    scale = (ridge + (rows.sum() + ridge) * FLOOR) * spread
    trace = (scale * torch.linalg.inv(normal.covariance).diagonal()).sum()
    penalty = (ridge * torch.logdet(normal.covariance) + trace) / 2
    return log_likelihood(normal, values, observed).sum() - penalty


def test_em_climbs_to_a_stationary_point(normal, generator):
    values, observed = draw(normal, 200, 0.3, generator)
    heights = [
        posterior(fit_normal(values, observed, ridge=2, tol=0, max_iter=i), values, observed, 2)
        for i in range(12)
    ]
    assert all(np.diff(heights) > 0)
    fitted = fit_normal(values, observed, ridge=2, tol=1e-12, max_iter=2000)
    mu = fitted.mu.clone().requires_grad_()
    covariance = fitted.covariance.clone().requires_grad_()
    posterior(MultivariateNormal(mu, covariance), values, observed, 2).backward()
    assert mu.grad.abs().max() < 1e-6
    assert (covariance.grad + covariance.grad.T).abs().max() < 1e-6


def test_what_is_estimated_is_what_was_drawn(normal, generator):
    values, observed = draw(normal, 10_000, 0.3, generator)
    fitted = fit_normal(values, observed, ridge=0, tol=1e-5)
    torch.testing.assert_close(fitted.mu, normal.mu, rtol=0, atol=0.05)
    torch.testing.assert_close(fitted.covariance, normal.covariance, rtol=0, atol=0.1)
    some = fit_normal(values, observed, ridge=0, max_rows=5000, generator=generator)
    assert not torch.equal(some.mu, fitted.mu)
    torch.testing.assert_close(some.covariance, normal.covariance, rtol=0, atol=0.2)


def test_a_start_at_the_answer_stays_there(normal, generator):
    values, observed = draw(normal, 100, 0.3, generator)
    fitted = fit_normal(values, observed, ridge=1, tol=1e-9, max_iter=500)
    again = fit_normal(values, observed, ridge=1, start=fitted, max_iter=1)
    torch.testing.assert_close(again.covariance, fitted.covariance, rtol=0, atol=1e-7)


@pytest.mark.parametrize("ridge", [0.0, 1.0])
@pytest.mark.parametrize(
    ("values", "missing"),
    [
        ([[2.0, 2.0], [2.0, 2.0], [2.0, 2.0]], [(0, 0)]),  # constant columns
        ([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0], [4.0, 8.0]], [(1, 1)]),  # collinear
        ([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [4.0, 1.0]], [(0, 0), (1, 0), (2, 1), (3, 1)]),
        ([[1.0, 2.0]], [(0, 1)]),  # one row
        ([[1.0], [2.0], [3.0]], [(1, 0)]),  # one column
        ([[1.0, 5.0], [2.0, 7.0]], [(0, 1), (1, 1)]),  # a column that is never observed
        ([[1.0, 5.0], [2.0, 7.0]], [(0, 0), (0, 1), (1, 0), (1, 1)]),  # nothing is
        (np.empty((0, 2)), []),
    ],
)
def test_tables_without_information_stay_positive_definite(values, missing, ridge):
    values = torch.tensor(values, dtype=torch.float64)
    observed = torch.ones_like(values, dtype=torch.bool)
    for cell in missing:
        observed[cell] = False
    fitted = fit_normal(values, observed, ridge=ridge)
    assert torch.linalg.eigvalsh(fitted.covariance).min() > 0
    for conditional in (
        condition(fitted, values, observed),
        leave_one_out(fitted, values, observed),
    ):
        assert conditional.mean.isfinite().all()
        assert conditional.variance.isfinite().all()


def test_a_constant_column_comes_back(generator):
    values = torch.randn(30, 3, generator=generator, dtype=torch.float64)
    values[:, 1] = 7
    observed = torch.rand(30, 3, generator=generator) > 0.3
    fitted = fit_normal(values, observed, ridge=0.3)
    filled = condition(fitted, values, observed).mean[:, 1]
    torch.testing.assert_close(filled, values[:, 1], rtol=0, atol=1e-12)


def test_rows_without_an_observed_cell_change_nothing(normal, generator):
    values, observed = draw(normal, 40, 0.3, generator)
    rows = observed.any(1)
    fitted = [
        fit_normal(v, o, ridge=1) for v, o in ((values, observed), (values[rows], observed[rows]))
    ]
    torch.testing.assert_close(fitted[0].covariance, fitted[1].covariance)


def test_long_tables_are_solved_as_their_rows_are(normal, generator):
    values, observed = draw(normal, 50_000, 0.4, generator)  # several chunks
    some = torch.tensor([0, 1, 7, 49_999])
    for function in (condition, leave_one_out):
        whole, part = (
            function(normal, *t) for t in ((values, observed), (values[some], observed[some]))
        )
        torch.testing.assert_close(whole.mean[some], part.mean)
        torch.testing.assert_close(whole.variance[some], part.variance)
