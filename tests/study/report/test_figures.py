import io

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from PIL import Image
from scipy import stats

from study.report.figures import curves as figures
from study.report.figures import galleries
from study.report.figures.comparison import comparison
from study.report.figures.style import COLOURS, LINES, MARKERS, MODELS, to_png
from study.slides import SLIDES, Cell

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(256, size=(10, 28, 28), dtype=np.uint8)
MISSING = np.where(RNG.random(IMAGES.shape) < 0.3, 255, 0).astype(np.uint8)
PREDICTIONS = {m: RNG.integers(256, size=IMAGES.shape, dtype=np.uint8) for m in MODELS}
EXAMPLES = {
    model: np.stack([IMAGES, tiles, MISSING, tiles, 255 - MISSING, tiles], axis=1)
    for model, tiles in PREDICTIONS.items()
}
SHEETS = {m: RNG.integers(256, size=(8, 8, 28, 28), dtype=np.uint8) for m in MODELS}
CELLS = pd.DataFrame([cell._asdict() for cell in SLIDES]).assign(region="image")
RUNS = pd.MultiIndex.from_product(
    [("slides", "converged"), MODELS, range(5)], names=["recipe", "model", "seed"]
).to_frame(index=False)
SCORES = CELLS.merge(RUNS, how="cross")
SCORES["value"] = [SLIDES[Cell(*cell)]["gauss"] for cell in SCORES[[*Cell._fields]].to_numpy()]
SCORES["value"] *= (1 + 0.01 * RNG.random(len(SCORES))) * SCORES.recipe.map(
    {"slides": 1, "converged": 0.9}
)
ONE_SEED = SCORES[(SCORES.seed == 0) & (SCORES.recipe == "slides")]


def history(recipe, n_epochs, level):
    """Three runs of each model, of losses that fall to `level`, `level` + 1 and `level` + 2."""
    epochs = pd.DataFrame({"epoch": np.arange(1, n_epochs + 1)})
    runs = RUNS[(RUNS.recipe == recipe) & (RUNS.seed < 3)].merge(epochs, how="cross")
    loss = level + runs.seed + 400 / runs.epoch**2
    return runs.assign(train_loss=loss, valid_loss=loss + 5)


HISTORIES = pd.concat([history("slides", 100, 100), history("converged", 40, 98)])
PROBABILITIES = pd.DataFrame({"part": ["0.001", "0.01", "0.5", "0.99", "0.999"]})
LATENT = RUNS[RUNS.seed < 2].merge(PROBABILITIES, how="cross").assign(what="quantiles")
LATENT["value"] = np.where(
    LATENT.model == "t",
    stats.t.ppf(LATENT.part.astype(float), 21),
    (0.9 + 0.2 * LATENT.seed) * stats.norm.ppf(LATENT.part.astype(float)),
)

DRAW = {
    "density": lambda: figures.density(21.0),
    "density of df infinity": lambda: figures.density(float("inf")),
    "training": lambda: figures.training(HISTORIES),
    "training of one epoch": lambda: figures.training(history("converged", 1, 100)),
    "tails": lambda: figures.tails(LATENT, 21.0),
    "comparison": lambda: comparison(SCORES, "slides"),
    "comparison of one seed": lambda: comparison(ONE_SEED, None),
    "reconstructions": lambda: galleries.examples(EXAMPLES)["reconstructions"],
    "missing pixels": lambda: galleries.examples(EXAMPLES)["missing_random"],
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
        runs = HISTORIES.query(f"recipe == '{recipe}' and model == 'gauss' and seed == 1")
        np.testing.assert_allclose(means[0].get_ydata(), runs.train_loss)


def test_codes_that_are_spread_as_the_prior_lie_on_the_diagonal():
    """The t's are its prior's own; the mean of the Gaussian's is, of 0.9 and 1.1 times it."""
    for ax in figures.tails(LATENT, 21.0).axes:
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


def error(cell, score):
    return score if cell.metric == "mse" else 1 - score


def test_the_comparison_draws_every_value_once_and_every_claim():
    figure = comparison(SCORES, "slides")
    changes, panels = figure.axes[:2], figure.axes[2:]
    for model in MODELS:
        expected = SCORES.value[SCORES.model == model]
        assert sorted(points(panels, MARKERS[model], COLOURS[model])) == sorted(expected)
    claims = [x for slides in SLIDES.values() for x in slides.values()]
    assert sorted(points(panels, "D")) == sorted(claims)
    expected = [100 * (error(c, s["t"]) / error(c, s["gauss"]) - 1) for c, s in SLIDES.items()]
    np.testing.assert_allclose(sorted(points(changes[:1], "D")), sorted(expected), rtol=1e-12)
    assert not points(changes[1:], "D"), "the slides stand beside their own recipe alone"


def test_rows_name_what_they_show_and_the_imputation_comes_first():
    changes, _, panel, *_ = comparison(SCORES, "slides").axes
    labels = [label.get_text() for label in panel.get_yticklabels()]
    assert labels == [
        f"{output},\n{recipe}"
        for output in ("imputation", "prediction")
        for recipe in ("slides", "converged")
    ]
    labels = [label.get_text() for label in changes.get_yticklabels()]
    assert labels[:2] == ["imputation,\nMSE, random", "imputation,\nMSE, square"]
    assert len(set(labels)) == len(SLIDES)


def test_changes_are_relative_to_the_mean_error_of_gauss():
    for ax, recipe in zip(comparison(SCORES, None).axes, ("slides", "converged"), strict=False):
        dots = [line.get_xdata() for line in ax.get_lines() if line.get_marker() == MARKERS["t"]]
        expected = []
        for cell in sorted(SLIDES, key=lambda cell: (cell.output, cell.metric, cell.mechanism)):
            names = dict(zip(Cell._fields, cell, strict=True), recipe=recipe)
            rows = SCORES[(SCORES[list(names)] == list(names.values())).all(axis=1)]
            gauss, t = (error(cell, rows.value[rows.model == model].to_numpy()) for model in MODELS)
            expected.append(100 * (t - gauss) / gauss.mean())
        np.testing.assert_allclose(dots[: len(expected)], expected, rtol=1e-12)


def test_without_slides_there_is_no_diamond_and_with_one_seed_no_bar():
    for ax in comparison(ONE_SEED, None).axes:
        assert not [line for line in ax.get_lines() if line.get_marker() in ("D", "|")]


@pytest.fixture(scope="module")
def picture():
    return pixels(galleries.examples(EXAMPLES)["missing_random"])


@pytest.mark.parametrize(
    ("row", "top"), [(0, 10), (1, 126), (2, 264), (3, 380), (4, 518), (5, 634)]
)
def test_tiles_are_drawn_pixel_by_pixel(picture, row, top):
    """Each pixel of a tile is 4 x 4 equal pixels of the figure; the first tile of each row."""
    imputed = {m: np.where(MISSING > 0, PREDICTIONS[m], IMAGES) for m in MODELS}
    gauss, t = ([PREDICTIONS[m], imputed[m]] for m in MODELS)
    shown = [IMAGES, IMAGES, *gauss, *t][row][0]
    blocks = picture[top + 4 : top + 116, 154:266].reshape(28, 4, 28, 4, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()
    tile = blocks[:, 0, :, 0]
    hidden = MISSING[0] > 0
    if row == 1:
        tint = np.array(galleries.MISSING_TINT) * 255
        assert np.abs(tile[hidden] - tint).max() <= 1
        tile, shown = tile[~hidden], shown[~hidden]
    assert np.abs(tile - (255.0 - shown[..., None])).max() <= 1
