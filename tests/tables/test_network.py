import math
from dataclasses import replace

import pytest
import scipy.stats
import torch
from exact import F64, gen

from vaefill.errors import InputError
from vaefill.models.distributions import Normal, StudentT
from vaefill.models.divergences import kl_student_t
from vaefill.tables.learning import (
    LARGEST_GRADIENT,
    WEIGHT_DECAY,
    AdamW,
    Example,
    divergence,
    fit_network,
    learning_rate,
    loss_terms,
)
from vaefill.tables.likelihoods import Mixed
from vaefill.tables.network import Output, make_ensemble

SMALL = {"hidden": (24, 24, 24), "n_latents": 3}


def slots(*kind, column=None, df=math.inf):
    """Of these kinds, with values from -1 to 1."""
    ones = torch.ones(len(kind))
    column = torch.arange(len(kind)) if column is None else torch.tensor(column)
    return Mixed(kind, column, -ones, ones, ones, df)


def example(x, visible, hidden=None):
    """Rows whose linear answer is 0 with variance 1, and whose neighbours agree with it."""
    hidden = ~visible if hidden is None else hidden
    features = torch.cat([x.where(visible, 0).clamp(-6, 6), visible.float()], 1)
    zeros = torch.zeros_like(x)
    return Example(features, zeros, zeros + 1, torch.stack([zeros, zeros], 1), hidden)


def chosen(x, likelihood, share, seed):
    """Cells of original columns, so that the slots of one go together."""
    column = likelihood.column
    return (torch.rand(len(x), int(column.max()) + 1, generator=gen(seed)) < share)[:, column]


def train(x, likelihood, seed=0, **options):
    held_out = chosen(x, likelihood, 0.1, 50)
    pool = []
    for number in range(6):
        hidden = chosen(x, likelihood, 0.4, number) & ~held_out
        pool.append(example(x, ~hidden & ~held_out, hidden))
    options = {**SMALL, "max_iter": 200, "generator": gen(seed), **options}
    return fit_network(pool, example(x, ~held_out), x, likelihood, **options)


def parabola(n, seed=7):
    """Two columns without correlation, the second a function of the first but for noise of .1."""
    first, noise = torch.randn(2, n, generator=gen(seed))
    return torch.stack([first, (first.square() - 1) / math.sqrt(2) + 0.1 * noise], 1)


def second_hidden(x):
    return example(x, torch.tensor([True, False]).expand(x.shape))


def random_rows(n=5, p=3, seed=3):
    """Anything in every field of a batch."""
    x, base, first, second = torch.randn(4, n, p, generator=gen(seed))
    rows = example(x, torch.rand(n, p, generator=gen(seed)) < 0.5)
    return replace(
        rows, base=base, base_variance=first.square(), near=torch.stack([first, second], 1)
    )


def shaken(ensemble, scale=0.3):
    """With weights that are no longer those of the start."""
    noise = torch.randn(ensemble.weights.shape, generator=gen(9))
    return replace(ensemble, weights=ensemble.weights + scale * noise)


@pytest.mark.parametrize("hidden", [(4,), (5, 5), (6, 4, 4, 3)])
@pytest.mark.parametrize("n_latents", [0, 2])
def test_the_start_is_the_linear_answer(hidden, n_latents):
    rows = random_rows()
    options = {"hidden": hidden, "n_latents": n_latents, "generator": gen()}
    ensemble = make_ensemble(slots(*["continuous"] * 3), 6, **options)
    alone = replace(rows, near=torch.zeros_like(rows.near))
    assert all(torch.equal(eta, rows.base) for eta in ensemble.forward(alone).eta)
    mean, variance = ensemble.predict(alone)
    torch.testing.assert_close(mean, rows.base)
    torch.testing.assert_close(variance, (rows.base_variance + 1e-4).clamp(min=math.exp(-8)))
    # Each neighbours' answer moves it by a third of the way.
    gate = torch.sigmoid(torch.tensor(-0.7))
    torch.testing.assert_close(ensemble.predict(rows)[0], rows.base + gate * rows.near.sum(1))


def test_forward_is_the_network_of_its_equation():
    rows = random_rows()
    likelihood = slots(*["continuous"] * 3)
    ensemble = make_ensemble(
        likelihood, 6, hidden=(4, 4), n_latents=2, n_members=2, generator=gen()
    )
    ensemble = shaken(ensemble)
    output = ensemble.forward(rows)
    for member, flat in enumerate(ensemble.weights):
        shapes, at, layers = [(6, 4), (4, 4), (2, 4), (4, 4), (4, 9), (4, 3)], 0, []
        for n_in, n_out in shapes:
            end = at + n_in * n_out
            layers.append((flat[at:end].view(n_in, n_out), flat[end : end + n_out]))
            at = end + n_out
        assert at == len(flat)
        (w1, b1), (wq, bq), (u, c), (w2, b2), (v, a), (vv, d) = layers
        h = torch.nn.functional.silu(rows.features @ w1 + b1)
        mu = (h @ wq + bq)[:, :2]
        h = h + mu @ u + c
        h = h + torch.nn.functional.silu(h @ w2 + b2)
        head = h @ v + a
        gates = torch.sigmoid(head[:, 3:] - 0.7)
        location = rows.base + gates[:, :3] * rows.near[:, 0] + gates[:, 3:] * rows.near[:, 1]
        torch.testing.assert_close(output.eta[member], location + head[:, :3])
        logvar = torch.log(rows.base_variance + 1e-4) + h @ vv + d
        torch.testing.assert_close(output.logvar[member], logvar.clamp(-8, 4))
        torch.testing.assert_close(output.posterior.mu[member], mu)


def test_members_are_combined_as_a_mixture():
    ensemble = shaken(make_ensemble(slots(*["continuous"] * 3), 6, generator=gen(), **SMALL))
    rows = random_rows()
    mean, variance = ensemble.predict(rows)
    eta, logvar, _ = ensemble.forward(rows)
    second_moment = (logvar.exp() + eta.square()).mean(0)
    torch.testing.assert_close(mean, eta.mean(0))
    torch.testing.assert_close(variance + mean.square(), second_moment)
    nothing = rows.rows(slice(0, 0))
    assert ensemble.predict(nothing)[0].shape == (0, 3)
    assert ensemble.draw(nothing, 4, gen()).shape == (4, 0, 3)


def test_members_are_independent_of_one_another():
    ensemble = shaken(make_ensemble(slots(*["continuous"] * 3), 6, generator=gen(), **SMALL))
    alone = replace(ensemble, weights=ensemble.weights[1:2])
    rows = random_rows()
    torch.testing.assert_close(ensemble.forward(rows).eta[1:2], alone.forward(rows).eta)
    weights = ensemble.weights.clone().requires_grad_()
    output = ensemble.forward(rows, weights=weights, dropout=gen(), codes=gen())
    terms = loss_terms(ensemble.likelihood, output, rows.hidden.expand_as(output.eta), rows.base)
    (gradient,) = torch.autograd.grad(sum(terms.values())[1], weights)
    assert (gradient.abs().amax(1) > 0).tolist() == [False, True, False]


def test_the_loss_counts_cells_of_columns():
    # One row: a category of three, the last of which is true, and a number.
    kind = ("categorical", "continuous", "categorical", "categorical")
    likelihood = slots(*kind, column=[0, 1, 0, 0])
    p, number, logvar = torch.tensor([0.2, 0.3, 0.5]), 0.7, 0.4
    eta = torch.stack([p[0].log(), torch.tensor(0.1), p[1].log(), p[2].log()])
    code = Normal(torch.tensor([[[0.5, -1.0]]]), torch.tensor([[[0.3, 0.0]]]))
    output = Output(eta.view(1, 1, 4), torch.full((1, 1, 4), logvar), code)
    truth = torch.tensor([[-1.0, number, -1.0, 1.0]])
    terms = loss_terms(likelihood, output, torch.ones(1, 1, 4), truth)
    # Indicators are -1 and 1, twice as far apart as probabilities.
    brier = 4 * (0.2**2 + 0.3**2 + 0.5**2) / 3
    log_density = scipy.stats.norm.logpdf(number, 0.1, math.exp(logvar / 2))
    kl = 0.5 * (math.exp(0.3) - 0.3 - 1 + 0.5**2 + 1.0**2)
    expected = {
        "squared error": (brier + 0.6**2) / 2,
        "likelihood": -(math.log(0.5) + log_density) / 2,
        "KL divergence": 0.02 * kl / 2,
    }
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-5)


def test_the_variance_does_not_train_the_layers_below_it():
    ensemble = shaken(make_ensemble(slots("continuous"), 2, generator=gen(), **SMALL))
    weights = ensemble.weights.clone().requires_grad_()
    rows = random_rows(p=1)
    output = ensemble.forward(rows, weights=weights)
    hidden = torch.ones_like(output.eta)
    fit = loss_terms(ensemble.likelihood, output, hidden, rows.base)["likelihood"]
    (gradient,) = torch.autograd.grad(fit.sum(), weights)
    head = 24 + 1
    assert gradient[:, :-head].abs().max() == 0
    assert gradient[:, -head:].abs().max() > 0


@pytest.mark.parametrize("df", [2.0, 5.0, math.inf])
def test_divergence_of_the_code(df):
    ensemble = shaken(make_ensemble(slots("continuous"), 2, df=df, generator=gen(), **SMALL))
    posterior = ensemble.forward(random_rows(p=1)).posterior
    expected = kl_student_t(posterior.mu.double(), posterior.logvar.double(), df)
    torch.testing.assert_close(divergence(posterior).double(), expected, atol=0.02, rtol=1e-5)
    assert isinstance(posterior, StudentT) == math.isfinite(df)


def test_the_loss_of_t_codes_becomes_that_of_normal_ones():
    rows, loss = random_rows(), {}
    for df in (math.inf, 1e9, 3.0):
        ensemble = make_ensemble(slots(*["continuous"] * 3), 6, df=df, generator=gen(), **SMALL)
        output = shaken(ensemble).forward(rows, codes=gen(1))
        hidden = rows.hidden.expand_as(output.eta)
        loss[df] = sum(loss_terms(ensemble.likelihood, output, hidden, rows.base).values())
    torch.testing.assert_close(loss[1e9], loss[math.inf], rtol=1e-4, atol=0)
    assert ((loss[3.0] - loss[math.inf]).abs() > 1e-2 * loss[math.inf].abs()).all()


@pytest.mark.parametrize("n_latents", [0, 3])
def test_learns_what_the_linear_answer_misses(n_latents):
    likelihood = slots("continuous", "continuous")
    ensemble = train(parabola(400), likelihood, n_latents=n_latents)
    x = parabola(500, seed=8)
    mean, _ = ensemble.predict(second_hidden(x))
    error = (mean - x)[:, 1].square().mean()
    assert error < 0.25 * x[:, 1].var()


def test_outliers_do_not_rule_a_student_t_likelihood():
    dirty, x = parabola(400), parabola(500, seed=8)
    wild = torch.rand(400, generator=gen(1)) < 0.08
    dirty[wild, 1] += 20
    error = {}
    for df in (4.0, math.inf):
        ensemble = train(dirty, slots("continuous", "continuous", df=df))
        error[df] = (ensemble.predict(second_hidden(x))[0] - x)[:, 1].square().mean()
    assert error[4.0] < 0.5 * error[math.inf]


def test_the_same_generator_gives_the_same_bytes():
    x, likelihood = parabola(60), slots("continuous", "continuous")
    state = torch.get_rng_state()
    first, again, other = (train(x, likelihood, seed, max_iter=25) for seed in (0, 0, 1))
    assert torch.equal(first.weights, again.weights)
    assert not torch.equal(first.weights, other.weights)
    rows = second_hidden(x)
    assert torch.equal(first.draw(rows, 5, gen(2)), again.draw(rows, 5, gen(2)))
    assert torch.equal(torch.get_rng_state(), state)  # the global one is not touched


def test_the_variance_follows_the_errors():
    def heteroscedastic(n, seed):
        first, noise = torch.randn(2, n, generator=gen(seed))
        return torch.stack([first, first.abs() + torch.where(first > 0, 0.8, 0.2) * noise], 1)

    options = {"hidden": (32, 32), "n_latents": 0, "dropout": 0.0, "max_iter": 400}
    ensemble = train(heteroscedastic(600, 1), slots("continuous", "continuous"), **options)
    x = heteroscedastic(2000, 2)
    mean, variance = (each[:, 1] for each in ensemble.predict(second_hidden(x)))
    squared = (x[:, 1] - mean).square()
    assert 0.4 < (squared / variance).mean() < 1.4
    # It describes the errors better than the best constant would, whose score is this.
    constant = squared.mean().log() + 1
    assert (variance.log() + squared / variance).mean() < constant - 0.1


def test_draws_are_of_members_in_turn_with_codes_of_their_own():
    ensemble = shaken(make_ensemble(slots(*["continuous"] * 3), 6, generator=gen(), **SMALL), 0.1)
    rows, n = random_rows(), 400
    turns = ensemble.draw(rows, 3 * n, gen(1)).unflatten(0, (n, 3))
    own = ensemble.forward(rows, weights=ensemble.weights.repeat(n, 1), codes=gen(2)).eta
    own = own.unflatten(0, (n, 3))
    error = ((turns.var(0) + own.var(0)) / n).sqrt()
    distance = min(
        ((turns.mean(0).roll(first, 0) - own.mean(0)) / error).abs().max() for first in range(3)
    )
    assert distance < 5
    assert (turns.std(0) > 0).all()


def test_categories_are_learned_and_their_probabilities_sum_to_one():
    number = torch.randn(300, generator=gen(1))
    category = torch.bucketize(number, torch.tensor([-0.5, 0.5]))
    indicators = torch.nn.functional.one_hot(category, 3) * 2.0 - 1
    x = torch.cat([indicators[:, :1], number[:, None], indicators[:, 1:]], 1)
    kind = ("categorical", "continuous", "categorical", "categorical")
    likelihood = slots(*kind, column=[0, 1, 0, 0])
    ensemble = train(x, likelihood, max_iter=300)
    visible = torch.tensor([False, True, False, False]).expand(x.shape)
    mean, variance = ensemble.predict(example(x, visible))
    probability = (mean[:, [0, 2, 3]] + 1) / 2
    torch.testing.assert_close(probability.sum(1), torch.ones(300))
    assert (probability.argmax(1) == category).float().mean() > 0.8
    assert (variance[:, [0, 2, 3]] <= 1.0001).all()  # of values -1 and 1


@pytest.mark.parametrize("kind", ["bounded", "count", "binary", "ordered"])
def test_every_kind_can_be_trained(kind):
    x = parabola(400)
    x[:, 1] = x[:, 1].clamp(-1, 1).round()
    terms = []
    ensemble = train(x, slots("continuous", kind), report=lambda *now: terms.append(now))
    assert min(error for _, _, error in terms) < 0.9 * terms[0][2]
    assert all(map(math.isfinite, terms[-1]))
    assert ensemble.weights.isfinite().all()


def test_a_table_of_one_column_keeps_its_start():
    x = torch.randn(20, 1, generator=gen())
    rows = example(x, torch.ones(20, 1, dtype=torch.bool))
    ensemble = fit_network([rows], rows, x, slots("continuous"), **SMALL, generator=gen(4))
    start = make_ensemble(slots("continuous"), 2, **SMALL, generator=gen(4))
    assert torch.equal(ensemble.weights, start.weights)


def test_noise_stops_the_training_and_no_member_is_worse_than_its_start():
    x, reports = torch.randn(60, 3, generator=gen(2)), []
    likelihood = slots(*["continuous"] * 3)
    ensemble = train(x, likelihood, max_iter=800, report=lambda *now: reports.append(now))
    assert [step for step, _, _ in reports[:2]] == [20, 40]
    assert len(reports) < 40
    hidden = chosen(x, likelihood, 0.1, 50)
    eta = ensemble.forward(example(x, ~hidden)).eta
    start = x[hidden].square().mean()
    assert ((x - eta)[:, hidden].square().mean(1) <= start + 1e-6).all()
    assert reports[-1][2] > start


def test_huge_values_are_survived_and_nan_is_named():
    x, likelihood = parabola(40), slots("continuous", "continuous")
    x[3, 1] = 1e30
    assert train(x, likelihood, max_iter=20).weights.isfinite().all()
    x[3, 1] = math.nan
    with pytest.raises(InputError, match="step 1 of the network: the squared error is not finite"):
        train(x, likelihood, max_iter=20)


@pytest.mark.parametrize(
    "options",
    [{"hidden": ()}, {"hidden": (0,)}, {"n_latents": -1}, {"n_members": 0}, {"dropout": 1}],
)
def test_sizes_out_of_range_are_named(options):
    with pytest.raises(InputError, match=next(iter(options))):
        make_ensemble(slots("continuous"), 2, **options, generator=gen())


def test_adamw_is_that_of_torch():
    start = torch.randn(2, 7, generator=gen(), dtype=F64)
    gradients = torch.randn(5, 2, 7, generator=gen(1), dtype=F64)
    own, theirs = start.clone(), torch.nn.Parameter(start.clone())
    ours = AdamW(own)
    reference = torch.optim.AdamW([theirs], betas=(0.9, 0.98), weight_decay=WEIGHT_DECAY)
    for step, gradient in enumerate(gradients):
        reference.param_groups[0]["lr"] = rate = 0.1 / (step + 1)
        theirs.grad = gradient.clone()
        reference.step()
        ours.step(gradient.clone(), rate)
    torch.testing.assert_close(own, theirs.data)
    # A member's gradient that is too long is cut, the other's is not.
    own, long = AdamW(start.clone()), torch.ones(2, 7, dtype=F64)
    long[0] *= 1e3
    own.step(long, 0.1)
    norm = own._mean.norm(dim=1) / 0.1
    torch.testing.assert_close(norm, torch.tensor([LARGEST_GRADIENT, 7**0.5], dtype=F64))


def test_learning_rate_rises_and_falls():
    rates = [learning_rate(step, 1000) for step in range(1, 1001)]
    assert rates.index(max(rates)) == 49
    assert rates[0] == pytest.approx(2e-3 / 50, rel=1e-4)
    assert rates[-1] == pytest.approx(0.02 * 2e-3)
