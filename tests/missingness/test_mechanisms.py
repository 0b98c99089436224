import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import binom, chi2_contingency, chisquare

from stages import mask
from vaefill.errors import InputError
from vaefill.missingness import mechanisms as missingness
from vaefill.storage import load_arrays, save_arrays

SETTINGS = {
    "random": {"fraction": 0.3},
    "square": {"size": 12},
    "squares": {"count": 3, "size": 7},
    "half": {"side": "any"},
    "scanlines": {"fraction": 0.3},
    "mar": {"fraction": 0.3, "strength": 2.0},
    "mnar": {"fraction": 0.3, "strength": 2.0},
}
STAGE = {name: SETTINGS[name] for name in ("random", "square")}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def grey(n_samples, height=28, width=28):
    """Images whose pixels are uniform, each image of another brightness."""
    rng = np.random.default_rng(9)
    shape = (n_samples, height, width)
    return rng.random(shape) * rng.uniform(0.2, 1, (n_samples, 1, 1))


def inside(count, n, probability, level=0.999):
    """Whether a binomial count lies in its interval."""
    low, high = binom.interval(level, n, probability)
    return (low <= count) & (count <= high)


def independent(first, second):
    """Whether two conditions, met or not in each of many cases, are so independently."""
    table = [[(second[first == a] == b).sum() for b in (0, 1)] for a in (0, 1)]
    return chi2_contingency(table).pvalue > 1e-3


def test_random_misses_every_pixel_alike_and_independently(rng):
    n_samples, fraction = 5000, 0.3
    missing = missingness.random(grey(n_samples), fraction=fraction, rng=rng)
    assert inside(missing.sum(axis=0), n_samples, fraction, 1 - 1e-3 / 784).all()
    assert independent(missing[:, :, 1:], missing[:, :, :-1])
    assert independent(missing[:, 1:], missing[:, :-1])
    assert independent(missing[1:], missing[:-1])


def corners(missing):
    """First missing row and column of every image."""
    return missing.any(axis=2).argmax(axis=1), missing.any(axis=1).argmax(axis=1)


@pytest.mark.parametrize(("height", "width"), [(28, 28), (9, 7), (7, 9)])
def test_squares_of_each_images_size_are_whole_and_inside(rng, height, width):
    size = rng.integers(1, min(height, width), 500, endpoint=True)
    missing = missingness.square(grey(500, height, width), size=size, rng=rng)
    for image, side, top, left in zip(missing, size, *corners(missing), strict=True):
        expected = np.zeros((height, width), bool)
        expected[top : top + side, left : left + side] = True
        assert expected.sum() == side**2
        np.testing.assert_array_equal(image, expected)


def test_square_reaches_every_place_alike(rng):
    rows, columns = 6, 4  # of places
    missing = missingness.square(grey(4000, 9, 7), size=4, rng=rng)
    top, left = corners(missing)
    counts = np.bincount(top * columns + left, minlength=rows * columns)
    assert len(counts) == rows * columns
    assert chisquare(counts).pvalue > 1e-3


def test_squares_are_the_union_of_as_many_squares(rng):
    # An inner pixel escapes one square with 1 - size^2 / places, all with its power.
    missing = missingness.squares(grey(4000, 9, 9), count=4, size=3, rng=rng)
    assert inside((~missing[:, 4, 4]).sum(), 4000, (1 - 9 / 49) ** 4)
    missing = missingness.squares(grey(300), count=3, size=7, rng=np.random.default_rng(2))
    rng = np.random.default_rng(2)
    drawn = [missingness.square(grey(300), size=7, rng=rng) for _ in range(3)]
    np.testing.assert_array_equal(missing, drawn[0] | drawn[1] | drawn[2])
    pixels = missing.sum(axis=(1, 2))
    assert pixels.max() == 3 * 49
    assert 49 <= pixels.min() < 3 * 49  # some overlap


BY_HAND = {
    "top": [[1, 1, 1], [1, 1, 1], [0, 0, 0], [0, 0, 0], [0, 0, 0]],
    "bottom": [[0, 0, 0], [0, 0, 0], [0, 0, 0], [1, 1, 1], [1, 1, 1]],
    "left": [[1, 0, 0]] * 5,
    "right": [[0, 0, 1]] * 5,
}


@pytest.mark.parametrize("side", BY_HAND)
def test_half_by_hand(rng, side):
    missing = missingness.half(grey(3, 5, 3), side=side, rng=rng)
    assert missing.dtype == bool
    np.testing.assert_array_equal(missing, [BY_HAND[side]] * 3)
    assert missingness.half(grey(2), side=side, rng=rng).mean() == 0.5


def test_any_half_is_each_of_the_four_alike(rng):
    missing = missingness.half(grey(4000, 5, 3), rng=rng)
    is_side = [(missing == np.array(BY_HAND[side])).all(axis=(1, 2)) for side in BY_HAND]
    np.testing.assert_array_equal(np.sum(is_side, axis=0), 1)
    assert chisquare(np.sum(is_side, axis=1)).pvalue > 1e-3


def test_scanlines_miss_whole_rows_independently(rng):
    missing = missingness.scanlines(grey(1000), fraction=0.3, rng=rng)
    rows = missing[:, :, 0]
    np.testing.assert_array_equal(missing, np.repeat(rows[:, :, None], 28, axis=2))
    assert inside(rows.sum(axis=0), 1000, 0.3, 1 - 1e-3 / 28).all()
    assert independent(rows[:, 1:], rows[:, :-1])


@pytest.mark.parametrize("name", ["random", "scanlines"])
def test_each_image_has_its_fraction(rng, name):
    fractions = [0.01, 0.3, 0.9]
    missing = missingness.MCAR[name](grey(1500), fraction=np.repeat(fractions, 500), rng=rng)
    for fraction, group in zip(fractions, np.split(missing, 3), strict=True):
        units = group if name == "random" else group[:, :, 0]
        assert inside(units.sum(), units.size, fraction)


def test_each_image_has_its_count(rng):
    count = np.array([1, 2, 6])
    missing = missingness.squares(grey(300), count=np.repeat(count, 100), size=3, rng=rng)
    pixels = missing.sum(axis=(1, 2)).reshape(3, 100)
    assert (pixels.max(axis=1) == 9 * count).all()
    assert (pixels[0] == 9).all()


STRICTLY = "must lie strictly between 0 and 1"


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        *[("random", {"fraction": fraction}, rf"fraction = {fraction}: {STRICTLY}")
          for fraction in (0, 1, -0.1, 1.5, np.nan, np.inf)],
        ("random", {"fraction": np.array([0.1, 1.5])}, rf"fraction = 1\.5: {STRICTLY}"),
        ("square", {"size": 29}, r"size = 29: must be from 1 to 28 .* fit into images of 28 x 28"),
        ("square", {"size": 8, "images": grey(2, 9, 7)}, r"size = 8: .* images of 9 x 7"),
        ("square", {"size": 0}, r"size = 0: must be .*"),
        ("square", {"size": 1.5}, r"size = 1\.5: must be .* whole pixels .*"),
        ("square", {"size": "6"}, r"size = '6': must be a number"),
        ("square", {"size": np.array([1, 29])}, r"size = 29: must .*"),
        *[("squares", {"count": count, "size": 3}, rf"count = {count}: must be a whole number, .*")
          for count in (0, -1, 1.5)],
        ("half", {"side": "up"}, r"side = 'up': must be one of any, top, bottom, left, right"),
        *[(name, {"fraction": 0.3, "strength": 1.0} | change, message)
          for name in ("mar", "mnar") for change, message in (
              ({"fraction": 0.0}, rf"fraction = 0\.0: {STRICTLY}"),
              ({"strength": np.inf}, r"strength = inf: must be a finite number"),
              ({"images": 255 * grey(2)}, r"images = \d+\.\d+: pixels must lie in \[0, 1\]"),
              ({"images": np.full((2, 4, 4), np.nan)}, r"images = nan: pixels must .*"),
          )],
    ],
)  # fmt: skip
def test_impossible_numbers_are_named(rng, name, settings, message):
    with pytest.raises(InputError, match=f"^{name}: {message}$"):
        missingness.MECHANISMS[name](**{"images": grey(2)} | settings, rng=rng)


@pytest.mark.parametrize("name", missingness.MCAR)
def test_mcar_never_looks_at_a_pixel(name):
    draw, settings = missingness.MCAR[name], SETTINGS[name]
    seen, unseen = (
        draw(images, **settings, rng=np.random.default_rng(3))
        for images in (grey(20), np.full((20, 28, 28), np.nan))
    )
    np.testing.assert_array_equal(seen, unseen)


def test_mar_ignores_whatever_may_be_missing(rng):
    images, settings = grey(200), {"fraction": 0.4, "strength": 3.0}
    right, both = images.copy(), 1 - images
    right[:, :, 14:] = rng.random((200, 28, 14)) ** 4
    missing, same, other = (
        missingness.mar(x, **settings, rng=np.random.default_rng(1)) for x in (images, right, both)
    )
    np.testing.assert_array_equal(missing, same)
    assert (missing != other).any()
    # The middle column of an odd width is observed.
    for height, width, left in ((28, 28, 14), (6, 5, 3), (5, 6, 3), (4, 1, 1)):
        missing = missingness.mar(grey(400, height, width), fraction=0.9, rng=rng)
        assert not missing[:, :, :left].any()
        assert missing[:, :, left:].any(axis=0).all()


@pytest.mark.parametrize("name", ["mar", "mnar"])
@pytest.mark.parametrize("strength", [-3.0, 0.0, 1.0, 300.0])
@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.9])
def test_fraction_of_what_may_be_missing(rng, name, fraction, strength):
    draw = missingness.MECHANISMS[name]
    missing = draw(grey(300), fraction=fraction, strength=strength, rng=rng)
    missing = missing[:, :, 14:] if name == "mar" else missing
    # Counts of unequal probabilities spread less than a binomial of their mean.
    assert inside(missing.sum(), missing.size, fraction)


def test_mar_by_hand(rng):
    # Two kinds of image, as many of each: ink is -1 and 1, and by symmetry a = 0 at 1/2.
    images = np.zeros((4000, 2, 2))
    images[::2, :, 0] = 0.8
    missing = missingness.mar(images, fraction=0.5, strength=1.5, rng=rng)[:, :, 1]
    for start, log_odds in ((0, 1.5), (1, -1.5)):
        assert inside(missing[start::2].sum(), 4000, expit(log_odds))


def test_mar_of_equal_ink_is_random(rng):
    missing = missingness.mar(np.full((500, 8, 8), 0.5), fraction=0.3, strength=5.0, rng=rng)
    assert inside(missing[:, :, 4:].sum(axis=0), 500, 0.3, 1 - 1e-3 / 32).all()


def test_mnar_by_hand(rng):
    # Half of the pixels 0, half 1: at 1/2 the symmetry gives a = -b / 2.
    images = rng.permutation(np.arange(40_000) % 2).reshape(100, 20, 20).astype(np.float32)
    missing = missingness.mnar(images, fraction=0.5, strength=1.5, rng=rng)
    for x, log_odds in ((0, -0.75), (1, 0.75)):
        assert inside(missing[images == x].sum(), 20_000, expit(log_odds))


@pytest.mark.parametrize("strength", [-3.0, 3.0])
def test_mnar_log_odds_rise_with_brightness_by_its_strength(rng, strength):
    images = rng.integers(0, 5, (2000, 10, 10)) / 4
    missing = missingness.mnar(images, fraction=0.4, strength=strength, rng=rng)
    rate = np.array([missing[images == x].mean() for x in np.unique(images)])
    n = missing.size / 5
    slope = np.diff(np.log(rate / (1 - rate))) / 0.25
    error = np.sqrt(1 / (n * rate * (1 - rate)))  # of the log odds
    assert (np.abs(slope - strength) < 4 * np.hypot(error[1:], error[:-1]) / 0.25).all()


def test_mnar_hides_whatever_the_neighbours_are(rng):
    # Given its own value, a pixel's missingness depends on no other pixel.
    images = rng.integers(0, 2, (3000, 6, 6)).astype(float)
    missing = missingness.mnar(images, fraction=0.4, strength=3.0, rng=rng)[:, :, 1:]
    left = images[:, :, :-1] == 1
    for x in (0, 1):
        own = images[:, :, 1:] == x
        assert independent(missing[own], left[own])


def test_mnar_of_strength_0_is_random(rng):
    images = grey(20)
    missing = missingness.mnar(images, fraction=0.3, strength=0.0, rng=rng)
    same = missingness.random(images, fraction=0.3, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(missing, same)


@pytest.mark.parametrize("name", missingness.MECHANISMS)
def test_same_rng_gives_the_same_pixels_and_no_images_have_none(name):
    draw = missingness.MECHANISMS[name]
    first, again, other, none = (
        draw(grey(n), **SETTINGS[name], rng=np.random.default_rng(seed))
        for n, seed in ((20, 0), (20, 0), (20, 1), (0, 0))
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert none.shape == (0, 28, 28)
    assert none.dtype == bool


def test_a_mechanism_does_not_change_with_the_others():
    images = grey(20)
    whole = missingness.draw(images, seed=5, settings=SETTINGS)
    others = dict(reversed(SETTINGS.items())) | {"square": {"size": 3}}
    for name, drawn in missingness.draw(images, seed=5, settings=others).items():
        assert (drawn == whole[name]).all() == (name != "square")
    alone = missingness.draw(images, seed=5, settings={"square": {"size": 12}})
    np.testing.assert_array_equal(whole["square"], alone["square"])


def test_mechanisms_have_streams_of_their_own(monkeypatch):
    # The same function under two names: one shared stream would give the same pixels twice.
    monkeypatch.setitem(missingness.MECHANISMS, "other", missingness.random)
    settings = {"random": {"fraction": 0.5}, "other": {"fraction": 0.5}}
    missing = missingness.draw(grey(500), seed=5, settings=settings)
    agree = missing["random"] == missing["other"]
    assert inside(agree.sum(), agree.size, 0.5)


def test_pixels_of_a_seed_stay_what_they_are():
    missing = missingness.draw(grey(2), seed=2024, settings=STAGE)
    assert np.flatnonzero(missing["random"][0])[:6].tolist() == [0, 5, 6, 7, 9, 13]
    assert [x.tolist() for x in corners(missing["square"])] == [[13, 14], [9, 0]]


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """Run the stage on 30 test images with the given params."""
    monkeypatch.chdir(tmp_path)
    save_arrays("split.npz", {"test_images": np.zeros((30, 28, 28), np.uint8)})

    def run(seed="2024", fraction="0.3", size="12"):
        params = (
            f"mask: {{seed: {seed}, random: {{fraction: {fraction}}}, square: {{size: {size}}}}}"
        )
        (tmp_path / "params.yaml").write_text(params, "utf-8")
        mask.main(["--split", "split.npz", "--out", "missing.npz"])

    return run


def test_stage(stage, tmp_path):
    stage()
    missing = load_arrays("missing.npz")
    expected = missingness.draw(grey(30), seed=2024, settings=STAGE)
    assert missing.keys() == expected.keys()
    for name, array in missing.items():
        np.testing.assert_array_equal(array, expected[name])
    content = (tmp_path / "missing.npz").read_bytes()
    stage()
    assert (tmp_path / "missing.npz").read_bytes() == content


@pytest.mark.parametrize(
    ("params", "message"),
    [
        *[({"fraction": value}, rf"mask\.random\.fraction = {value.strip('.')}")
          for value in ("0", "1.5", ".nan")],
        *[({"size": value}, rf"mask\.square\.size = {value}") for value in ("0", "1.5")],
        ({"size": "29"}, r"square: size = 29: .*28 x 28"),
        ({"seed": "-1"}, r"mask\.seed = -1"),
    ],
)  # fmt: skip
def test_bad_params_stop_the_stage(stage, tmp_path, params, message):
    with pytest.raises(InputError, match=message):
        stage(**params)
    assert not (tmp_path / "missing.npz").exists()
