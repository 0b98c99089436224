import numpy as np
import pytest
from scipy.stats import binom, chisquare

from stages import mask
from vaefill import missingness
from vaefill.errors import InputError
from vaefill.storage import load_arrays, save_arrays

SETTINGS = {"random": {"fraction": 0.3}, "square": {"size": 12}}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


# random


@pytest.mark.parametrize("fraction", [0.01, 0.3, 0.9])
def test_random_fraction_lies_in_its_binomial_interval(rng, fraction):
    missing = missingness.random((1000, 28, 28), fraction=fraction, rng=rng)
    assert missing.shape == (1000, 28, 28)
    assert missing.dtype == bool
    low, high = binom.interval(0.999, missing.size, fraction)
    assert low <= missing.sum() <= high


def test_random_misses_every_pixel_alike_and_independently(rng):
    n_samples, fraction = 5000, 0.3
    missing = missingness.random((n_samples, 28, 28), fraction=fraction, rng=rng)
    low, high = binom.interval(1 - 1e-3 / 784, n_samples, fraction)
    per_pixel = missing.sum(axis=0)
    assert low <= per_pixel.min()
    assert per_pixel.max() <= high
    for first, second in [
        (missing[:, :, 1:], missing[:, :, :-1]),
        (missing[:, 1:], missing[:, :-1]),
        (missing[1:], missing[:-1]),
    ]:
        both = (first & second).mean()
        assert abs(both - fraction**2) < 4 * np.sqrt(fraction**2 / first.size)


def test_random_differs_between_images(rng):
    missing = missingness.random((100, 28, 28), fraction=0.3, rng=rng)
    assert len(np.unique(missing.reshape(100, -1), axis=0)) == 100


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, np.nan, np.inf])
def test_random_refuses_fractions_outside_0_and_1(rng, fraction):
    with pytest.raises(InputError, match=rf"fraction = {fraction}: must lie strictly between"):
        missingness.random((2, 28, 28), fraction=fraction, rng=rng)


# square


def corners(missing):
    """First missing row and column of every image."""
    return missing.any(axis=2).argmax(axis=1), missing.any(axis=1).argmax(axis=1)


@pytest.mark.parametrize(
    ("height", "width", "size"), [(28, 28, 12), (28, 28, 1), (28, 28, 28), (9, 7, 4), (7, 9, 7)]
)
def test_square_is_whole_and_inside(rng, height, width, size):
    missing = missingness.square((500, height, width), size=size, rng=rng)
    assert missing.shape == (500, height, width)
    assert missing.dtype == bool
    for image, top, left in zip(missing, *corners(missing), strict=True):
        expected = np.zeros((height, width), bool)
        expected[top : top + size, left : left + size] = True
        assert expected.sum() == size**2
        np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize(("height", "width", "size"), [(28, 28, 12), (9, 7, 4)])
def test_square_reaches_every_place_alike(rng, height, width, size):
    rows, columns = height - size + 1, width - size + 1
    missing = missingness.square((40 * rows * columns, height, width), size=size, rng=rng)
    top, left = corners(missing)
    counts = np.bincount(top * columns + left, minlength=rows * columns)
    assert len(counts) == rows * columns
    assert counts.min() > 0
    assert chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize(("size", "height", "width"), [(29, 28, 28), (8, 9, 7), (0, 28, 28)])
def test_square_refuses_sizes_that_do_not_fit(rng, size, height, width):
    with pytest.raises(InputError, match=rf"size = {size}: .* images of {height} x {width}"):
        missingness.square((2, height, width), size=size, rng=rng)


# both


@pytest.mark.parametrize("name", missingness.MECHANISMS)
def test_same_rng_gives_the_same_pixels(name):
    shape, draw = (20, 28, 28), missingness.MECHANISMS[name]
    first, again, other = (
        draw(shape, **SETTINGS[name], rng=np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_mechanism_does_not_change_with_the_others():
    shape = (20, 28, 28)
    both = missingness.draw(shape, seed=5, settings=SETTINGS)
    other_size = missingness.draw(shape, seed=5, settings=SETTINGS | {"square": {"size": 3}})
    alone = missingness.draw(shape, seed=5, settings={"square": {"size": 12}})
    turned = missingness.draw(shape, seed=5, settings=dict(reversed(SETTINGS.items())))
    np.testing.assert_array_equal(both["random"], other_size["random"])
    np.testing.assert_array_equal(both["square"], alone["square"])
    for name in SETTINGS:
        np.testing.assert_array_equal(both[name], turned[name])


def test_mechanisms_have_streams_of_their_own(monkeypatch):
    # The same function under two names: one shared stream would give the same pixels twice.
    monkeypatch.setitem(missingness.MECHANISMS, "other", missingness.random)
    settings = {"random": {"fraction": 0.5}, "other": {"fraction": 0.5}}
    missing = missingness.draw((500, 28, 28), seed=5, settings=settings)
    agree = (missing["random"] == missing["other"]).sum()
    low, high = binom.interval(0.999, missing["random"].size, 0.5)
    assert low <= agree <= high


def test_pixels_of_a_seed_stay_what_they_are():
    missing = missingness.draw((2, 28, 28), seed=2024, settings=SETTINGS)
    assert np.flatnonzero(missing["random"][0])[:6].tolist() == [0, 5, 6, 7, 9, 13]
    assert [x.tolist() for x in corners(missing["square"])] == [[13, 14], [9, 0]]


# the stage


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """Run the stage on 30 test images with the given params."""
    monkeypatch.chdir(tmp_path)
    save_arrays("split.npz", {"test_images": np.zeros((30, 28, 28), np.uint8)})

    def run(params="mask: {seed: 2024, random: {fraction: 0.3}, square: {size: 12}}"):
        (tmp_path / "params.yaml").write_text(params, "utf-8")
        mask.main(["--split", "split.npz", "--out", "missing.npz"])
        return load_arrays("missing.npz")

    return run


def test_stage(stage, tmp_path):
    missing = stage()
    assert set(missing) == set(missingness.MECHANISMS)
    expected = missingness.draw((30, 28, 28), seed=2024, settings=SETTINGS)
    for name, array in missing.items():
        np.testing.assert_array_equal(array, expected[name])
    content = (tmp_path / "missing.npz").read_bytes()
    stage()
    assert (tmp_path / "missing.npz").read_bytes() == content


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("seed: 1, random: {fraction: 0}, square: {size: 12}", r"mask\.random\.fraction = 0"),
        ("seed: 1, random: {fraction: 1.5}, square: {size: 12}", r"mask\.random\.fraction = 1\.5"),
        ("seed: 1, random: {fraction: .nan}, square: {size: 12}", r"mask\.random\.fraction = nan"),
        ("seed: 1, random: {fraction: abc}, square: {size: 12}", r"mask\.random\.fraction = 'abc'"),
        ("seed: 1, random: {fraction: 0.3}, square: {size: 29}", r"square: size = 29: .*28 x 28"),
        ("seed: 1, random: {fraction: 0.3}, square: {size: 0}", r"mask\.square\.size = 0"),
        ("seed: 1, random: {fraction: 0.3}, square: {size: 1.5}", r"mask\.square\.size = 1\.5"),
        ("seed: -1, random: {fraction: 0.3}, square: {size: 12}", r"mask\.seed = -1"),
        (
            "seed: 1, random: {rate: 0.3}, square: {size: 12}",
            r"mask\.random\.rate = 0\.3: no stage",
        ),
        ("seed: 1, random: {fraction: 0.3}", r"mask\.square is missing"),
    ],
)
def test_bad_params_stop_the_stage(stage, tmp_path, params, message):
    with pytest.raises(InputError, match=message) as error:
        stage(f"mask: {{{params}}}")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "missing.npz").exists()


def test_fraction_that_dvc_wrote_in_short_form_is_a_number(stage):
    stage("mask: {seed: 1, random: {fraction: 1e-05}, square: {size: 12}}")


def test_misspelt_section_stops_the_stage(stage):
    with pytest.raises(InputError, match=r"masc = .* did you mean 'mask'\?"):
        stage("masc: {seed: 1, random: {fraction: 0.3}, square: {size: 12}}")


@pytest.mark.parametrize("content", [None, b"", b"PK not an archive"])
def test_bad_split_file_stops_the_stage(stage, tmp_path, content):
    (tmp_path / "split.npz").unlink()
    if content is not None:
        (tmp_path / "split.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"^split\.npz: .*`dvc repro`"):
        stage()
