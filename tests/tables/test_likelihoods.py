import math

import mpmath
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from exact import F64, gen

from vaefill.errors import InputError
from vaefill.tables.likelihoods import (
    LIKELIHOODS,
    SMALLEST_PROBABILITY,
    Bernoulli,
    Categorical,
    CensoredNormal,
    Mixed,
    RoundedNormal,
    StudentT,
)

MU, SIGMA = 0.3, 0.7


def tensor(*values, dtype=F64):
    return torch.tensor(values, dtype=dtype)


def make(likelihood, mu=MU, sigma=SIGMA, dtype=F64, **changes):
    """One of each, with limits -1 and 2 and a step of 0.5."""
    values = {"mu": mu, "logvar": 2 * math.log(sigma), "lower": -1.0, "upper": 2.0, "step": 0.5}
    known = {
        name: tensor(value, dtype=dtype)
        for name, value in {**values, **changes}.items()
        if name in likelihood.arg_constraints
    }
    if likelihood is StudentT:
        known["df"] = changes.get("df", math.inf)
    return likelihood(**known)


@pytest.mark.parametrize("df", [0.7, 5.0, math.inf])
def test_student_t_is_scipys(df):
    x = np.array([-40.0, 0.3, 1.0])
    law = scipy.stats.norm if math.isinf(df) else scipy.stats.t(df)
    expected = law.logpdf((x - MU) / SIGMA) - math.log(SIGMA)
    density = make(StudentT, df=df).log_prob(torch.from_numpy(x))
    np.testing.assert_allclose(density, expected, rtol=1e-10)


def test_censored_normal_is_a_density_with_two_atoms():
    law, cells = scipy.stats.norm(MU, SIGMA), make(CensoredNormal)
    ends = cells.log_prob(tensor(-1.0, 2.0)).exp()
    np.testing.assert_allclose(ends, [law.cdf(-1), law.sf(2)], rtol=1e-12)
    inner = scipy.integrate.quad(lambda x: cells.log_prob(tensor(x)).exp().item(), -1, 2)[0]
    assert inner + ends.sum() == pytest.approx(1, abs=1e-9)
    # Beyond a limit is on it; without limits it is the normal.
    assert cells.log_prob(tensor(-7.0)) == cells.log_prob(tensor(-1.0))
    free = make(CensoredNormal, lower=-math.inf, upper=math.inf)
    assert free.log_prob(tensor(5.0)).item() == pytest.approx(law.logpdf(5.0))


def test_rounded_normal_sums_to_one_and_its_ends_take_the_tails():
    law, cells, grid = scipy.stats.norm(MU, SIGMA), make(RoundedNormal), np.arange(-1, 2.1, 0.5)
    mass = cells.log_prob(torch.from_numpy(grid)).exp().numpy()
    edges = np.r_[-np.inf, grid[:-1] + 0.25, np.inf]
    np.testing.assert_allclose(mass, np.diff(law.cdf(edges)), rtol=1e-10)
    assert mass.sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("z", [-50.0, -3.0, 0.0, 0.2, 50.0])
@pytest.mark.parametrize("step", [1e-6, 0.5, 30.0])
def test_rounded_normal_keeps_its_digits_in_the_tails(z, step):
    free = {"lower": -math.inf, "upper": math.inf}
    cells = make(RoundedNormal, mu=0.0, sigma=1.0, step=step, **free)
    with mpmath.workdps(800):
        low, high = mpmath.ncdf(z - mpmath.mpf(step) / 2), mpmath.ncdf(z + mpmath.mpf(step) / 2)
        expected = float(mpmath.log(high - low))
    assert cells.log_prob(tensor(z)).item() == pytest.approx(expected, rel=1e-7, abs=1e-12)


def test_bernoulli_is_scipys_and_never_sure():
    values = tensor(-1.0, 2.0)
    p = (MU + 1) / 3
    expected = scipy.stats.bernoulli.logpmf([0, 1], p)
    np.testing.assert_allclose(make(Bernoulli).log_prob(values), expected, rtol=1e-12)
    sure = make(Bernoulli, mu=5.0).log_prob(values).exp()
    np.testing.assert_allclose(sure, [SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY])


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("likelihood", dict.fromkeys(LIKELIHOODS.values()))
@pytest.mark.parametrize("z", [-50.0, 0.0, 50.0])
@pytest.mark.parametrize("x", [-1.0, 0.5, 2.0])
def test_values_and_gradients_are_finite_far_out(likelihood, dtype, z, x):
    cells = make(likelihood, mu=x - z * SIGMA, dtype=dtype, df=5.0)
    assert cells.support.check(tensor(x)).all()
    leaves = [getattr(cells, name, None) for name in ("mu", "logvar")]
    leaves = [leaf.requires_grad_() for leaf in leaves if leaf is not None]
    value = cells.log_prob(tensor(x, dtype=dtype))
    value.sum().backward()
    assert value.isfinite().all()
    assert all(leaf.grad is None or leaf.grad.isfinite().all() for leaf in leaves)
    if z and x == 0.5 and likelihood not in (Bernoulli, Categorical):
        assert leaves[1].grad != 0  # a location so far off asks for a larger scale


# Two categorical columns, of 2 and 3 slots, between and around the others.
KIND = ("categorical", "continuous", "categorical", "count", "categorical", "binary", "bounded")
KIND += ("categorical", "ordered", "categorical")
COLUMN = torch.tensor([0, 1, 2, 3, 2, 4, 5, 0, 6, 2])
P = len(KIND)


def mixed(df=math.inf):
    lower, upper = torch.full((P,), -1.0, dtype=F64), torch.full((P,), 2.0, dtype=F64)
    return Mixed(KIND, COLUMN, lower, upper, torch.full((P,), 0.5, dtype=F64), df)


def cells(n=4):
    location, residual, logvar = torch.randn(3, n, P, generator=gen(1), dtype=F64)
    return location, residual, logvar


def test_mixed_is_each_kind_in_its_slots():
    table, (location, residual, logvar) = mixed(df=5.0), cells()
    eta = table.moved(location, residual)
    x = torch.randint(0, 7, (4, P), generator=gen(2)) * 0.5 - 1
    found = table.log_prob(x, eta, logvar)
    for slot, kind in enumerate(KIND):
        parameters = {**vars(table), "mu": eta, "logvar": logvar}
        own = {
            name: value[..., slot] if isinstance(value, torch.Tensor) else value
            for name, value in parameters.items()
            if name in LIKELIHOODS[kind].arg_constraints
        }
        expected = LIKELIHOODS[kind](**own).log_prob(x[:, slot])
        torch.testing.assert_close(found[:, slot], expected)


def test_categories_of_a_column_sum_to_one():
    table, (location, residual, _) = mixed(), cells()
    eta = table.moved(location, 50 * residual)
    probability = (table.mean(eta) + 1) / 3
    numeric = COLUMN.bincount()[COLUMN] == 1
    for column, slots in ((0, [0, 7]), (2, [2, 4, 9])):
        assert (column == COLUMN[slots]).all()
        torch.testing.assert_close(probability[:, slots].sum(1), torch.ones(4, dtype=F64))
        p = ((location[:, slots] + 1) / 3).clamp(min=SMALLEST_PROBABILITY)
        expected = (p.log() + 50 * residual[:, slots]).softmax(1)
        torch.testing.assert_close(probability[:, slots], expected)
    assert torch.equal(eta[:, numeric], (location + 50 * residual)[:, numeric])
    assert torch.equal(table.mean(eta)[:, numeric], eta[:, numeric])
    torch.testing.assert_close(table.share, 1 / COLUMN.bincount()[COLUMN].double())


def test_variance_of_discrete_cells_is_that_of_their_two_values():
    table, (location, _, logvar) = mixed(), cells()
    eta = table.moved(location, torch.zeros_like(location))
    p = ((table.mean(eta) + 1) / 3).clamp(SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    discrete = torch.tensor([kind in ("binary", "categorical") for kind in KIND])
    expected = torch.where(
        discrete, torch.from_numpy(scipy.stats.bernoulli.var(p)) * 9, logvar.exp()
    )
    torch.testing.assert_close(table.variance(eta, logvar), expected)


def test_squared_error_weighs_outliers_down():
    table, (x, mean, logvar) = mixed(df=5.0), cells()
    variance, numeric = logvar.exp(), ~table.discrete
    assert torch.equal(mixed().squared_error(x, mean, variance), (x - mean).square())
    mean.requires_grad_()
    error = table.squared_error(x, mean, variance)
    at_zero = StudentT(x, logvar, 5.0).log_prob(x) - StudentT(mean, logvar, 5.0).log_prob(x)
    torch.testing.assert_close(error[:, numeric], (2 * variance * at_zero)[:, numeric])
    assert torch.equal(error[:, table.discrete], (x - mean).square()[:, table.discrete])
    (slope,) = torch.autograd.grad(error.sum(), mean)
    weight = torch.where(numeric, 6 / (5 + (x - mean).square() / variance), 1)
    torch.testing.assert_close(slope, 2 * weight * (mean - x))


def test_a_binary_column_of_one_value_is_certain_of_it():
    one = tensor(0.0)
    table = Mixed(("binary",), torch.tensor([0]), one, one, one)
    probability = table.log_prob(one, one, one).exp().item()
    assert probability == pytest.approx(1 - SMALLEST_PROBABILITY)


@pytest.mark.parametrize(
    ("kind", "step", "df", "message"),
    [
        ("text", 0.5, math.inf, "slot 0: kind 'text'"),
        ("count", 0.0, math.inf, "step"),
        ("continuous", 0.0, 0.0, "df"),
    ],
)
def test_bad_parameters_are_named(kind, step, df, message):
    one = tensor(1.0)
    with pytest.raises(InputError, match=message):
        Mixed((kind,), torch.tensor([0]), one, one, step * one, df)
