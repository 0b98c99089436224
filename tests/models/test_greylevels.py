"""The table against laws known in closed form, and the draws against the table."""

import math
from functools import partial

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from exact import gen

from vaefill.errors import InputError
from vaefill.models import greylevels
from vaefill.models.greylevels import GreyLevels, fit_grey_levels
from vaefill.storage import load_arrays, save_arrays


def chisquare(counts: np.ndarray, probability: np.ndarray) -> float:
    """P-value of counts against probabilities; levels of fewer than 5 expected go together."""
    assert counts[probability == 0].sum() == 0
    expected = counts.sum() * probability
    rare = expected < 5
    observed = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    return scipy.stats.chisquare(observed[expected > 0], expected[expected > 0]).pvalue


@pytest.fixture
def table() -> GreyLevels:
    """Nine bins: black, white and beta between; the levels from 100 to 119 never."""
    edges = torch.linspace(0, 1, 10, dtype=torch.float64)
    middles = (edges[1:] + edges[:-1]).numpy() / 2
    levels = np.arange(257) / 256
    rows = np.stack([np.diff(scipy.stats.beta(1 + 3 * m, 4 - 3 * m).cdf(levels)) for m in middles])
    rows[:, 100:120] = 0
    rows /= 2 * rows.sum(1, keepdims=True)
    rows[:, 0] += (1 - middles) / 2
    rows[:, 255] += middles / 2
    return GreyLevels(edges, torch.from_numpy(rows))


def test_table_of_a_binomial_law_is_its_integral_over_the_bin():
    # g | m ~ Binomial(255, m): over a bin (a, b) of uniform m, p(g) is the increment of the
    # distribution function of Beta(g + 1, 256 - g), over 256 (b - a).
    rng, n = np.random.default_rng(0), 500_000
    m = rng.random(n)
    grey = torch.from_numpy(rng.binomial(255, m).astype(np.uint8))
    fitted = fit_grey_levels(torch.from_numpy(m), grey, n_bins=12)
    edges, g = fitted.edges.numpy(), np.arange(256)
    increments = np.diff(scipy.special.betainc(g + 1, 256 - g, edges[:, None]), axis=0)
    expected = increments / increments.sum(1, keepdims=True)
    np.testing.assert_allclose(increments.sum(1) / 256, np.diff(edges), rtol=1e-9)

    pixels = np.histogram(m, edges)[0]
    for row, probability, k in zip(fitted.probability.numpy(), expected, pixels, strict=True):
        # The pseudo-count moves the statistic by far less than its standard deviation.
        frequent = k * probability >= 5
        row, probability = row[frequent], probability[frequent]
        statistic = (k * (row - probability) ** 2 / probability).sum()
        assert 1e-4 < scipy.stats.chi2(frequent.sum() - 1).sf(statistic) < 1 - 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_of_mixed_expectations_follow_the_table_in_every_chunk(table, monkeypatch, dtype):
    monkeypatch.setattr(greylevels, "_CHUNK", 70_001)
    m = torch.rand(3, 40_000, 5, generator=gen(2), dtype=dtype)
    grey = table.sample(m, gen())
    assert grey.dtype == torch.uint8
    bins = (m * 9).int()
    for number, probability in enumerate(table.probability.numpy()):
        counts = np.bincount(grey[bins == number].numpy(), minlength=256)
        assert chisquare(counts, probability) > 1e-4
    # Neighbours are independent.
    z = np.corrcoef(grey.flatten()[1:], grey.flatten()[:-1])[0, 1] * grey.numel() ** 0.5
    assert abs(z) < 5


def test_mean_is_the_mean_of_the_draws(table):
    m = torch.rand(2000, 1, generator=gen(2)).expand(2000, 300)
    intensity = table.sample(m, gen()).double() / 255
    error = intensity.mean(1) - table.mean(m[:, 0])
    z = error / (intensity.std(1) / 300**0.5)
    assert scipy.stats.kstest(z, "norm").pvalue > 1e-4
    assert table.mean(m[:, 0]).dtype == torch.float32
    # A fit keeps the mean grey, but for each bin's pseudo-count of one pixel.
    m = torch.rand(50_000, generator=gen())
    grey = (m.square() * 255).round().to(torch.uint8)
    fitted = fit_grey_levels(m, grey, n_bins=30)
    error = fitted.mean(m).double().mean() - grey.double().mean() / 255
    assert abs(error) < 30 / 50_000


def test_bins_are_equally_wide_in_the_angle():
    grey = torch.arange(5, dtype=torch.uint8)
    edges = [0, 0.5 - 0.5**1.5, 0.5, 0.5 + 0.5**1.5, 1]  # sin^2 of 0, 22.5, 45, 67.5, 90 degrees
    fitted = fit_grey_levels(torch.linspace(0, 1, 5), grey, n_bins=4)
    np.testing.assert_allclose(fitted.edges, edges, rtol=1e-14, atol=1e-16)
    # 0 | 0.25 | 0.5, on an edge | 0.75, and no 1: it has no bin of its own but the last.
    assert fitted.probability.argmax(1).tolist() == [0, 1, 2, 4]


def test_pseudo_count_by_hand():
    # Two pixels of level 7 in the first of three bins, one of 200 in the last.
    expected, grey = torch.tensor([0.01, 0.02, 0.99]), torch.tensor([7, 7, 200], dtype=torch.uint8)
    fitted = fit_grey_levels(expected, grey, n_bins=3).probability
    assert fitted[:, [7, 200]].sum(1).tolist() == pytest.approx([1, 1, 1])
    priors = [2 / 2.25, 1 / 1.5, 0.5 / 1.5]  # of level 7: 2 : 1/4, 1 : 1/2, 1/2 : 1
    assert fitted[:, 7].tolist() == pytest.approx(
        [(2 + priors[0]) / 3, priors[1], (0 + priors[2]) / 2]
    )


def test_only_pixels_in_where_count():
    expected, grey = torch.rand(4, 6, generator=gen()), torch.zeros(4, 6, dtype=torch.uint8)
    where = torch.rand(4, 6, generator=gen(2)) < 0.5
    hidden = expected.where(where, math.nan)
    seen = fit_grey_levels(hidden, grey.masked_fill(~where, 9), where, n_bins=5)
    again = fit_grey_levels(expected[where], grey[where], n_bins=5)
    assert torch.equal(seen.probability, again.probability)
    assert not seen.probability[:, 9].any()


@pytest.mark.parametrize("n_bins", [1, 255])
@pytest.mark.parametrize("level", [0, 255])
def test_all_bins_and_levels_are_reached(n_bins, level):
    # The largest table's last threshold just fits 32 bits.
    grey = torch.full((1000,), level, dtype=torch.uint8)
    m = torch.linspace(0, 1, 1000)
    fitted = fit_grey_levels(m, grey, n_bins=n_bins)
    assert torch.equal(fitted.sample(m.repeat(100), gen()), grey.repeat(100))


def test_draws_of_one_generator_grow_with_the_expectation(table):
    # Rows of the table are ordered stochastically, and a generator gives the same quantiles.
    dark, bright = (table.sample(torch.full((5000,), m), gen()) for m in (0.3, 0.7))
    assert (dark <= bright).all()
    assert (dark < bright).any()
    assert not torch.equal(dark, table.sample(torch.full((5000,), 0.3), gen(2)))
    assert table.sample(torch.empty(0, 784), gen()).shape == (0, 784)


def test_arrays_come_back_from_a_file(table, tmp_path):
    save_arrays(tmp_path / "grey.npz", table.arrays())
    again = GreyLevels.from_arrays(load_arrays(tmp_path / "grey.npz"))
    assert torch.equal(again.edges, table.edges)
    assert torch.equal(again.probability, table.probability)
    with pytest.raises(InputError, match="no probability among the arrays"):
        GreyLevels.from_arrays({"edges": np.linspace(0, 1, 3)})


GREY, M = torch.zeros(3, 4, dtype=torch.uint8), torch.rand(3, 4)
LINE = torch.linspace(0, 1, 4, dtype=torch.float64)
ONES = torch.ones(2, 256, dtype=torch.float64)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (fit_grey_levels, (M, GREY[:2]), r"grey: torch.uint8 of shape \(2, 4\); must be"),
        (fit_grey_levels, (M, GREY.float()), "grey: torch.float32 .* must be"),
        (fit_grey_levels, (M, GREY, GREY), "where: torch.uint8 .* must be torch.bool"),
        (fit_grey_levels, (M, GREY, GREY > 0), "no pixel to count"),
        (fit_grey_levels, (M + 1, GREY), r"expected pixels from 1.* must lie in \[0, 1\]"),
        (fit_grey_levels, (M * math.nan, GREY), "expected pixels from nan"),
        (GreyLevels, (LINE, ONES / 256), r"4 edges and a table of shape \(2,"),
        (GreyLevels, (LINE[:3], ONES[:, :255] / 255), r"table of shape \(2, 255\)"),
        (GreyLevels, (LINE[:3], ONES), "rows of the table sum to 256 to 256"),
        (GreyLevels, (LINE[:3], ONES * math.nan), "rows of the table sum to nan"),
        *[(partial(fit_grey_levels, n_bins=n_bins), (M, GREY), f"n_bins = {n_bins}: must be from 1")
          for n_bins in (0, 256)],
    ],
)  # fmt: skip
def test_bad_input_is_named(function, arguments, message):
    with pytest.raises(InputError, match=message):
        function(*arguments)


@pytest.mark.parametrize("bad", [-0.1, 1.1, math.nan])
def test_only_expected_pixels_in_range_are_drawn(table, bad):
    for function in (table.mean, partial(table.sample, generator=gen())):
        with pytest.raises(InputError, match=r"must lie in \[0, 1\]"):
            function(torch.tensor([0.5, bad]))
