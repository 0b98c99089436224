from itertools import combinations, pairwise

import numpy as np
import pytest
from imputation_files import DEGRADATION_COLUMNS, ERRORS, SECONDS, loaded, score_rows, sheet, write
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.text import Text
from scipy.optimize import minimize

from study.report.figures.galleries import MISSING_TINT
from study.report.figures.style import COLOURS, GREY, MARKERS, to_png
from study.report.imputation_curves import degradation, pareto, quality_time
from study.report.imputation_figures import draw, draws, planned
from study.report.imputation_results import MECHANISMS, Method, load
from study.report.imputation_tables import short_name
from study.report.label_placement import AIR, place, spread
from study.trials.tiles import save_tiles
from vaefill.storage import save_table

NAMES = {short_name(Method(*key)) for key in ERRORS}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return loaded(tmp_path_factory.mktemp("reports"), drawn=("conv",))


@pytest.fixture(scope="module")
def figures(results):
    return draw(results)


@pytest.fixture
def figure(figures):
    return figures["quality_time"]


def boxes_of_texts(ax):
    """Where matplotlib draws the annotations, without their leaders, in pixels."""
    renderer = FigureCanvasAgg(ax.figure).get_renderer()
    for text in ax.texts:
        text.update_positions(renderer)
    return [Text.get_window_extent(text, renderer) for text in ax.texts]


def overlap(a, b):
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    return width > 0 and height > 0


def markers(ax):
    """Of every single point: its place, marker, colour and fill."""
    return [
        (
            (float(line.get_xdata()[0]), float(line.get_ydata()[0])),
            line.get_marker(), to_hex(line.get_color()), to_hex(line.get_markerfacecolor()),
        )
        for line in ax.get_lines()
        if len(line.get_xdata()) == 1
    ]  # fmt: skip


# All figures


def test_every_figure_is_drawn_and_to_the_same_bytes_twice(results, figures):
    assert list(figures) == [*planned(results)]
    assert set(figures) == {"quality_time", "calibration", "degradation", "draws_conv", "rubin"}
    again = draw(results)
    for name, drawn in figures.items():
        png = to_png(drawn)
        assert png == to_png(again[name]), name
        assert int.from_bytes(png[16:20], "big") >= 600, name  # the width in the PNG's header


@pytest.mark.parametrize(
    "keep",
    [
        lambda row: row["model"] not in ("gauss", "t"),
        lambda row: row["mechanism"] == "random" and row["model"] != "t",
        lambda row: row["metric"] != "mse" and row["region"] != "grey",
    ],
    ids=["baselines alone", "one mask and one model", "no errors"],
)
def test_figures_of_what_there_is_are_drawn(tmp_path, keep):
    rows = [row for row in score_rows() if keep(row)]
    for drawn in draw(loaded(tmp_path, scores=rows, without=("draws",))).values():
        to_png(drawn)


# Quality against time


def test_every_method_is_a_point_where_it_belongs(figure):
    for ax, scale in zip(figure.axes, (1, 5.6), strict=True):
        points = markers(ax)
        assert len(points) == sum(2 if recipe else 1 for recipe, _ in ERRORS)
        found = {(x, y) for (x, y), *_ in points}
        expected = {(SECONDS[key], scale * error) for key, error in ERRORS.items()}
        np.testing.assert_allclose(sorted(found), sorted(expected), rtol=1e-5)
        assert ax.get_xscale() == ax.get_yscale() == "log"


def test_markers_tell_model_and_group_without_colour(figure):
    looks = {}
    for (x, _), *look in markers(figure.axes[0]):
        (key,) = (key for key, time in SECONDS.items() if abs(x / time - 1) < 1e-4)
        looks.setdefault(Method(*key).group, set()).add(tuple(look))
    assert looks["baseline"] == {("D", GREY, GREY)}
    colours = {model: COLOURS[model].lower() for model in MARKERS}
    assert looks["inference"] == {(MARKERS[m], colours[m], "#ffffff") for m in MARKERS}
    assert looks["trained"] == {(MARKERS[m], colours[m], colours[m]) for m in MARKERS}
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(labels) == 1 + 2 + 2 + 1


def test_every_method_has_one_label_clear_of_all_others_and_inside(figure):
    for ax in figure.axes:
        assert {text.get_text() for text in ax.texts} == NAMES
        assert len(ax.texts) == len(NAMES)
        boxes = boxes_of_texts(ax)
        assert not any(overlap(a, b) for a, b in combinations(boxes, 2))
        inside = ax.get_window_extent()
        for box in boxes:
            assert inside.x0 <= box.x0
            assert box.x1 <= inside.x1
            assert inside.y0 <= box.y0
            assert box.y1 <= inside.y1
        for point, *_ in markers(ax):
            x, y = ax.transData.transform(point)
            assert not any(box.x0 < x < box.x1 and box.y0 < y < box.y1 for box in boxes)


def test_the_step_line_is_the_front(figure):
    rng = np.random.default_rng(0)
    points = [tuple(point) for point in rng.integers(12, size=(40, 2)).tolist()]
    expected = {
        p for p in points if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points)
    }
    assert pareto(points) == sorted(expected)
    assert pareto([]) == []
    (line,) = (line for line in figure.axes[0].get_lines() if line.get_linestyle() == ":"
               and len(line.get_xdata()))  # fmt: skip
    x, y = line.get_data()
    front = pareto([(SECONDS[key], error) for key, error in ERRORS.items()])
    np.testing.assert_allclose(list(zip(x, y, strict=True))[::2], front, rtol=1e-5)
    # Across first, down then: an error holds until the next method's time.
    np.testing.assert_array_equal(y[1::2], y[:-1:2])
    np.testing.assert_array_equal(x[1::2], x[2::2])


def test_what_was_not_timed_is_left_out_and_named(tmp_path):
    write(tmp_path)
    path = tmp_path / "imputation" / "timings.csv"
    kept = [line for line in path.read_text().splitlines() if "laplace" not in line]
    path.write_text("\n".join(kept))
    drawn = quality_time(load(tmp_path))
    assert {text.get_text() for text in drawn.axes[0].texts} == NAMES - {"Laplace"}
    assert drawn.texts[0].get_text() == "Not timed, and therefore not shown: Laplace."


# Calibration


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
    assert set(titles) == {
        "pseudo-Gibbs", "Metropolis within Gibbs", "importance sampling", "Laplace",
        "refitted encoder", "mlp draws", "conv draws",
    }  # fmt: skip


# Degradation


def test_degradation_curves_are_the_files_own(figures):
    for ax, mechanism in zip(figures["degradation"].axes, MECHANISMS, strict=True):
        curves = [line for line in ax.get_lines() if len(line.get_xdata()) > 1]
        assert len(curves) == sum(2 if recipe else 1 for recipe, _ in ERRORS)
        places = np.arange(10, 100, 10) if mechanism == "random" else np.arange(4, 25, 4)
        factors = 1 + places / 10 if mechanism == "random" else places
        for line in curves:
            np.testing.assert_allclose(line.get_xdata(), places)
            ratios = np.asarray(line.get_ydata()) / factors
            np.testing.assert_allclose(ratios, ratios[0], rtol=1e-4)
        starts = {round(float(line.get_ydata()[0]) / factors[0], 6) for line in curves}
        assert starts == set(ERRORS.values())


def test_labels_of_curves_stand_clear_of_each_other_and_on_the_page(figures):
    drawn = figures["degradation"]
    width = drawn.bbox.width
    for ax in drawn.axes:
        assert {text.get_text() for text in ax.texts} == NAMES
        boxes = boxes_of_texts(ax)
        assert not any(overlap(a, b) for a, b in combinations(boxes, 2))
        others = [other.get_tightbbox() for other in drawn.axes if other is not ax]
        right = min([width, *(box.x0 for box in others if box.x0 > ax.bbox.x1)])
        assert all(ax.bbox.x1 < box.x0 and box.x1 <= right for box in boxes)


def test_a_curve_that_ends_early_has_its_label_too(tmp_path):
    write(tmp_path, without=("draws",))
    path = tmp_path / "imputation" / "degradation.csv"
    rows = [("", "zero", "", "random", s, s) for s in (0.1, 0.5, 0.9)]
    rows += [("slides", "t", "map", "random", s, 0.1 * s) for s in (0.1, 0.5)]
    save_table(path, DEGRADATION_COLUMNS, rows)
    left, right = degradation(load(tmp_path)).axes
    assert {text.get_text(): text.xy for text in left.texts} == {
        "zeros": pytest.approx((90, 0.9)),
        "MAP code": pytest.approx((50, 0.05)),
    }
    assert not right.texts


# Draws and Rubin's rules


def test_draws_show_the_image_what_is_missing_and_each_models_draws(figures):
    drawn = figures["draws_conv"]
    labels = [ax.get_ylabel() for ax in drawn.axes]
    four = [f"draw {number}" for number in (1, 2, 3, 4)]
    assert labels == [
        "original", "masked", "Gaussian\nimputation", *four, "t prior\nimputation", *four,
    ]  # fmt: skip
    case = sheet(0)[0]
    strips = [ax.images[0].get_array()[1:29, 1:29] for ax in drawn.axes]  # the first case
    hidden = case[1] > 0
    np.testing.assert_allclose(strips[0][..., 0], 1 - case[0] / 255)
    np.testing.assert_allclose(strips[1][hidden], np.tile(MISSING_TINT, (hidden.sum(), 1)))
    np.testing.assert_allclose(strips[1][~hidden][:, 0], 1 - case[0][~hidden] / 255)
    np.testing.assert_allclose(strips[2][..., 0], 1 - case[2] / 255)
    np.testing.assert_allclose(strips[6][..., 0], 1 - case[6] / 255)


def test_models_with_other_hard_cases_get_rows_of_their_own(tmp_path):
    write(tmp_path)
    save_tiles(tmp_path / "imputation" / "draws" / "conv-t-0.png", sheet(1))
    labels = [ax.get_ylabel() for ax in draws(load(tmp_path), "conv").axes]
    assert labels.count("original") == labels.count("masked") == 2


def test_estimates_are_shown_relative_to_the_complete_images(figures):
    ax = figures["rubin"].axes[0]
    means = {}
    for (_, y), marker, *_ in markers(ax):
        means.setdefault(marker, []).append(y)
    assert {marker: len(values) for marker, values in means.items()} == {"v": 10, "^": 10, "o": 10}
    np.testing.assert_allclose(means["v"], -20, atol=0.01)
    np.testing.assert_allclose(means["^"], 3, atol=0.01)
    np.testing.assert_allclose(means["o"], 0, atol=0.01)
    bars = [line.get_ydata() for line in ax.get_lines() if len(line.get_xdata()) == 2][:30]
    np.testing.assert_allclose(np.ptp(bars, axis=1), 4, atol=0.01)
    assert [text.get_text() for text in ax.get_xticklabels()] == [str(digit) for digit in range(10)]


# Where labels go


def test_spread_by_hand():
    np.testing.assert_allclose(spread([0, 0], 2), [-1, 1])
    np.testing.assert_allclose(spread([5, 0, 9], 3), [5, 0, 9])
    np.testing.assert_allclose(spread([1, 0, 0.5], 1), [1.5, -0.5, 0.5])


def test_spread_moves_as_little_as_possible():
    heights = np.random.default_rng(0).uniform(0, 10, 8)
    moved = spread(heights, 2.0)
    order = np.argsort(heights)
    gaps = [
        {"type": "ineq", "fun": lambda z, i=i, j=j: z[j] - z[i] - 2.0} for i, j in pairwise(order)
    ]
    best = minimize(lambda z: ((z - heights) ** 2).sum(), heights, constraints=gaps, tol=1e-10)
    np.testing.assert_allclose(moved, best.x, atol=1e-4)


def test_a_lonely_label_stands_right_beside_its_point():
    sizes, bounds = [(40.0, 10.0)], (0, 0, 200, 200)
    (centre,) = place([(100, 100)], sizes, np.empty((0, 4)), bounds)
    gap = np.maximum(np.abs(centre - 100) - np.array([20, 5]), 0)
    assert AIR - 3 < np.hypot(*gap) < AIR + 1
    # In a corner it goes where there is room.
    (centre,) = place([(198, 198)], sizes, np.empty((0, 4)), bounds)
    assert centre[0] + 20 <= 200
    assert centre[1] + 5 <= 200


@pytest.mark.parametrize("seed", range(3))
def test_labels_of_a_crowd_cover_neither_each_other_nor_the_points(seed):
    rng = np.random.default_rng(seed)
    anchors = rng.normal((150, 120), 25, (12, 2))
    sizes = np.column_stack([rng.uniform(30, 80, 12), np.full(12, 10.0)])
    obstacles = np.hstack([anchors - 3, anchors + 3])
    centres = place(anchors, sizes, obstacles, (0, 0, 300, 240))
    boxes = [*np.hstack([centres - sizes / 2, centres + sizes / 2]), *obstacles]
    for (i, a), (j, b) in combinations(enumerate(boxes), 2):
        if min(i, j) < 12:
            width, height = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
            assert min(width, height) <= 0, (i, j)
    np.testing.assert_array_equal(centres, place(anchors, sizes, obstacles, (0, 0, 300, 240)))
