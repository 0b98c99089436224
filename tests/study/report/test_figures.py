import io

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image
from scipy import stats

from study.report.figures import curves as figures
from study.report.figures import galleries
from study.report.figures.comparison import comparison
from study.report.figures.style import COLOURS, LINES, MARKERS, MODELS, to_png
from study.slides import SLIDES

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


HISTORIES = {
    "slides": {m: [history(100, 100 + seed) for seed in range(3)] for m in MODELS},
    "converged": {m: [history(40, 98 + seed) for seed in range(3)] for m in MODELS},
}
BOTH = {"slides": VALUES, "converged": {c: (0.9 * g, 0.9 * t) for c, (g, t) in VALUES.items()}}
CLAIMS = {"slides": SLIDES}
PROBABILITIES = (0.001, 0.01, 0.5, 0.99, 0.999)
QUANTILES = {
    recipe: {
        "gauss": [{p: width * stats.norm.ppf(p) for p in PROBABILITIES} for width in (0.9, 1.1)],
        "t": [{p: stats.t.ppf(p, 21) for p in PROBABILITIES} for _ in range(2)],
    }
    for recipe in ("slides", "converged")
}

DRAW = {
    "density": lambda: figures.density(21.0),
    "density of df infinity": lambda: figures.density(float("inf")),
    "training": lambda: figures.training(HISTORIES),
    "training of one epoch": lambda: figures.training(
        {"converged": {m: [history(1, 100)] for m in MODELS}}
    ),
    "tails": lambda: figures.tails(QUANTILES, 21.0),
    "comparison": lambda: comparison(BOTH, CLAIMS),
    "comparison of one seed": lambda: comparison({"slides": ONE_SEED}, {}),
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
    assert len(figure.axes) == 4
    low, high = figure.axes[0].get_ylim()
    assert low < 98  # the lowest loss is 98 + 400 / 40**2
    assert 107 < high < 200  # the highest late one about 107; the first 500
    assert {ax.get_ylim() for ax in figure.axes} == {(low, high)}
    for ax, (recipe, n_epochs) in zip(
        figure.axes[::2], (("slides", 100), ("converged", 40)), strict=True
    ):
        assert ax.get_title() == f"recipe {recipe}, training images"
        assert ax.get_xlim() == (0, n_epochs)
        means = [line for line in ax.get_lines() if line.get_linewidth() > 1]
        expected = HISTORIES[recipe]["gauss"][1]["train_loss"]
        np.testing.assert_allclose(means[0].get_ydata(), expected)


def test_codes_that_are_spread_as_the_prior_lie_on_the_diagonal():
    """The t's are its prior's own; the mean of the Gaussian's is, of 0.9 and 1.1 times it."""
    for ax in figures.tails(QUANTILES, 21.0).axes:
        for line in ax.get_lines():
            if line.get_linewidth() > 1:
                np.testing.assert_allclose(line.get_xdata(), line.get_ydata(), atol=1e-12)
        thin = next(line for line in ax.get_lines() if line.get_linewidth() < 0.6)
        np.testing.assert_allclose(thin.get_ydata(), 0.9 * thin.get_xdata(), atol=1e-12)


def test_models_differ_in_colour_and_in_shape():
    for looks in (COLOURS, MARKERS, LINES):
        assert looks["gauss"] != looks["t"]


def points(axes, marker, colour=None):
    """All values that are drawn with a marker."""
    return [
        x
        for ax in axes
        for line in ax.get_lines()
        if line.get_marker() == marker
        and (colour is None or to_hex(line.get_color()) == colour.lower())
        for x in line.get_xdata()
    ]


def test_the_comparison_draws_every_value_once_and_every_claim():
    figure = comparison(BOTH, CLAIMS)
    panels, changes = figure.axes[:4], figure.axes[4:]
    for index, model in enumerate(MODELS):
        expected = [x for values in BOTH.values() for pair in values.values() for x in pair[index]]
        assert sorted(points(panels, MARKERS[model], COLOURS[model])) == sorted(expected)
    claims = [x for slides in SLIDES.values() for x in slides.values()]
    assert sorted(points(panels, "D")) == sorted(claims)
    expected = [
        100 * (s["t"] / s["gauss"] - 1)
        if c.metric == "mse"
        else 100 * ((1 - s["t"]) / (1 - s["gauss"]) - 1)
        for c, s in SLIDES.items()
    ]
    np.testing.assert_allclose(points(changes[:1], "D"), expected, rtol=1e-12)
    assert not points(changes[1:], "D"), "the slides stand beside their own recipe alone"


def test_the_rows_of_a_panel_name_output_and_recipe():
    labels = [label.get_text() for label in comparison(BOTH, CLAIMS).axes[0].get_yticklabels()]
    assert labels == [
        f"{output}\n{recipe}"
        for output in ("prediction", "imputation")
        for recipe in ("slides", "converged")
    ]


def test_changes_are_relative_to_the_mean_error_of_gauss():
    for ax, values in zip(comparison(BOTH, {}).axes[4:], BOTH.values(), strict=True):
        dots = [line.get_xdata() for line in ax.get_lines() if line.get_marker() == MARKERS["t"]]
        for (cell, (gauss, t)), found in zip(values.items(), dots, strict=True):
            errors = (gauss, t) if cell.metric == "mse" else (1 - gauss, 1 - t)
            np.testing.assert_allclose(
                found, 100 * (errors[1] - errors[0]) / errors[0].mean(), rtol=1e-12
            )


def test_without_slides_there_is_no_diamond_and_with_one_seed_no_bar():
    for ax in comparison({"slides": ONE_SEED}, {}).axes:
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
