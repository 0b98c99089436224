"""The report's main figure: the scores of both models, recipe by recipe, beside the slides'."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from study.report.figures.style import COLOURS, GREY, MARKERS, MODELS, NAMES, style
from study.slides import Cell
from vaefill.metrics.statistics import Interval, mean_interval, paired_difference

MECHANISM_TITLES = {"random": "random pixels missing", "square": "a square missing"}
METRIC_LABELS = {"mse": "MSE (lower is better)", "ssim_global": "SSIM (higher is better)"}


@style()
def comparison(
    values: Mapping[str, Mapping[Cell, tuple[Sequence[float], Sequence[float]]]],
    slides: Mapping[str, Mapping[Cell, Mapping[str, float]]],
) -> Figure:
    """Set both models side by side, recipe by recipe, beside the slides.

    Parameters
    ----------
    values : dict of str to dict of Cell to (gauss, t)
        Per training recipe, scores per seed, the seeds in the same order; metrics ``mse`` and
        ``ssim_global``; the same cells for all.
    slides : dict of str to dict of Cell to dict of str to float
        The slides' values per model, under the recipe that they are to stand beside.

    Returns
    -------
    Figure
        At the top one panel per metric and mechanism: a dot per seed, a bar for the mean's
        95 % interval, a hollow diamond for the slides. Below, per recipe, the relative change of
        the error (MSE, or 1 - SSIM) from the Gaussian model to the t prior, in percent.
    """
    heights = (1.6 + 1.9 * len(values), 4.2)
    figure = Figure(
        figsize=(10, sum(heights)), layout=ConstrainedLayoutEngine(wspace=0.06, hspace=0.05)
    )
    halves = figure.add_gridspec(2, 1, height_ratios=heights)
    cells = next(iter(values.values()))
    metrics, mechanisms, outputs = (
        list(dict.fromkeys(getattr(cell, part) for cell in cells))
        for part in ("metric", "mechanism", "output")
    )
    places = [(output, recipe) for output in outputs for recipe in values]
    grid = halves[0].subgridspec(len(metrics), len(mechanisms))
    for row, metric in enumerate(metrics):
        for column, mechanism in enumerate(mechanisms):
            ax = figure.add_subplot(grid[row, column])
            for place, (output, recipe) in enumerate(places):
                cell = Cell(mechanism, output, metric)
                claims = slides.get(recipe, {}).get(cell, {})
                for model, scores in zip(MODELS, values[recipe][cell], strict=True):
                    y = place + (-0.17 if model == "gauss" else 0.17)
                    _dots(ax, y, scores, mean_interval(scores), model, claims.get(model))
            _rows(ax, [f"{output}\n{recipe}" for output, recipe in places])
            ax.set_xlabel(METRIC_LABELS[metric])
            ax.margins(x=0.1)
            ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
            if row == 0:
                ax.set_title(MECHANISM_TITLES[mechanism])
            if column:
                ax.tick_params(labelleft=False)
    panels = halves[1].subgridspec(1, len(values)).subplots(sharex=True, sharey=True, squeeze=False)
    for ax, (recipe, pairs) in zip(panels[0], values.items(), strict=True):
        _changes(ax, pairs, slides.get(recipe))
        ax.set_title(f"t prior against Gaussian, recipe {recipe}")
    n_seeds = min(len(scores) for pair in cells.values() for scores in pair)
    _legend(figure, with_interval=n_seeds > 1, with_slides=bool(slides))
    return figure


def _changes(
    ax: Axes,
    values: Mapping[Cell, tuple[Sequence[float], Sequence[float]]],
    slides: Mapping[Cell, Mapping[str, float]] | None,
) -> None:
    """Draw the relative change of the error, in percent: below 0 the t prior is better."""
    labels = []
    for y, (cell, scores) in enumerate(values.items()):
        gauss, t = (_error(cell.metric, np.asarray(model)) for model in scores)
        percent = 100 / gauss.mean()
        interval = Interval(*(percent * bound for bound in paired_difference(gauss, t)))
        claimed = None
        if slides is not None:
            before, after = (float(_error(cell.metric, slides[cell][model])) for model in MODELS)
            claimed = 100 * (after - before) / before
        _dots(ax, y, percent * (t - gauss), interval, "t", claimed)
        name = "MSE" if cell.metric == "mse" else "SSIM"
        labels.append(f"{name}, {cell.mechanism}\n{cell.output}")
    ax.axvline(0, color="black", lw=1)
    _rows(ax, labels)
    ax.margins(x=0.12)
    ax.set_xlabel("change of the error, MSE or 1 − SSIM (%)\nbelow 0: the t prior is better")


def _error(metric: str, score: Any) -> Any:
    return score if metric == "mse" else 1 - score


def _dots(
    ax: Axes,
    y: float,
    values: Sequence[float] | NDArray[np.float64],
    interval: Interval,
    model: str,
    claimed: float | None,
) -> None:
    colour = COLOURS[model]
    if claimed is not None:
        # Below our dots: where ours agree with the slides, they lie inside the diamond.
        ax.plot(claimed, y, "D", mfc="white", mec=colour, mew=1.4, ms=9, zorder=1.9)
    if not np.isnan(interval.low):
        ax.plot([interval.low, interval.high], [y, y], color=colour, lw=3, alpha=0.45)
        ax.plot(interval.mean, y, "|", color=colour, ms=11, mew=1.4)
    level = np.full(len(values), y)
    ax.plot(values, level, MARKERS[model], color=colour, ms=3.5, mec="white", mew=0.3)


def _rows(ax: Axes, labels: Sequence[str]) -> None:
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def _legend(figure: Figure, *, with_interval: bool, with_slides: bool) -> None:
    ax = figure.axes[0]
    handles = [
        ax.plot([], [], MARKERS[m], color=COLOURS[m], ms=6, label=f"{NAMES[m]}, one dot per seed")[
            0
        ]
        for m in MODELS
    ]
    if with_interval:
        bar: Any = {"color": GREY, "lw": 3, "alpha": 0.45}
        handles += ax.plot([], [], **bar, label="95 % interval of the mean")
    if with_slides:
        hollow: Any = {"mfc": "white", "mec": GREY, "mew": 1.4, "ms": 9}
        handles += ax.plot([], [], "D", **hollow, label="in the slides")
    figure.legend(handles=handles, loc="outside upper center", ncols=4)
