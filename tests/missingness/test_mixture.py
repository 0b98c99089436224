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


def drawn(n, height=28, width=28, *, seed=0, **parts):
    return draw_mixture(n, height, width, parts=parts, rng=np.random.default_rng(seed))


def test_weights_are_the_chances_of_the_mechanisms():
    # Told apart by their pixels: one whole square of a size, its half, or single pixels.
    missing = drawn(
        5000, 20, 20,
        random={"weight": 6, "fraction": 0.5},
        square={"weight": 3, "size": 5},
        half={"weight": 1, "side": "top"},
        scanlines={"weight": 0, "fraction": 0.5},
    )  # fmt: skip
    is_square = missing.sum(axis=(1, 2)) == 25
    is_half = missing[:, :10].all(axis=(1, 2)) & ~missing[:, 10:].any(axis=(1, 2))
    is_row = (missing == missing[:, :, :1]).all(axis=(1, 2)) & ~is_half
    assert not is_row.any()
    counts = [(~is_square & ~is_half).sum(), is_square.sum(), is_half.sum()]
    assert chisquare(counts, 5000 * np.array([0.6, 0.3, 0.1])).pvalue > 1e-3


def test_mechanisms_come_in_no_order():
    parts = {"square": {"weight": 1, "size": 5}, "half": {"weight": 1, "side": "left"}}
    is_square = drawn(2000, 9, 9, **parts).sum(axis=(1, 2)) == 25
    low, high = binom.interval(0.999, 1999, 0.5)
    assert low <= (is_square[1:] == is_square[:-1]).sum() <= high


def test_a_range_of_fractions_is_uniform():
    missing = drawn(500, 100, 100, random={"weight": 1, "fraction": [0.2, 0.6]})
    # With 10,000 pixels an image shows its own fraction within about 0.005.
    assert kstest(missing.mean(axis=(1, 2)), "uniform", (0.2, 0.4)).pvalue > 1e-3


def test_a_range_of_sizes_has_both_ends():
    missing = drawn(3000, square={"weight": 1, "size": [6, 9]})
    sizes, counts = np.unique(np.sqrt(missing.sum(axis=(1, 2))), return_counts=True)
    np.testing.assert_array_equal(sizes, [6, 7, 8, 9])
    assert chisquare(counts).pvalue > 1e-3


def test_one_value_serves_all_images():
    for size in (7, [7, 7]):
        assert (drawn(50, square={"weight": 1, "size": size}).sum(axis=(1, 2)) == 49).all()
    assert drawn(50, half={"weight": 1, "side": "left"})[:, :, :14].all()
    several = drawn(400, squares={"weight": 1, "count": [1, 3], "size": [2, 3]})
    assert set(np.unique(several.sum(axis=(1, 2)))) >= {4, 8, 9, 12, 18, 27}


@pytest.mark.parametrize(("n", "height", "width"), [(250, 28, 28), (3, 18, 30), (0, 30, 18)])
def test_shape_and_seed(n, height, width):
    first, again, other = (drawn(n, height, width, seed=seed, **PARTS) for seed in (0, 0, 1))
    assert first.shape == (n, height, width)
    assert first.dtype == bool
    np.testing.assert_array_equal(first, again)
    assert not n or (first != other).any()
    assert set(PARTS) == set(MCAR)  # each of them can take part


HALF, RANDOM, SQUARE = {"side": "any"}, {"weight": 1, "fraction": 0.3}, {"weight": 1, "size": 6}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, r"weights = \[\]: one at least must be above 0"),
        ({"half": HALF | {"weight": 0}}, r"weights = \[0\.0\]: one at least"),
        *[({"half": HALF | {"weight": weight}}, rf"half: weight = {weight!r}: must be a number, at")
          for weight in (-1, "1", np.nan, True)],
        ({"half": HALF}, r"half: has side; must have weight, side"),
        ({"half": {}}, r"half: has no settings; must have weight, side"),
        ({"random": {"weight": 1, "rate": 0.3}}, r"random: has weight, rate; .* weight, fraction"),
        ({"mnar": {"weight": 1}}, r"'mnar': must be one of random, square, squares, half, sca"),
        ({"random": RANDOM | {"fraction": [0.8, 0.1]}}, r"fraction = \[0\.8, 0\.1\]: .* ascending"),
        ({"random": RANDOM | {"fraction": [0.1]}}, r"fraction = \[0\.1\]: a range must be two"),
        ({"random": RANDOM | {"fraction": ["a", 1]}}, r"fraction = \['a', 1\]: a range must"),
        ({"random": RANDOM | {"fraction": [0.5, 1]}}, r"fraction = 1\.0: .* between 0 and 1"),
        ({"square": SQUARE | {"size": [6, 29]}}, r"size = 29: .* images of 28 x 28"),
        ({"square": SQUARE | {"size": [6, 9.5]}}, r"size = 6\.0: must be .* whole pixels"),
        ({"squares": SQUARE | {"count": [0, 2]}}, r"count = 0: must be a whole"),
    ],
)  # fmt: skip
def test_bad_parts_are_named_whatever_is_drawn(parts, message):
    with pytest.raises(InputError, match=message) as error:
        drawn(0, **parts)
    assert "\n" not in str(error.value)


def test_the_ends_of_a_range_are_looked_at_without_a_draw():
    # A range that is checked must not change what is drawn.
    missing = drawn(5, random={"weight": 1, "fraction": 0.4}, seed=4)
    rng = np.random.default_rng(4)
    rng.choice(1, size=5, p=[1.0])
    np.testing.assert_array_equal(missing, rng.random((5, 28, 28)) < 0.4)
