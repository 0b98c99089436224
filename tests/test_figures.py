import io

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image
from scipy import stats

from vaefill import figures, galleries
from vaefill.slides import SLIDES
from vaefill.style import COLOURS, LINES, MARKERS, MODELS, to_png

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(256, size=(10, 28, 28), dtype=np.uint8)
MISSING = np.where(RNG.random(IMAGES.shape) < 0.3, 255, 0).astype(np.uint8)
PREDICTIONS = {m: RNG.integers(256, size=IMAGES.shape, dtype=np.uint8) for m in MODELS}
SHEETS = {m: RNG.integers(256, size=(8, 8, 28, 28), dtype=np.uint8) for m in MODELS}
VALUES = {
    cell: (
        slides["gauss"] * (1 + 0.01 * RNG.random(5)),
        slides["gauss"] * (1 + 0.01 * RNG.random(5)),
    )
    for cell, slides in SLIDES.items()
}
ONE_SEED = {cell: (gauss[:1], t[:1]) for cell, (gauss, t) in VALUES.items()}


def history(n_epochs, level):
    epoch = np.arange(1.0, n_epochs + 1)
    return {
        "epoch": epoch,
        "train_loss": level + 400 / epoch**2,
        "valid_loss": level + 5 + 400 / epoch**2,
    }


HISTORIES = {m: [history(100, 100 + seed) for seed in range(3)] for m in MODELS}

DRAW = {
    "density": lambda: figures.density(21.0),
    "density of df infinity": lambda: figures.density(float("inf")),
    "training": lambda: figures.training(HISTORIES),
    "training of one epoch": lambda: figures.training({m: [history(1, 100)] for m in MODELS}),
    "comparison": lambda: figures.comparison(VALUES, SLIDES),
    "comparison of one seed": lambda: figures.comparison(ONE_SEED, None),
    "reconstructions": lambda: galleries.reconstructions(IMAGES, PREDICTIONS),
    "missing pixels": lambda: galleries.missing_pixels(IMAGES, MISSING, PREDICTIONS),
    "samples": lambda: galleries.samples(SHEETS, 21.0),
}


def pixels(figure):
    return np.asarray(Image.open(io.BytesIO(to_png(figure))).convert("RGB"))


@pytest.mark.parametrize("name", DRAW)
def test_the_same_bytes_twice_and_nothing_but_pixels(name):
    png = to_png(DRAW[name]())
    assert png == to_png(DRAW[name]())
    with Image.open(io.BytesIO(png)) as image:
        image.load()
        assert set(image.info) <= {"dpi"}
        assert image.width >= 1000


def test_a_users_settings_neither_count_nor_change():
    expected = to_png(figures.density(21.0))
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9, "savefig.dpi": 50}):
        assert to_png(figures.density(21.0)) == expected
        assert matplotlib.rcParams["font.size"] == 30


def test_densities_are_those_of_scipy():
    figure = figures.density(5.0)
    for ax in figure.axes:
        normal, t = ax.get_lines()
        np.testing.assert_array_equal(normal.get_ydata(), stats.norm.pdf(normal.get_xdata()))
        np.testing.assert_array_equal(t.get_ydata(), stats.t.pdf(t.get_xdata(), 5))
    assert [ax.get_yscale() for ax in figure.axes] == ["linear", "log"]


def test_the_training_axis_shows_the_end_and_not_the_first_epochs():
    figure = figures.training(HISTORIES)
    low, high = figure.axes[0].get_ylim()
    assert low < 100  # the lowest loss is 100 + 400 / 100**2
    assert 107 < high < 200  # the highest late one about 107; the first 500
    assert figure.axes[1].get_ylim() == (low, high)
    means = [line for line in figure.axes[0].get_lines() if line.get_linewidth() > 1]
    np.testing.assert_allclose(means[0].get_ydata(), HISTORIES["gauss"][1]["train_loss"])


def test_models_differ_in_colour_and_in_shape():
    for looks in (COLOURS, MARKERS, LINES):
        assert looks["gauss"] != looks["t"]


def test_the_comparison_draws_every_value_once_and_every_claim():
    figure = figures.comparison(VALUES, SLIDES)
    panels, changes = figure.axes[:4], figure.axes[4]
    for model, index in (("gauss", 0), ("t", 1)):
        drawn = [
            x
            for ax in panels
            for line in ax.get_lines()
            if line.get_marker() == MARKERS[model]
            and to_hex(line.get_color()) == COLOURS[model].lower()
            for x in line.get_xdata()
        ]
        assert sorted(drawn) == sorted(x for pair in VALUES.values() for x in pair[index])
    claims = [
        x
        for ax in panels
        for line in ax.get_lines()
        if line.get_marker() == "D"
        for x in line.get_xdata()
    ]
    assert sorted(claims) == sorted(x for slides in SLIDES.values() for x in slides.values())
    found = [line.get_xdata()[0] for line in changes.get_lines() if line.get_marker() == "D"]
    expected = [
        100 * (s["t"] / s["gauss"] - 1)
        if c.metric == "mse"
        else 100 * ((1 - s["t"]) / (1 - s["gauss"]) - 1)
        for c, s in SLIDES.items()
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_changes_are_relative_to_the_mean_error_of_gauss():
    changes = figures.comparison(VALUES, None).axes[4]
    dots = [line.get_xdata() for line in changes.get_lines() if line.get_marker() == MARKERS["t"]]
    for (cell, (gauss, t)), found in zip(VALUES.items(), dots, strict=True):
        errors = (gauss, t) if cell.metric == "mse" else (1 - gauss, 1 - t)
        np.testing.assert_allclose(
            found, 100 * (errors[1] - errors[0]) / errors[0].mean(), rtol=1e-12
        )


def test_without_slides_there_is_no_diamond_and_with_one_seed_no_bar():
    for ax in figures.comparison(ONE_SEED, None).axes:
        assert not [line for line in ax.get_lines() if line.get_marker() in ("D", "|")]


@pytest.mark.parametrize(
    ("row", "top"), [(0, 10), (1, 126), (2, 264), (3, 380), (4, 518), (5, 634)]
)
def test_tiles_are_drawn_pixel_by_pixel(row, top):
    """Each pixel of a tile is 4 x 4 equal pixels of the figure; the first tile of each row."""
    imputed = {m: np.where(MISSING > 0, PREDICTIONS[m], IMAGES) for m in MODELS}
    gauss, t = ([PREDICTIONS[m], imputed[m]] for m in MODELS)
    shown = [IMAGES, IMAGES, *gauss, *t][row][0]
    picture = pixels(galleries.missing_pixels(IMAGES, MISSING, PREDICTIONS))
    blocks = picture[top + 4 : top + 116, 154:266].reshape(28, 4, 28, 4, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()
    tile = blocks[:, 0, :, 0]
    hidden = MISSING[0] > 0
    if row == 1:
        tint = np.array(galleries.MISSING_TINT) * 255
        assert np.abs(tile[hidden] - tint).max() <= 1
        tile, shown = tile[~hidden], shown[~hidden]
    assert np.abs(tile - (255.0 - shown[..., None])).max() <= 1
