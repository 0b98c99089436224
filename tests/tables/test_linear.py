"""The linear answer against the conditional means of known laws, and the choices it makes."""

from dataclasses import replace

import pytest
import torch

from vaefill.tables.linear import RIDGES, _clearly_positive, fit_linear
from vaefill.tables.normal import MultivariateNormal, condition, fit_normal
from vaefill.tables.spaces import fit_normal_scores

F64 = torch.float64
LAW = MultivariateNormal(
    torch.zeros(3, dtype=F64),
    torch.tensor([[1, 0.8, 0.5], [0.8, 1, 0.6], [0.5, 0.6, 1]], dtype=F64),
)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def draw_rows(n, generator):
    noise = torch.randn(n, 3, generator=generator, dtype=F64)
    return noise @ torch.linalg.cholesky(LAW.covariance).T


def some(shape, share, generator):
    return torch.rand(shape, generator=generator) < share


def fit(x, observed, held_out):
    scores = fit_normal_scores(x, observed)
    return fit_linear(x, observed & ~held_out, held_out, scores, torch.arange(x.shape[1]))


def rmse(error):
    return error.square().mean().sqrt().item()


def test_the_answer_nears_the_conditional_mean_of_a_normal_law(generator):
    fresh, seen = draw_rows(500, generator), some((500, 3), 0.6, generator)
    known = condition(LAW, fresh, seen)
    distances = []
    for n in 100, 3000:
        x = draw_rows(n, generator)
        linear, ridge = fit(x, some(x.shape, 0.7, generator), some(x.shape, 0.1, generator))
        assert ridge == RIDGES[0] * n
        answer = linear.answer(fresh, seen)
        distances.append(rmse((answer.mean - known.mean)[~seen]))
        assert torch.equal(answer.mean[seen], fresh[seen])
    assert distances[1] < 0.05 < distances[0]
    torch.testing.assert_close(answer.variance, known.variance, atol=0, rtol=0.1)


def test_columns_with_skewed_margins_follow_their_scores(generator):
    # A lognormal of a normal with mean m and variance v has the mean exp(m + v / 2).
    latent = draw_rows(2000, generator)
    x = latent.exp()
    observed, held_out = some(x.shape, 0.75, generator), some(x.shape, 0.1, generator)
    linear, _ = fit(x, observed, held_out)
    assert (linear.weight < 0.25).all()
    known = condition(LAW, latent, observed)
    oracle = (known.mean + known.variance / 2).exp()
    missing = ~observed
    plain = replace(linear, weight=torch.ones(3, dtype=F64)).answer(x, observed)
    distance = rmse((linear.answer(x, observed).mean - oracle)[missing])
    assert distance < 0.65 * rmse((plain.mean - oracle)[missing])


def test_the_answer_mixes_both_spaces_by_column(generator):
    x, observed = draw_rows(80, generator), some((80, 3), 0.7, generator)
    linear, _ = fit(x, observed, some((80, 3), 0.1, generator))
    linear = replace(linear, weight=torch.tensor([1.0, 0.0, 0.25], dtype=F64))
    plain = condition(linear.plain, x, observed).mean
    found = condition(linear.scored, linear.scores.transform(x, observed), observed)
    mapped = linear.scores.expected(found.mean, found.variance)
    expected = torch.stack([plain[:, 0], mapped[:, 1], (plain + 3 * mapped)[:, 2] / 4], 1)
    answer = linear.answer(x, observed)
    torch.testing.assert_close(answer.mean, x.where(observed, expected))
    torch.testing.assert_close(answer.score, found.mean)


def test_leaving_one_cell_out_is_answering_for_it(generator):
    x, observed = draw_rows(40, generator), some((40, 3), 0.8, generator)
    linear, _ = fit(x, observed, some((40, 3), 0.1, generator))
    left_out = linear.leave_one_out(x, observed)
    for column in range(3):
        others = observed.clone()
        others[:, column] = False
        answer = linear.answer(x, others).mean[:, column]
        torch.testing.assert_close(left_out[:, column], answer, atol=1e-6, rtol=0)


def test_noise_alone_asks_for_a_strong_ridge_and_exact_columns_for_none(generator):
    noise = torch.randn(40, 20, generator=generator, dtype=F64)
    exact = noise[:, :1] + 0.01 * noise
    held_out = some((40, 20), 0.1, generator)
    everything = torch.ones_like(held_out)
    assert fit(noise, everything, held_out)[1] >= 0.1 * 40
    assert fit(exact, everything, held_out)[1] == RIDGES[0] * 40


@pytest.mark.parametrize(
    ("gain", "clear"),
    [
        ([0.1, 0.1, 0.1], True),  # small, but certain
        ([0.0, 0.0, 0.0], False),
        ([-0.1, -0.1, -0.1], False),
        ([3.0, -1.0], False),  # mean 1, standard error 2
        ([3.0, 1.0], True),  # mean 2, standard error 1
        ([1.0], False),
        ([], False),
    ],
)
def test_a_gain_counts_beyond_one_standard_error(gain, clear):
    assert _clearly_positive(torch.tensor(gain)) == clear


def test_without_held_out_cells_ridge_is_least_and_spaces_count_alike(generator):
    x, observed = draw_rows(30, generator), some((30, 3), 0.7, generator)
    linear, ridge = fit(x, observed, torch.zeros_like(observed))
    assert ridge == RIDGES[0] * 30
    torch.testing.assert_close(linear.weight, torch.full((3,), 0.5, dtype=F64))


def test_one_outlier_among_held_out_cells_does_not_choose_the_ridge(generator):
    noise = torch.randn(40, 20, generator=generator, dtype=F64)
    held_out = some(noise.shape, 0.1, generator)
    scores, wild = fit_normal_scores(noise, ~held_out), noise.clone()
    wild[tuple(held_out.nonzero()[0])] = 1e6
    first, second = (
        fit_linear(table, ~held_out, held_out, scores, torch.arange(20))[1]
        for table in (noise, wild)
    )
    assert first == second > RIDGES[0] * 40


def test_the_slots_of_a_column_share_their_weight(generator):
    x = draw_rows(600, generator)
    x[:, 2] = (2 * x[:, 2]).exp()
    everything, held_out = torch.ones(600, 3, dtype=torch.bool), some((600, 3), 0.1, generator)
    scores = fit_normal_scores(x, everything)
    apart, together = (
        fit_linear(x, ~held_out, held_out, scores, torch.tensor(column))[0].weight
        for column in ([0, 1, 2], [0, 1, 1])
    )
    assert apart[1] != apart[2]
    assert together[1] == together[2]


def test_a_refit_sees_more_cells_and_keeps_the_mixture(generator):
    x, observed = draw_rows(150, generator).exp(), some((150, 3), 0.8, generator)
    held_out = some((150, 3), 0.3, generator) & observed
    linear, ridge = fit(x, observed, held_out)
    refitted = linear.refit(x, observed, ridge=ridge)
    assert torch.equal(refitted.weight, linear.weight)
    assert refitted.scores is linear.scores
    scores = linear.scores.transform(x, observed)
    for found, values in (refitted.plain, x), (refitted.scored, scores):
        anew = fit_normal(values, observed, ridge=ridge)
        torch.testing.assert_close(found.covariance, anew.covariance, atol=0.03, rtol=0.01)
        assert (found.covariance - linear.plain.covariance).abs().max() > 0.03
