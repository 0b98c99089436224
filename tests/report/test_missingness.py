import numpy as np
import pyarrow as pa
import pytest
from report_tables import QUICK
from scipy.stats import mannwhitneyu

from vaefill.report.missingness import mann_whitney, signs, together
from vaefill.report.trial import assess


@pytest.mark.parametrize("decimals", [0, 6])
def test_mann_whitney_is_scipys_with_and_without_ties(decimals):
    rng = np.random.default_rng(0)
    values = rng.normal(size=80).round(decimals)
    gaps = rng.random((80, 3)) < [0.1, 0.5, 0.9]
    auc, p = mann_whitney(values, gaps)
    for j, gap in enumerate(gaps.T):
        found = mannwhitneyu(values[gap], values[~gap], method="asymptotic", use_continuity=False)
        assert auc[j] == pytest.approx(found.statistic / gap.sum() / (~gap).sum())
        assert p[j] == pytest.approx(found.pvalue)


def test_mann_whitney_says_nothing_of_a_column_without_gaps_or_values():
    gaps = np.array([[True, False], [True, False], [True, False]])
    assert np.isnan(mann_whitney(np.arange(3.0), gaps)).all()


def test_together_by_hand():
    missing = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 1, 0]], dtype=bool)
    np.testing.assert_allclose(together(missing), [[1, 2 / 3, 0], [1, 1, 0], [0, 0, 0]])


def gappy(gap_of_b):
    rng = np.random.default_rng(1)
    a, b, c = rng.normal(size=(3, 500))
    town = np.where(rng.random(500) < 0.4, "Rome", "Oslo")
    mask = gap_of_b(a, b, town, rng)
    return assess(pa.table({"a": a, "b": pa.array(b, mask=mask), "c": c, "town": town}), **QUICK)


def test_gaps_that_depend_on_another_column_show():
    (sign,) = signs(gappy(lambda a, b, town, rng: a > 1))
    assert sign[:3] == ("b", "a", "")
    assert sign.auc == 1


def test_gaps_that_depend_on_a_category_show():
    (sign,) = signs(gappy(lambda a, b, town, rng: (town == "Oslo") & (rng.random(500) < 0.5)))
    assert sign[:3] == ("b", "town", "Rome")
    assert sign.auc < 0.4


@pytest.mark.parametrize(
    "gap",
    [lambda a, b, town, rng: rng.random(500) < 0.2, lambda a, b, town, rng: b > 1],
    ids=["completely at random", "by its own value, which nobody can see"],
)
def test_other_gaps_do_not_show(gap):
    assert signs(gappy(gap)) == []
