import numpy as np
import pytest
from scipy.stats import binom, chisquare, kstest

from vaefill.errors import InputError
from vaefill.missingness.mechanisms import MCAR
from vaefill.missingness.mixture import draw_mixture

PARTS = {
    "random": {"weight": 0.3, "fraction": [0.1, 0.8]},
    "square": {"weight": 0.4, "size": [6, 18]},
    "squares": {"weight": 0.1, "count": [2, 4], "size": [5, 9]},
    "half": {"weight": 0.1, "side": "any"},
    "scanlines": {"weight": 0.1, "fraction": 0.5},
}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def alone(name, n, rng, height=28, width=28, **settings):
    parts = {name: {"weight": 1, **settings}}
    return draw_mixture(n, height, width, parts=parts, rng=rng)


def test_weights_are_the_chances_of_the_mechanisms(rng):
    # Told apart by their pixels: one whole square of a size, its half, or single pixels.
    parts = {
        "random": {"weight": 6, "fraction": 0.5},
        "square": {"weight": 3, "size": 5},
        "half": {"weight": 1, "side": "top"},
        "scanlines": {"weight": 0, "fraction": 0.5},
    }
    missing = draw_mixture(5000, 20, 20, parts=parts, rng=rng)
    pixels = missing.sum(axis=(1, 2))
    is_square = pixels == 25
    is_half = missing[:, :10].all(axis=(1, 2)) & ~missing[:, 10:].any(axis=(1, 2))
    is_row = (missing == missing[:, :, :1]).all(axis=(1, 2)) & ~is_half
    assert not is_row.any()
    counts = [(~is_square & ~is_half).sum(), is_square.sum(), is_half.sum()]
    assert chisquare(counts, 5000 * np.array([0.6, 0.3, 0.1])).pvalue > 1e-3


def test_mechanisms_come_in_no_order(rng):
    parts = {
        "square": {"weight": 1, "size": 5},
        "half": {"weight": 1, "side": "left"},
    }
    is_square = draw_mixture(2000, 9, 9, parts=parts, rng=rng).sum(axis=(1, 2)) == 25
    same = (is_square[1:] == is_square[:-1]).sum()
    low, high = binom.interval(0.999, 1999, 0.5)
    assert low <= same <= high


def test_a_range_of_fractions_is_uniform(rng):
    missing = alone("random", 500, rng, 100, 100, fraction=[0.2, 0.6])
    # With 10,000 pixels an image shows its own fraction within about 0.005.
    assert kstest(missing.mean(axis=(1, 2)), "uniform", (0.2, 0.4)).pvalue > 1e-3


def test_a_range_of_sizes_has_both_ends(rng):
    missing = alone("square", 3000, rng, size=[6, 9])
    sizes, counts = np.unique(np.sqrt(missing.sum(axis=(1, 2))), return_counts=True)
    np.testing.assert_array_equal(sizes, [6, 7, 8, 9])
    assert chisquare(counts).pvalue > 1e-3


def test_one_value_serves_all_images(rng):
    assert (alone("square", 50, rng, size=7).sum(axis=(1, 2)) == 49).all()
    assert (alone("square", 50, rng, size=[7, 7]).sum(axis=(1, 2)) == 49).all()
    assert alone("half", 50, rng, side="left")[:, :, :14].all()
    count_and_size = alone("squares", 400, rng, count=[1, 3], size=[2, 3])
    assert set(np.unique(count_and_size.sum(axis=(1, 2)))) >= {4, 8, 9, 12, 18, 27}


@pytest.mark.parametrize(("n", "height", "width"), [(250, 28, 28), (3, 18, 30), (1, 30, 18)])
def test_shape_and_seed(n, height, width):
    first, again, other = (
        draw_mixture(n, height, width, parts=PARTS, rng=np.random.default_rng(seed))
        for seed in (0, 0, 1)
    )
    assert first.shape == (n, height, width)
    assert first.dtype == bool
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert set(PARTS) == set(MCAR)  # each of them can take part
    rng = np.random.default_rng(0)
    assert draw_mixture(0, height, width, parts=PARTS, rng=rng).shape == (0, height, width)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, r"weights = \[\]: one at least must be above 0"),
        ({"half": {"weight": 0, "side": "any"}}, r"weights = \[0\.0\]: one at least"),
        ({"half": {"weight": -1, "side": "any"}}, r"half: weight = -1: must be a number, at"),
        ({"half": {"weight": "1", "side": "any"}}, r"half: weight = '1': must be a number"),
        ({"half": {"weight": np.nan, "side": "any"}}, r"half: weight = nan: must be a number"),
        ({"half": {"weight": True, "side": "any"}}, r"half: weight = True: must be a number"),
        ({"half": {"weight": 1, "side": "up"}}, r"half: side = 'up': must be one of any, top"),
        ({"half": {"side": "any"}}, r"half: has side; must have weight, side"),
        ({"half": {}}, r"half: has no settings; must have weight, side"),
        ({"random": {"weight": 1, "rate": 0.3}}, r"random: has weight, rate; .* weight, fraction"),
        ({"mnar": {"weight": 1}}, r"'mnar': must be one of random, square, squares, half, sca"),
        ({"random": {"weight": 1, "fraction": [0.8, 0.1]}}, r"fraction = \[0\.8, 0\.1\]: .* asc"),
        ({"random": {"weight": 1, "fraction": [0.1]}}, r"fraction = \[0\.1\]: a range must be two"),
        ({"random": {"weight": 1, "fraction": ["a", 1]}}, r"fraction = \['a', 1\]: a range must"),
        ({"random": {"weight": 1, "fraction": [0.5, 1]}}, r"fraction = 1\.0: .* between 0 and 1"),
        ({"random": {"weight": 1, "fraction": 0}}, r"fraction = 0: must lie strictly"),
        ({"square": {"weight": 1, "size": [6, 29]}}, r"size = 29: .* images of 28 x 28"),
        ({"square": {"weight": 1, "size": [6, 9.5]}}, r"size = 6\.0: must be .* whole pixels"),
        ({"square": {"weight": 1, "size": 6.5}}, r"size = 6\.5: must be .* whole pixels"),
        ({"square": {"weight": 1, "size": "6"}}, r"square: size = '6': must be a number"),
        ({"squares": {"weight": 1, "size": 6, "count": [0, 2]}}, r"count = 0: must be a whole"),
    ],
)
@pytest.mark.parametrize("n", [0, 5])  # found whatever is drawn
def test_bad_parts_are_named(rng, parts, message, n):
    with pytest.raises(InputError, match=message) as error:
        draw_mixture(n, 28, 28, parts=parts, rng=rng)
    assert "\n" not in str(error.value)


def test_the_ends_of_a_range_are_looked_at_without_a_draw():
    # A range that is checked must not change what is drawn.
    rng = np.random.default_rng(4)
    missing = alone("random", 5, rng, fraction=0.4)
    rng = np.random.default_rng(4)
    rng.choice(1, size=5, p=[1.0])
    np.testing.assert_array_equal(missing, rng.random((5, 28, 28)) < 0.4)
