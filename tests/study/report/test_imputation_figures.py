"""Figures of the imputers show the numbers that they were given, each label clear of others."""

from itertools import combinations, pairwise, product

import numpy as np
import pandas as pd
import pytest
from imputation_files import ERRORS, FEW, SECONDS, SQUARE, loaded, name, sheet
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.text import Text
from scipy.optimize import minimize

from study.report.figures.galleries import MISSING_TINT
from study.report.figures.imputation import differences, planned, spread
from study.report.figures.style import COLOURS, GREY, MARKERS, to_png
from study.report.imputers import TRAINED
from study.report.ranking import COMPARED, COVERAGE
from study.trials.comparison import MECHANISMS

LABELS = {key: name(*key).replace("`", "") for key in ERRORS}
ROWS = sorted(ERRORS, key=SECONDS.__getitem__)


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    return loaded(tmp_path_factory.mktemp("reports"), drawn=("conv",))


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    return loaded(tmp_path_factory.mktemp("reports"), among=FEW, without=("draws",))


@pytest.fixture(scope="module")
def figures(tried):
    return {name: draw() for name, draw in planned(tried).items()}


def points(ax):
    """Of every single point: its place, marker, colour and fill."""
    return [
        (*map(float, (line.get_xdata()[0], line.get_ydata()[0])), line.get_marker(),
         to_hex(line.get_color()), to_hex(line.get_markerfacecolor()))
        for line in ax.get_lines() if len(line.get_xdata()) == 1
    ]  # fmt: skip


def clear(texts, figure):
    """Whether texts, without their leaders, cover neither each other nor leave the page."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    boxes = [Text.get_window_extent(text, renderer) for text in texts]
    apart = not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    return apart and all(box.x0 >= 0 and box.x1 <= figure.bbox.width for box in boxes)


def test_every_figure_is_drawn(figures):
    assert set(figures) == {"quality_time", "calibration", "degradation", "draws_conv", "rubin"}
    for drawn, figure in figures.items():
        assert int.from_bytes(to_png(figure)[16:20], "big") >= 600, drawn  # the PNG's width


def test_the_same_results_give_the_same_bytes(few):
    for draw in planned(few).values():
        assert to_png(draw()) == to_png(draw())


@pytest.mark.parametrize(
    "rows",
    ["recipe == ''", "mechanism == 'random' and model != 't'", "metric != 'mse' and level != 0.1"],
)
def test_figures_of_what_there_is_are_drawn(few, rows):
    plan = planned(few._replace(scores=few.scores.query(rows)))
    drawn = {"quality_time", "calibration"} & set(plan)
    assert drawn
    for each in drawn:
        to_png(plan[each]())


def test_each_imputer_is_a_row_of_time_and_errors_the_fastest_first(figures):
    figure = figures["quality_time"]
    time, *errors = figure.axes
    labels = time.get_yticklabels()
    assert [label.get_text() for label in labels] == [LABELS[key] for key in ROWS]
    assert clear(labels, figure)
    for ax, scale, of in zip(figure.axes, (1, 1, SQUARE), (SECONDS, ERRORS, ERRORS), strict=True):
        found = points(ax)
        assert len(found) == sum(2 if recipe else 1 for recipe, _ in ERRORS)
        for x, y, marker, colour, face in found:
            recipe, method = ROWS[round(y)]
            assert x == pytest.approx(scale * of[recipe, method], rel=1e-5)
            model = "gauss" if y < round(y) else "t"
            hollow = "#ffffff" if recipe not in TRAINED else COLOURS[model].lower()
            look = (MARKERS[model], COLOURS[model].lower(), hollow) if recipe else ("D", GREY, GREY)
            assert (marker, colour, face) == look
        assert ax.get_xscale() == "log"
    for ax, scale in zip(errors, (1, SQUARE), strict=True):
        (line,) = ax.patches
        lowest = np.minimum.accumulate([scale * ERRORS[key] for key in ROWS])
        np.testing.assert_allclose(line.get_data().values, lowest, rtol=1e-5)
    assert len(figure.legends[0].get_texts()) == 1 + 2 + 2 + 1


def test_what_was_not_timed_stands_last_and_without_a_time(few):
    tried = few._replace(times=few.times.query("method != 'zero'"))
    time, random, _ = planned(tried)["quality_time"]().axes
    assert time.get_yticklabels()[-1].get_text() == "zeros"
    last = len(FEW) - 1
    assert last not in {y for _, y, *_ in points(time)}
    assert (0.03, last) in {(x, y) for x, y, *_ in points(random)}
    assert len(random.patches[0].get_data().values) == last


@pytest.mark.parametrize("high", [0.002, 0.0029, 0.0041, 0.0062, 0.0083, 0.0105, 0.0195])
def test_differences_of_every_size_have_ticks_apart(high):
    alike = {
        "imputer": "a long name of it",
        "diff": 0,
        "low": -high,
        "high": high,
        "reference": 0.1,
    }
    found = [
        alike
        | {
            "title": title,
            "metric": "miss" if score == COVERAGE else score.metric,
            "mechanism": mechanism,
        }
        for (score, title), mechanism in product(COMPARED.items(), MECHANISMS)
    ]
    figure = differences(pd.DataFrame(found))
    figure.draw(FigureCanvasAgg(figure).get_renderer())
    for ax in figure.axes:
        lowest, highest = ax.get_xlim()
        ticks = [
            label for place, label in zip(ax.get_xticks(), ax.get_xticklabels(), strict=True)
            if lowest <= place <= highest
        ]  # fmt: skip
        assert len(ticks) >= 2
        assert clear(ticks, figure)


def test_calibration_shows_what_was_covered_at_each_level(figures):
    shown = [ax for ax in figures["calibration"].axes if ax.get_visible()]
    assert len(shown) == 2 * 7
    for ax in shown:
        lines = [line for line in ax.get_lines() if len(line.get_xdata()) == 10]
        assert len(lines) == 4
        for line in lines:
            nominal, covered = line.get_data()
            hollow = to_hex(line.get_markerfacecolor()) == "#ffffff"
            np.testing.assert_allclose(covered, (0.9 if hollow else 1) * np.asarray(nominal))
            np.testing.assert_allclose(nominal, [10, 20, 30, 40, 50, 60, 70, 80, 90, 95])
    titles = [ax.get_title() for ax in shown]
    assert titles[:7] == titles[7:]
    assert titles[-2:] == ["mlp draws", "conv draws"]


def test_degradation_curves_are_the_files_own_and_have_a_label_each(figures):
    figure = figures["degradation"]
    for ax, mechanism in zip(figure.axes, MECHANISMS, strict=True):
        curves = [line for line in ax.get_lines() if len(line.get_xdata()) > 1]
        assert len(curves) == sum(2 if recipe else 1 for recipe, _ in ERRORS)
        places = np.arange(10, 100, 10) if mechanism == "random" else np.arange(4, 25, 4)
        factors = 1 + places / 10 if mechanism == "random" else places
        for line in curves:
            np.testing.assert_allclose(line.get_xdata(), places)
            np.testing.assert_allclose(np.ptp(line.get_ydata() / factors), 0, atol=1e-6)
        starts = {round(float(line.get_ydata()[0]) / factors[0], 6) for line in curves}
        assert starts == set(ERRORS.values())
        assert {text.get_text() for text in ax.texts} == set(LABELS.values())
        assert clear(ax.texts, figure)


def test_a_curve_that_ends_early_has_its_label_too(few):
    curves = few.degradation.query("method in ('zero', 'refit') and mechanism == 'random'")
    curves = curves.query("method == 'zero' or setting < 0.6")
    left, right = planned(few._replace(degradation=curves))["degradation"]().axes
    ends = {text.get_text(): text.xy for text in left.texts}
    assert ends["zeros"] == pytest.approx((90, 0.3))
    assert ends["slides refitted encoder"] == pytest.approx((50, 6 * 0.0043))
    assert not right.texts


def test_spread_moves_as_little_as_possible():
    np.testing.assert_allclose(spread([1, 0, 0.5], 1), [1.5, -0.5, 0.5])
    heights = np.random.default_rng(0).uniform(0, 10, 8)
    gaps = [
        {"type": "ineq", "fun": lambda z, i=i, j=j: z[j] - z[i] - 2.0}
        for i, j in pairwise(np.argsort(heights))
    ]
    best = minimize(lambda z: ((z - heights) ** 2).sum(), heights, constraints=gaps, tol=1e-10)
    np.testing.assert_allclose(spread(heights, 2.0), best.x, atol=1e-4)


def test_draws_show_the_image_what_is_missing_and_each_models_draws(tried, figures):
    four = [f"draw {number}" for number in (1, 2, 3, 4)]
    gauss, t = ["Gaussian\nimputation", *four], ["t prior\nimputation", *four]
    axes = figures["draws_conv"].axes
    assert [ax.get_ylabel() for ax in axes] == ["original", "masked", *gauss, *t]
    case = sheet(0)[0]
    strips = [ax.images[0].get_array()[1:29, 1:29] for ax in axes]  # the first case
    hidden = case[1] > 0
    np.testing.assert_allclose(strips[0][..., 0], 1 - case[0] / 255)
    np.testing.assert_allclose(strips[1][hidden], np.tile(MISSING_TINT, (hidden.sum(), 1)))
    np.testing.assert_allclose(strips[1][~hidden][:, 0], 1 - case[0][~hidden] / 255)
    np.testing.assert_allclose(strips[2][..., 0], 1 - case[2] / 255)
    np.testing.assert_allclose(strips[6][..., 0], 1 - case[6] / 255)
    # A model with other hard cases has rows of its own.
    sheets = tried.draws | {("conv", "t", 0): sheet(1)}
    axes = planned(tried._replace(draws=sheets))["draws_conv"]().axes
    labels = ["original", "masked", *gauss, "original", "masked", *t]
    assert [ax.get_ylabel() for ax in axes] == labels


def test_estimates_are_shown_relative_to_the_complete_images(figures):
    ax = figures["rubin"].axes[0]
    means = {line.get_marker(): line.get_ydata() for line in ax.get_lines()}
    for marker, off in {"v": -20, "^": 3, "o": 0}.items():
        np.testing.assert_allclose(means[marker], np.full(10, off), atol=0.01)
    bars = [np.ptp(bar[:, 1]) for lines in ax.collections[-3:] for bar in lines.get_segments()]
    np.testing.assert_allclose(bars, np.full(30, 4), atol=0.01)
    assert [text.get_text() for text in ax.get_xticklabels()] == [str(digit) for digit in range(10)]
