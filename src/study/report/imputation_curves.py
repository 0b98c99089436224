"""Figures of the imputers with a label on the spot: quality against time, and degradation.

A marker's shape and colour are the model's, as everywhere; its fill says what the model was
trained for, and the label which method it is.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise, zip_longest
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FuncFormatter, LogLocator
from numpy.typing import ArrayLike, NDArray

from study.report.figures.style import COLOURS, GREY, LINES, MARKERS, MODELS, NAMES, style
from study.report.imputation_results import MECHANISMS, ImputationResults, Method, in_order
from study.report.imputation_tables import GROUP_NAMES, MSE, short_name
from study.report.label_placement import AIR, place, spread

TITLES = {"random": "random pixels missing", "square": "a square missing"}
SETTINGS = {"random": "missing pixels (% of the image)", "square": "side of the square (pixels)"}
LABEL_SIZE = 8.5
MARKER_SIZE = 6.5
SPACE = (6.0, 0.0)  # between labels that stand side by side

Line = tuple[NDArray[np.float64], NDArray[np.float64]]


@style()
def quality_time(results: ImputationResults) -> Figure:
    """Plot the error of each method against its time, one panel per mask.

    Gaussian and t of a method are joined and share a label. The step line passes through what
    nothing else beats in both. Methods without a time are named below.
    """
    figure = Figure(figsize=(10, 6))
    untimed = [short_name(m) for m in results.methods if results.time(m) is None]
    bottom = 0.13 if untimed else 0.09
    figure.subplots_adjust(left=0.085, right=0.99, top=0.86, bottom=bottom, wspace=0.13)
    panels = dict(zip(MECHANISMS, figure.subplots(1, 2, sharex=True), strict=True))
    points = {mechanism: results.points(mechanism, MSE.metric) for mechanism in MECHANISMS}
    steps = {}
    for mechanism, ax in panels.items():
        for method, models in points[mechanism].items():
            if len(models) > 1:
                ax.plot(*zip(*models.values(), strict=True), color=GREY, lw=0.8, zorder=1.8)
            for model, point in models.items():
                ax.plot(*point, ls="none", **_look(method, model))
        steps[mechanism] = _steps(
            [p for models in points[mechanism].values() for p in models.values()]
        )
        ax.plot(*steps[mechanism].T, color="black", lw=1, ls=":", zorder=1.6)
        ax.set(title=TITLES[mechanism], xlabel="seconds for 10,000 images (log scale)")
        _log(ax, "xy")
        ax.margins(0.12)
    panels["random"].set_ylabel("MSE of imputed images (log scale; lower is better)")
    for mechanism, ax in panels.items():
        _label_points(ax, points[mechanism], steps[mechanism])
    if untimed:
        note = f"Not timed, and therefore not shown: {', '.join(untimed)}."
        figure.text(0.01, 0.015, note, color=GREY, fontsize=8)
    _legend(figure, results.methods, front=True)
    return figure


def pareto(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points to which no other one is equal or lower in both, from left to right."""
    front: list[tuple[float, float]] = []
    for x, y in sorted(points):
        if not front or y < front[-1][1]:
            front.append((x, y))
    return front


def _steps(points: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    """Walk along the front: each point's error holds until the next one's time."""
    front = pareto(points)
    corners = [(x, y) for (_, y), (x, _) in pairwise(front)]
    path = [p for pair in zip_longest(front, corners) for p in pair if p is not None]
    return np.array(path, np.float64).reshape(-1, 2)


@style()
def degradation(results: ImputationResults) -> Figure:
    """Plot the error per missing pixel against how much is missing; labels stand at the end."""
    methods = in_order({method for method, _ in results.degradation})
    beside = (max(_text_size(short_name(method))[0] for method in methods) + 30) / 72
    width = (9.2 - 2 * beside - 0.5) / 2
    figure = Figure(figsize=(10, 5))
    figure.subplots_adjust(
        left=0.075, right=1 - beside / 10, top=0.84, bottom=0.11, wspace=(beside + 0.5) / width
    )
    panels = dict(zip(MECHANISMS, figure.subplots(1, 2), strict=True))
    for mechanism, ax in panels.items():
        ends: dict[Method, list[tuple[float, float]]] = {}
        for (method, model), (x, y) in curves(results, mechanism).items():
            look = _look(method, model) | {"ms": 4.5, "mew": 1}
            ax.plot(x, y, ls=LINES.get(model, "-"), lw=1.1, **look)
            ends.setdefault(method, []).append((x[-1], y[-1]))
        ax.set(title=TITLES[mechanism], xlabel=SETTINGS[mechanism])
        _log(ax, "y")
        _label_ends(ax, {method: _middle(points) for method, points in ends.items()})
    panels["random"].set_ylabel("MSE of missing pixels (log scale; lower is better)")
    _legend(figure, methods, front=False)
    return figure


def curves(results: ImputationResults, mechanism: str) -> dict[tuple[Method, str], Line]:
    """MSE over missing pixels by setting, per method and model; a fraction in percent."""
    scale = 100 if mechanism == "random" else 1
    found = {
        key: {scale * s: v for (m, s), v in values.items() if m == mechanism and s is not None}
        for key, values in results.degradation.items()
    }
    return {key: line(values) for key, values in found.items() if values}


def line(values: Mapping[float, float]) -> Line:
    """Turn values by place into two arrays, from left to right."""
    x, y = np.array(sorted(values.items()), dtype=np.float64).T
    return x, y


def _look(method: Method, model: str) -> dict[str, Any]:
    size = {"ms": MARKER_SIZE, "mew": 1.3}
    if not method.recipe:
        return {"color": GREY, "marker": "D", **size, "ms": MARKER_SIZE - 1}
    face = COLOURS[model] if method.group == "trained" else "white"
    return {"color": COLOURS[model], "marker": MARKERS[model], "mfc": face, **size}


def _label_points(
    ax: Axes,
    points: Mapping[Method, Mapping[str, tuple[float, float]]],
    line: NDArray[np.float64],
) -> None:
    """Label each method beside its points, clear of `line`; from further off with a leader."""
    if not points:
        return
    names = [short_name(method) for method in points]
    markers = [_typographic(ax, [*models.values()]) for models in points.values()]
    anchors = np.array([where.mean(axis=0) for where in markers])
    path = _typographic(ax, line)
    segments = np.concatenate(
        [np.minimum(path[1:], path[:-1]), np.maximum(path[1:], path[:-1])], axis=1
    )
    every = np.tile(np.concatenate(markers), 2)
    grown = np.array([-1, -1, 1, 1])
    obstacles = [every + (MARKER_SIZE / 2 + 2) * grown, segments + 0.5 * grown]
    low, high = _typographic(ax, [(0, 0), (1, 1)], axes=True)
    bounds = np.concatenate([low + 3, high - 3])
    sizes = np.array([_text_size(name) for name in names])
    centres = place(anchors, sizes + SPACE, np.concatenate(obstacles), bounds)
    ends = [_middle([*models.values()]) for models in points.values()]
    for name, end, (x, y), size in zip(names, ends, centres - anchors, sizes, strict=True):
        beside = np.clip((-x / size[0], -y / size[1]), -0.5, 0.5)
        near = np.hypot(*(beside * size + (x, y))) < AIR + 4
        leader = {"arrowstyle": "-", "color": GREY, "lw": 0.6, "shrinkA": 0, "shrinkB": 4}
        ax.annotate(
            name, end, (x, y), textcoords="offset points", ha="center", va="center",
            fontsize=LABEL_SIZE,
            arrowprops=None if near else leader | {"relpos": tuple(beside + 0.5)},
        )  # fmt: skip


def _middle(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the point in the middle, as logarithmic axes show it."""
    x, y = np.exp(np.log(points).mean(axis=0))
    return float(x), float(y)


def _label_ends(ax: Axes, ends: Mapping[Method, tuple[float, float]]) -> None:
    """Label curves to the right of the axes, moved apart where they end close together."""
    if not ends:
        return
    where = _typographic(ax, [*ends.values()])
    (_, bottom), (right, top) = _typographic(ax, [(0, 0), (1, 1)], axes=True)
    apart = spread(where[:, 1], 1.35 * LABEL_SIZE)
    # As one block: what left the axes at one end moves back in.
    apart += max(0.0, bottom - apart.min()) - max(0.0, apart.max() - top)
    leader = {"arrowstyle": "-", "color": GREY, "lw": 0.6, "shrinkA": 0, "shrinkB": 3}
    for (method, end), (x, y), height in zip(ends.items(), where, apart, strict=True):
        ax.annotate(
            short_name(method), end, (right + 14 - x, height - y), textcoords="offset points",
            fontsize=LABEL_SIZE, va="center", arrowprops=leader | {"relpos": (0, 0.5)},
        )  # fmt: skip


def _typographic(ax: Axes, points: ArrayLike, *, axes: bool = False) -> NDArray[np.float64]:
    """Turn data, or shares of the axes, into typographic points on the page."""
    transform = ax.transAxes if axes else ax.transData
    figure = ax.get_figure(root=True)
    assert figure is not None
    ax.autoscale_view()  # else matplotlib waits with the limits until it draws
    where: NDArray[np.float64] = transform.transform(np.asarray(points, np.float64))
    return where * 72 / figure.dpi


def _text_size(text: str) -> tuple[float, float]:
    font = FontProperties(family="DejaVu Sans", size=LABEL_SIZE)
    width, *_ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return width, 1.2 * LABEL_SIZE


def _log(ax: Axes, which: str) -> None:
    """Make axes logarithmic, with ticks that read as plain numbers."""
    for name in which:
        ax.set(**{f"{name}scale": "log"})
        axis = ax.xaxis if name == "x" else ax.yaxis
        axis.set_major_locator(
            LogLocator(subs=(1.0,) if name == "x" else (1.0, 2.0, 3.0, 5.0, 7.0))
        )
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_locator(LogLocator(subs=()))


def _legend(figure: Figure, methods: Sequence[Method], *, front: bool) -> None:
    """Explain colours by model and fills by what the models were trained for."""
    ax = figure.axes[0]
    handles = []
    for group in dict.fromkeys(method.group for method in methods):
        method = next(m for m in methods if m.group == group)
        for model in MODELS if method.recipe else ("",):
            name = GROUP_NAMES[group] + (f", {NAMES[model]}" if model else "")
            handles += ax.plot([], [], ls="none", **_look(method, model), label=name)
    if front:
        label = "no other is both faster and better"
        handles += ax.plot([], [], color="black", lw=1, ls=":", label=label)
    figure.legend(handles=handles, loc="upper center", ncols=3, fontsize=9)
