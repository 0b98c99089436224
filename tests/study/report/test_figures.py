import io

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from PIL import Image
from scipy import stats

from study.report.figures import curves, galleries
from study.report.figures.comparison import comparison
from study.report.figures.style import COLOURS, LINES, MARKERS, to_png
from study.slides import SLIDES, Cell
from study.trials.comparison import MODELS

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(256, size=(10, 28, 28), dtype=np.uint8)
MISSING = np.where(RNG.random(IMAGES.shape) < 0.3, 255, 0).astype(np.uint8)
PREDICTIONS = {m: RNG.integers(256, size=IMAGES.shape, dtype=np.uint8) for m in MODELS}
EXAMPLES = {
    model: np.stack([IMAGES, tiles, MISSING, tiles, 255 - MISSING, tiles], axis=1)
    for model, tiles in PREDICTIONS.items()
}
RECIPES = ("slides", "converged")
RUNS = pd.MultiIndex.from_product(
    [RECIPES, MODELS, range(5)], names=["recipe", "model", "seed"]
).to_frame(index=False)
SCORES = pd.DataFrame(SLIDES.keys()).assign(region="image").merge(RUNS, how="cross")
SCORES["value"] = [SLIDES[Cell(*cell)]["gauss"] for cell in SCORES[[*Cell._fields]].to_numpy()]
SCORES["value"] *= 1 + 0.01 * RNG.random(len(SCORES)) - 0.1 * (SCORES.recipe == "converged")
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


@pytest.fixture(scope="module")
def compared():
    return comparison(SCORES, "slides")


@pytest.mark.parametrize(
    "draw",
    [
        lambda: curves.density(21.0),
        lambda: curves.tails(LATENT, np.inf),
        lambda: curves.training(history("converged", 1, 100)),
        lambda: comparison(ONE_SEED, None),
    ],
    ids=["density", "tails of df infinity", "training of one epoch", "comparison of one seed"],
)
def test_the_same_pixels_twice_whatever_a_user_has_set(draw):
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9, "savefig.dpi": 50}):
        png = to_png(draw())
        assert matplotlib.rcParams["font.size"] == 30
    assert png == to_png(draw())
    with Image.open(io.BytesIO(png)) as image:
        image.load()
        assert set(image.info) <= {"dpi"}
        assert image.width >= 1000


def test_densities_are_those_of_scipy():
    figure = curves.density(5.0)
    for ax in figure.axes:
        normal, t = ax.get_lines()
        np.testing.assert_array_equal(normal.get_ydata(), stats.norm.pdf(normal.get_xdata()))
        np.testing.assert_array_equal(t.get_ydata(), stats.t.pdf(t.get_xdata(), 5))
    assert [ax.get_yscale() for ax in figure.axes] == ["linear", "log"]


def test_the_training_axis_shows_the_end_and_not_the_first_epochs():
    figure = curves.training(HISTORIES)
    low, high = figure.axes[0].get_ylim()
    assert low < 98  # the lowest loss is 98 + 400 / 40**2
    assert 107 < high < 200  # the highest late one about 107; the first 500
    assert [ax.get_ylim() for ax in figure.axes] == [(low, high)] * 4
    for ax, recipe, n_epochs in zip(figure.axes[::2], RECIPES, (100, 40), strict=True):
        assert ax.get_title() == f"recipe {recipe}, training images"
        assert ax.get_xlim() == (0, n_epochs)
        mean = next(line for line in ax.get_lines() if line.get_linewidth() > 1)
        runs = HISTORIES.query(f"recipe == '{recipe}' and model == 'gauss' and seed == 1")
        np.testing.assert_allclose(mean.get_ydata(), runs.train_loss)


def test_codes_that_are_spread_as_the_prior_lie_on_the_diagonal():
    """The t's are its prior's own; the mean of the Gaussian's is, of 0.9 and 1.1 times it."""
    for ax in curves.tails(LATENT, 21.0).axes:
        for line in ax.get_lines():
            if line.get_linewidth() > 1:
                np.testing.assert_allclose(line.get_xdata(), line.get_ydata(), atol=1e-12)
        thin = next(line for line in ax.get_lines() if line.get_linewidth() < 0.6)
        np.testing.assert_allclose(thin.get_ydata(), 0.9 * thin.get_xdata(), atol=1e-12)


def test_models_differ_in_colour_and_in_shape():
    assert all(looks["gauss"] != looks["t"] for looks in (COLOURS, MARKERS, LINES))


def points(axes, marker, colour=None):
    """All values that are drawn with a marker, in order."""
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


def test_the_comparison_draws_every_value_once_and_every_claim(compared):
    changes, panels = compared.axes[:2], compared.axes[2:]
    for model in MODELS:
        expected = SCORES.value[SCORES.model == model]
        assert sorted(points(panels, MARKERS[model], COLOURS[model])) == sorted(expected)
    claims = [x for slides in SLIDES.values() for x in slides.values()]
    assert sorted(points(panels, "D")) == sorted(claims)
    expected = [100 * (error(c, s["t"]) / error(c, s["gauss"]) - 1) for c, s in SLIDES.items()]
    np.testing.assert_allclose(sorted(points(changes[:1], "D")), sorted(expected), rtol=1e-12)
    assert not points(changes[1:], "D"), "the slides stand beside their own recipe alone"


def test_rows_name_what_they_show_and_the_imputation_comes_first(compared):
    (changes, *_), panel = compared.axes[:2], compared.axes[2]
    labels = [label.get_text() for label in panel.get_yticklabels()]
    outputs = ("imputation", "prediction")
    assert labels == [f"{output},\n{recipe}" for output in outputs for recipe in RECIPES]
    labels = [label.get_text() for label in changes.get_yticklabels()]
    assert labels[:2] == ["imputation,\nMSE, random", "imputation,\nMSE, square"]
    assert len(set(labels)) == len(SLIDES)


def test_changes_are_relative_to_the_mean_error_of_gauss(compared):
    values = SCORES.set_index([*Cell._fields, "recipe", "model"]).value.sort_index()
    for ax, recipe in zip(compared.axes, RECIPES, strict=False):
        expected = []
        for cell in sorted(SLIDES, key=lambda cell: (cell.output, cell.metric, cell.mechanism)):
            gauss, t = (error(cell, values[(*cell, recipe, m)].to_numpy()) for m in MODELS)
            expected += [*(100 * (t - gauss) / gauss.mean())]
        shown = points([ax], MARKERS["t"], COLOURS["t"])
        np.testing.assert_allclose(shown[: len(expected)], expected, rtol=1e-12)


def test_without_slides_there_is_no_diamond_and_with_one_seed_no_bar():
    axes = comparison(ONE_SEED, None).axes
    assert not points(axes, "D") + points(axes, "|")


def test_tiles_are_drawn_pixel_by_pixel():
    """Each pixel of a tile is 4 x 4 equal pixels of the figure; the first tile of each row."""
    png = to_png(galleries.examples(EXAMPLES)["missing_random"])
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    hidden = MISSING > 0
    imputed = [[PREDICTIONS[m], np.where(hidden, PREDICTIONS[m], IMAGES)] for m in MODELS]
    ink = [1 - tiles[0, ..., None] / 255 for tiles in (IMAGES, IMAGES, *imputed[0], *imputed[1])]
    ink[1] = np.where(hidden[0, ..., None], galleries.MISSING_TINT, ink[1])
    for tile, top in zip(ink, (10, 126, 264, 380, 518, 634), strict=True):
        blocks = picture[top + 4 : top + 116, 154:266].reshape(28, 4, 28, 4, 3)
        assert (blocks == blocks[:, :1, :, :1]).all()
        np.testing.assert_allclose(
            blocks[:, 0, :, 0], 255 * np.broadcast_to(tile, (28, 28, 3)), atol=1
        )
