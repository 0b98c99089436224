"""Completed tables against laws known in closed form, and what must not change them."""

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import torch

from vaefill import VAEImputer
from vaefill.tables import completion
from vaefill.tables.columns import Slots
from vaefill.tables.completion import fit_completion, mixture
from vaefill.tables.normal import MultivariateNormal, condition, fit_normal

F64 = torch.float64
INF = math.inf


@pytest.fixture(scope="module", autouse=True)
def few_masks():
    """Half the time for the same laws."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(completion, "MASKED_ROWS", 8000)
        yield


def slots_of(*kinds):
    """Columns without a range; ("categorical", k) has k indicators."""
    sizes = [kind[1] if isinstance(kind, tuple) else 1 for kind in kinds]
    names = [kind[0] if isinstance(kind, tuple) else kind for kind in kinds]
    names = [name for name, size in zip(names, sizes, strict=True) for _ in range(size)]
    ends = [(0.0, 1.0) if name == "categorical" else (-INF, INF) for name in names]
    lower, upper = torch.tensor(ends, dtype=F64).T
    column = torch.arange(len(kinds)).repeat_interleave(torch.tensor(sizes))
    return Slots(column, tuple(names), lower, upper, torch.zeros_like(lower))


def fit(x, observed, slots=None, *, seed=0, **settings):
    settings = {
        "thorough": False,
        "code_df": INF,
        "robust": False,
        "n_latents": 4,
        "hidden": (32, 32),
        "max_iter": 200,
        "validation_fraction": 0.1,
    } | settings
    return fit_completion(
        x.where(observed, 0),
        observed,
        slots or slots_of(*["continuous"] * x.shape[1]),
        generator=torch.Generator().manual_seed(seed),
        **settings,
    )


def some(shape, share, seed):
    """True in so many cells, chosen at random."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < share


def rmse(guess, truth, cells):
    return (guess - truth)[cells].square().mean().sqrt().item()


# One normal table for many tests: two causes of four columns, in units far from 1.
CAUSES = torch.tensor([[1, 0], [1, 0.6], [0.7, 0.9], [0.2, 1]], dtype=F64)
UNIT = torch.tensor([1.0, 1e3, 1e-3, 5.0], dtype=F64)
LAW = MultivariateNormal(
    UNIT * torch.tensor([0, 10, -2, 1], dtype=F64),
    (CAUSES @ CAUSES.T + 0.15 * torch.eye(4, dtype=F64)) * UNIT.outer(UNIT),
)


def draw_rows(n, seed):
    noise = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed), dtype=F64)
    return LAW.mu + noise @ torch.linalg.cholesky(LAW.covariance).T


@pytest.fixture(scope="module")
def normal():
    return fit(draw_rows(800, seed=0), some((800, 4), 0.8, seed=1))


@pytest.fixture(scope="module")
def new_rows():
    return draw_rows(1000, seed=2), some((1000, 4), 0.75, seed=3)


def test_normal_rows_are_filled_almost_as_well_as_if_their_law_were_known(normal, new_rows):
    x, observed = new_rows
    known = condition(LAW, x, observed)
    guess, missing = normal.predict(x, observed), ~observed
    error = rmse(guess / UNIT, x / UNIT, missing)
    assert error == pytest.approx(rmse(known.mean / UNIT, x / UNIT, missing), rel=0.03)
    deviation = (known.variance / UNIT.square())[missing].mean().sqrt().item()
    assert error == pytest.approx(deviation, rel=0.06)
    assert torch.equal(guess[observed], x[observed])


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_intervals_cover_fresh_cells_with_their_level(normal, new_rows, level):
    x, observed = new_rows
    lower, upper = normal.interval(x, observed, level)
    covered = ((lower <= x) & (x <= upper))[~observed].double()
    # Two binomial errors: of the fresh cells, and of the held-out ones that gave the quantiles.
    error = math.sqrt(level * (1 - level) * (1 / len(covered) + 1 / (0.08 * 800 * 4)))
    assert abs(covered.mean() - level) < 3 * error


def test_draws_lie_beyond_an_interval_as_often_as_its_level_says(normal, new_rows):
    x, observed = (part[:200] for part in new_rows)
    draws = normal.draw(x, observed, 300, seed=0)
    lower, upper = normal.interval(x, observed, 0.8)
    missing = ~observed
    for beyond in draws < lower, draws > upper:
        assert beyond[:, missing].double().mean() == pytest.approx(0.1, abs=0.01)
    centre = draws[:, missing].quantile(0.5, dim=0) - (lower + upper)[missing] / 2
    assert (centre / (upper - lower)[missing]).abs().mean() < 0.1
    assert torch.equal(draws[:, observed], x[observed].expand(300, -1))


def test_draws_of_two_missing_cells_vary_together_as_the_law_has_it(normal):
    x = draw_rows(100, seed=4)
    observed = torch.tensor([True, False, False, False]).expand_as(x)
    draws = normal.draw(x, observed, 400, seed=0)
    found = torch.stack([torch.corrcoef(row.T) for row in draws[:, :, 1:].unbind(1)]).mean(0)
    given = LAW.covariance[1:, :1] @ LAW.covariance[:1, 1:] / LAW.covariance[0, 0]
    left = LAW.covariance[1:, 1:] - given
    deviation = left.diagonal().sqrt()
    expected = left / deviation.outer(deviation)
    assert expected[1, 2] > 0.6
    torch.testing.assert_close(found, expected, atol=0.12, rtol=0)


def test_the_log_likelihood_is_that_of_the_normal_in_own_units(normal):
    x, observed = draw_rows(30, seed=5), some((30, 4), 0.6, seed=6)
    observed[0] = False
    plain, standard = normal.looking.linear.plain, normal.standard
    mu = (standard.mu + standard.scale * plain.mu).numpy()
    covariance = (plain.covariance * standard.scale.outer(standard.scale)).numpy()
    expected = [0.0]
    for row, o in zip(x.numpy()[1:], observed.numpy()[1:], strict=True):
        # scipy takes variances that differ by 10^12 for a singular matrix, if not told otherwise.
        law = scipy.stats.Covariance.from_cholesky(np.linalg.cholesky(covariance[np.ix_(o, o)]))
        expected.append(scipy.stats.multivariate_normal(mu[o], law).logpdf(row[o]))
    found = normal.log_likelihood(x, observed).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_a_row_is_filled_alike_whatever_rows_are_beside_it(normal, new_rows, monkeypatch):
    x, observed = (part[:96] for part in new_rows)
    together = normal.predict(x, observed)
    alone = torch.cat([normal.predict(x[i : i + 1], observed[i : i + 1]) for i in range(20)])
    assert ((together[:20] - alone) / UNIT).abs().max() < 1e-5
    monkeypatch.setattr(completion, "BLOCK", 32)
    assert ((normal.predict(x, observed) - together) / UNIT).abs().max() < 1e-5


def test_what_comes_after_a_block_does_not_change_it(normal, new_rows, monkeypatch):
    monkeypatch.setattr(completion, "BLOCK", 64)
    x, observed = (part[:150] for part in new_rows)
    for results in (
        lambda n: normal.predict(x[:n], observed[:n])[:64],
        lambda n: normal.interval(x[:n], observed[:n], 0.9)[:, :64],
        lambda n: normal.draw(x[:n], observed[:n], 3, seed=1)[:, :64],
    ):
        assert torch.equal(results(64), results(150))
    two = normal.draw(x[:64].repeat(2, 1), observed[:64].repeat(2, 1), 1, seed=1)[0]
    assert not torch.equal(two[:64], two[64:])  # blocks do not share their noise


def test_the_seed_of_draws_decides_them(normal, new_rows):
    x, observed = (part[:20] for part in new_rows)
    draws = normal.draw(x, observed, 2, seed=1)
    assert torch.equal(draws, normal.draw(x, observed, 2, seed=1))
    assert not torch.equal(draws, normal.draw(x, observed, 2, seed=2))
    assert not torch.equal(draws[0], draws[1])


def test_the_noise_of_the_first_part_is_that_of_seed_and_block_alone():
    for seed, block in (0, 0), (1, 7), (2**31 - 2, 2**31):
        with_part = np.random.SeedSequence([seed, block, 0]).generate_state(4)
        np.testing.assert_array_equal(
            with_part, np.random.SeedSequence([seed, block]).generate_state(4)
        )


def test_complete_rows_stay_bit_by_bit(normal, new_rows):
    x, observed = (part[:50].clone() for part in new_rows)
    observed[::2] = True
    assert torch.equal(normal.predict(x, observed)[::2], x[::2])
    assert normal.predict(x[:0], observed[:0]).shape == (0, 4)


def test_held_out_cells_are_visible_in_the_end():
    x, observed = draw_rows(300, seed=7), some((300, 4), 0.8, seed=8)
    looking = (fitted := fit(x, observed, validation_fraction=0.5, max_iter=1)).looking
    assert torch.equal(looking.references.observed, observed)
    anew = fit_normal(fitted.standard.transform(x, observed), observed, ridge=0.3)
    torch.testing.assert_close(looking.linear.plain.mu, anew.mu, atol=0.01, rtol=0)


def test_the_same_generator_gives_the_same_bytes():
    x, observed = draw_rows(60, seed=7), some((60, 4), 0.7, seed=8)
    first, again, other = (fit(x, observed, max_iter=40, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.network.weights, again.network.weights)
    assert torch.equal(first.predict(x, observed), again.predict(x, observed))
    assert not torch.equal(first.predict(x, observed), other.predict(x, observed))


def test_a_t_prior_without_end_of_degrees_is_the_gaussian_one():
    x = draw_rows(120, seed=7).where(some((120, 4), 0.7, seed=8), math.nan).numpy()
    fill = {"max_iter": 60, "hidden": (16, 16), "random_state": 0, "sample_posterior": True}
    gaussian = VAEImputer(**fill).fit_transform(x)
    t = VAEImputer(prior="student_t", df=INF, **fill).fit_transform(x)
    np.testing.assert_array_equal(gaussian, t)


def test_what_no_line_predicts_is_found_by_the_neighbours_or_the_network():
    # On a circle, a coordinate says where the other one is but for its sign, which the third tells.
    generator = torch.Generator().manual_seed(0)
    angle = 2 * math.pi * torch.rand(700, generator=generator, dtype=F64)
    x = torch.stack([angle.cos(), angle.sin(), (2 * angle).sin(), (3 * angle).cos()], 1)
    x += 0.05 * torch.randn(x.shape, generator=generator, dtype=F64)
    known = some((500, 4), 0.85, seed=1)
    fitted = fit(x[:500], known, max_iter=400)
    observed = some((200, 4), 0.75, seed=2)
    z = fitted.standard.transform(x[500:], observed)
    linear = fitted.standard.inverse(fitted.looking(z, observed).linear)
    error = rmse(fitted.predict(x[500:], observed), x[500:], ~observed)
    assert error < 0.6 * rmse(linear, x[500:], ~observed)


@pytest.fixture(scope="module")
def categories():
    """A number and three categories that it makes more or less likely, new rows and their law."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1600, 1, generator=generator, dtype=F64)
    law = (x * torch.tensor([-2.0, 0, 2])).softmax(1)
    drawn = torch.multinomial(law, 1, generator=generator)[:, 0]
    table = torch.cat([x, torch.nn.functional.one_hot(drawn, 3).double()], 1)
    observed = some((1600, 1), 0.8, seed=1).expand(-1, 4).clone()
    observed[:, 0] = True
    fitted = fit(table[:800], observed[:800], slots_of("continuous", ("categorical", 3)))
    observed[:, 1:] = False
    return fitted, table[800:], observed[800:], law[800:]


def test_probabilities_of_categories_are_near_their_law(categories):
    fitted, x, observed, law = categories
    found = fitted.predict(x, observed)[:, 1:]
    assert (found - law).square().mean().sqrt() < 0.08
    torch.testing.assert_close(found.sum(1), torch.ones(800, dtype=F64), atol=0.02, rtol=0)
    # Calibrated: of cells with like probabilities, such a share is of the category.
    for low, high in (0, 0.3), (0.3, 0.6), (0.6, 1):
        like = (found >= low) & (found < high)
        assert x[:, 1:][like].mean() == pytest.approx(found[like].mean().item(), abs=0.07)


def test_categories_are_drawn_with_their_probabilities_and_have_no_bounds(categories):
    fitted, x, observed, _ = categories
    x, observed = x[:50], observed[:50]
    drawn = fitted.draw(x, observed, 1000, seed=0)[:, :, 1:]
    assert torch.equal(drawn.sum(-1), torch.ones(1000, 50, dtype=F64))
    assert torch.equal(drawn.amax(-1), torch.ones(1000, 50, dtype=F64))
    guess = fitted.predict(x, observed)
    assert (drawn.mean(0) - guess[:, 1:]).abs().max() < 5 * math.sqrt(0.25 / 1000)
    for end in fitted.interval(x, observed, 0.9):
        assert torch.equal(end[:, 1:], guess[:, 1:])


def test_two_values_are_drawn_with_their_probabilities_and_as_other_cells_ask():
    # Both are noisy signs and copies of a number: given neither, one goes with the other.
    x = torch.randn(600, 1, generator=torch.Generator().manual_seed(0), dtype=F64)
    noise = torch.randn(600, 2, generator=torch.Generator().manual_seed(1), dtype=F64)
    table = torch.cat([x, x + 0.5 * noise[:, :1], (x + 0.5 * noise[:, 1:] > 0.4).double()], 1)
    slots = replace(
        slots_of("continuous", "continuous", "binary"),
        lower=torch.tensor([-INF, -INF, 0.0], dtype=F64),
        upper=torch.tensor([INF, INF, 1.0], dtype=F64),
    )
    fitted = fit(table, some(table.shape, 0.8, seed=2), slots)
    known = torch.tensor([True, False, False]).expand(100, -1)
    drawn = fitted.draw(table[:100], known, 1000, seed=0)[..., 2]
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    guess = fitted.predict(table[:100], known)[:, 2]
    assert (drawn.mean(0) - guess).abs().max() < 5 * math.sqrt(0.25 / 1000)
    unknown = fitted.draw(table[:20], torch.zeros_like(known[:20]), 500, seed=0)
    assert torch.corrcoef(unknown[..., 1:].flatten(0, 1).T)[0, 1] > 0.4


@pytest.fixture(scope="module")
def clean():
    return draw_rows(400, seed=0) / UNIT, some((400, 4), 0.8, seed=1)


@pytest.fixture(scope="module")
def clean_error(clean):
    return rmse(fit(*clean).predict(*clean), clean[0], ~clean[1])


def test_outliers_do_not_mislead_the_likelihood_of_t(clean, clean_error):
    x, observed = clean
    wrong = some((400, 4), 0.05, seed=2)
    table, cells = x + 25.0 * wrong, ~observed & ~wrong
    gaussian, t = (fit(table, observed, robust=robust) for robust in (False, True))
    error = rmse(t.predict(table, observed), x, cells)
    assert rmse(gaussian.predict(table, observed), x, cells) > 1.5 * error
    assert error < 1.15 * clean_error
    # Half of an interval of 90 % is as wide as without outliers: they are all above.
    lower, upper = t.interval(table, observed, 0.9)
    guess = t.predict(table, observed)
    assert (guess - lower)[cells].median() < 2.5 * error
    assert ((lower <= x) & (x <= upper))[cells].double().mean() > 0.85


def test_outliers_are_neither_references_nor_values_of_scores(clean):
    x, observed = clean
    t = fit(x + 1e3 * some(x.shape, 0.05, seed=2), observed, robust=True, max_iter=1)
    linear, references = t.looking.linear, t.looking.references
    assert max(references.completed.abs().max(), linear.scores.values.abs().max()) < 6


def test_without_outliers_the_likelihood_of_t_costs_little(clean, clean_error):
    x, observed = clean
    assert (
        rmse(fit(x, observed, robust=True).predict(x, observed), x, ~observed) < 1.03 * clean_error
    )


@pytest.mark.parametrize("settings", [{}, {"robust": True}, {"thorough": True}, {"n_latents": 0}])
@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (6, 1), (5, 3)])
def test_a_table_with_nothing_to_learn_from_is_filled_all_the_same(shape, settings):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=F64)
    for observed in some(shape, 0.6, seed=1), torch.ones(shape, dtype=torch.bool):
        observed[0] = True
        fitted = fit(x, observed, max_iter=5, **settings)
        for seen in observed, torch.zeros_like(observed):
            results = [
                fitted.predict(x, seen).unsqueeze(0),
                fitted.interval(x, seen, 0.9),
                fitted.draw(x, seen, 2, seed=0),
            ]
            for table in torch.cat(results):
                assert table.isfinite().all()
                assert torch.equal(table[seen], x[seen])
            assert fitted.log_likelihood(x, seen).isfinite().all()


def test_experts_are_mixed_by_the_weights_of_the_column():
    guesses = torch.tensor([[[1.0, 2.0, 3.0]], [[5.0, 6.0, 7.0]]])
    weights = torch.tensor([[1.0, 0.0], [0.25, 0.75]])
    mixed = mixture(weights, torch.tensor([0, 1, 1]), guesses)
    torch.testing.assert_close(mixed, torch.tensor([[1.0, 5.0, 6.0]]))
