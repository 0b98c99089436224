"""What is hidden: as much as is asked for, and depending on what it should depend on."""

import numpy as np
import pytest

from study.tables.hiding import KEPT, Condition, contaminate, hide
from vaefill.errors import InputError


@pytest.fixture(scope="module")
def table():
    """Ten columns of 5,000 rows, skewed, each related to the next."""
    rng = np.random.default_rng(0)
    z = rng.standard_normal((5000, 10))
    z[:, 1:] += 0.5 * z[:, :-1]
    return np.exp(z / 2)


@pytest.mark.parametrize("rate", [10, 30, 50])
@pytest.mark.parametrize("mechanism", ["mcar", "mar", "mnar"])
def test_the_share_of_missing_cells_is_the_rate(table, mechanism, rate):
    missing = hide(table, Condition(mechanism, rate), np.random.default_rng(1))
    shares = missing.mean(0)
    hit = shares > 0
    assert hit.sum() == (7 if mechanism == "mar" else 10)
    # Five standard deviations of a share of 5,000.
    assert shares[hit] == pytest.approx(rate / 100, abs=5 * 0.5 / 5000**0.5)


def dependence(table, missing):
    """Correlation of every column's missing cells (rows) with every column's values."""
    hit = missing.any(0)
    both = np.corrcoef(missing[:, hit].T, table.T)
    return both[: hit.sum(), hit.sum() :], hit


def test_each_mechanism_depends_on_what_it_should():
    table = np.random.default_rng(0).standard_normal((5000, 10))
    for mechanism in ("mcar", "mar", "mnar"):
        missing = hide(table, Condition(mechanism, 30), np.random.default_rng(2))
        found, hit = dependence(table, missing)
        strength = np.abs(found)
        noise = 5 / 5000**0.5
        own = strength[np.arange(hit.sum()), np.flatnonzero(hit)]
        if mechanism == "mnar":
            assert own.min() > 0.3
        else:
            assert own.max() < noise
        if mechanism == "mar":
            assert strength[:, hit].max() < noise
            assert strength[:, ~hit].max(1).min() > 0.15
        if mechanism == "mcar":
            assert strength.max() < noise


def test_every_column_keeps_cells_of_two_values():
    table = np.zeros((12, 3))
    table[0] = 1
    for seed in range(20):
        missing = hide(table, Condition("mcar", 95), np.random.default_rng(seed))
        for column, gaps in zip(table.T, missing.T, strict=True):
            assert (~gaps).sum() >= KEPT
            assert np.ptp(column[~gaps]) == 1


def test_the_same_generator_hides_the_same_cells(table):
    one, two, other = (
        hide(table, Condition("mar", 30), np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_a_larger_share_spoils_what_a_smaller_one_does_and_no_missing_cell():
    values = np.full((300, 4), 2.0)
    values[::7] = np.nan
    none, some, more = (
        contaminate(values, share, 10.0, np.random.default_rng(0)) for share in (0.0, 0.02, 0.05)
    )
    assert np.array_equal(none, values, equal_nan=True)
    moved, further = some != none, more != none
    assert not np.any(~np.isnan(values) & moved & ~further)
    assert set(np.unique(more[~np.isnan(values)])) == {-8.0, 2.0, 12.0}
    assert (further & ~np.isnan(values)).sum() / (~np.isnan(values)).sum() == pytest.approx(
        0.05, abs=0.03
    )


@pytest.mark.parametrize("text", ["mcar", "mcar-0", "mcar-100", "mcra-30", "30", "mar-x"])
def test_what_is_no_condition_is_refused(text):
    with pytest.raises(InputError, match="such as mcar-30"):
        Condition.parse(text)
    assert str(Condition.parse("mnar-30")) == "mnar-30"
