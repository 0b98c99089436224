"""The report's main figure: the scores of both models, recipe by recipe, beside the slides'."""

from collections.abc import Sequence
from itertools import product
from operator import attrgetter
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from study.report.figures.style import COLOURS, GREY, MARKERS, NAMES, style
from study.slides import SLIDES, Cell
from study.trials.comparison import MODELS
from vaefill.metrics.statistics import Interval, mean_interval, paired_difference

MISSING = {"random": "random pixels missing", "square": "a square missing"}
METRICS = {"mse": "MSE (lower is better)", "ssim_global": "SSIM (higher is better)"}
OUTPUTS = ("imputation", "prediction")


@style()
def comparison(scores: pd.DataFrame, slides: str | None) -> Figure:
    """Set both models side by side, recipe by recipe, beside the slides.

    Parameters
    ----------
    scores : DataFrame
        As in `study.report.runs.Metrics`.
    slides : str or None
        The recipe that the slides' values stand beside.

    Returns
    -------
    Figure
        At the top, per recipe, the relative change of the error (MSE, or 1 - SSIM) from the
        Gaussian model to the t prior, in percent. Below, one panel per metric and mechanism: a
        dot per seed, a bar for the mean's 95 % interval, a hollow diamond for the slides.
    """
    recipes = list(scores.recipe.unique())
    names = [*Cell._fields, "recipe", "seed"]
    images = scores[scores.region == "image"]
    values = images.pivot(index=names, columns="model", values="value")
    heights = (4.3, 1.2 + 1.7 * len(recipes))
    figure = Figure(
        figsize=(8.4, sum(heights)), layout=ConstrainedLayoutEngine(wspace=0.05, hspace=0.06)
    )
    halves = figure.add_gridspec(2, 1, height_ratios=heights)
    top = halves[0].subgridspec(1, len(recipes))
    panels = top.subplots(sharex=True, sharey=True, squeeze=False)[0]
    # What the question is about, the imputation, comes first.
    cells = sorted(SLIDES, key=attrgetter("output", "metric", "mechanism"))
    for ax, recipe in zip(panels, recipes, strict=True):
        pairs = {cell: values.loc[(*cell, recipe)] for cell in cells}
        _changes(ax, pairs, claimed=recipe == slides)
        ax.set_title(f"t prior against Gaussian, recipe {recipe}")
    grid = halves[1].subgridspec(len(METRICS), len(MISSING))
    rows = list(product(OUTPUTS, recipes))
    for place, (metric, mechanism) in enumerate(product(METRICS, MISSING)):
        ax = figure.add_subplot(grid[place])
        for y, (output, recipe) in enumerate(rows):
            cell = Cell(mechanism, output, metric)
            for model, shift in zip(MODELS, (-0.17, 0.17), strict=True):
                runs = values.loc[(*cell, recipe)][model]
                claim = SLIDES[cell][model] if recipe == slides else None
                _dots(ax, y + shift, runs, mean_interval(runs), model, claim)
        _rows(ax, [f"{output},\n{recipe}" for output, recipe in rows])
        ax.set_xlabel(METRICS[metric])
        ax.margins(x=0.1)
        ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        if place < len(MISSING):
            ax.set_title(MISSING[mechanism])
        if place % len(MISSING):
            ax.tick_params(labelleft=False)
    several = scores.seed.nunique() > 1
    _legend(figure, with_interval=several, with_slides=slides in recipes)
    return figure


def _changes(ax: Axes, pairs: dict[Cell, pd.DataFrame], *, claimed: bool) -> None:
    """Draw the relative change of the error, in percent: below 0 the t prior is better."""
    for y, (cell, runs) in enumerate(pairs.items()):
        gauss, t = (_error(cell, runs[model].to_numpy()) for model in MODELS)
        percent = 100 / gauss.mean()
        interval = Interval(*(percent * bound for bound in paired_difference(gauss, t)))
        before, after = (_error(cell, SLIDES[cell][model]) for model in MODELS)
        claim = 100 * (after - before) / before if claimed else None
        _dots(ax, y, percent * (t - gauss), interval, "t", claim)
    ax.axvline(0, color="black", lw=1)
    metrics = {"mse": "MSE", "ssim_global": "SSIM"}
    _rows(ax, [f"{cell.output},\n{metrics[cell.metric]}, {cell.mechanism}" for cell in pairs])
    ax.margins(x=0.12)
    ax.set_xlabel("change of the error, MSE or 1 − SSIM (%)\nbelow 0: the t prior is better")


def _error(cell: Cell, score: Any) -> Any:
    return score if cell.metric == "mse" else 1 - score


def _dots(
    ax: Axes, y: float, values: ArrayLike, interval: Interval, model: str, claim: float | None
) -> None:
    colour = COLOURS[model]
    if claim is not None:
        # Below our dots: where ours agree with the slides, they lie inside the diamond.
        ax.plot(claim, y, "D", mfc="white", mec=colour, mew=1.4, ms=9, zorder=1.9)
    if not np.isnan(interval.low):
        ax.plot([interval.low, interval.high], [y, y], color=colour, lw=3, alpha=0.45)
        ax.plot(interval.mean, y, "|", color=colour, ms=11, mew=1.4)
    dots = np.asarray(values)
    ax.plot(dots, np.full(len(dots), y), MARKERS[model], color=colour, ms=3.5, mec="white", mew=0.3)


def _rows(ax: Axes, labels: Sequence[str]) -> None:
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def _legend(figure: Figure, *, with_interval: bool, with_slides: bool) -> None:
    ax = figure.axes[0]
    looks: list[tuple[str, str, Any]] = [
        (MARKERS[m], f"{NAMES[m]}, one dot per seed", {"color": COLOURS[m], "ms": 6})
        for m in MODELS
    ]
    if with_interval:
        bar = {"color": GREY, "lw": 3, "alpha": 0.45}
        looks.append(("-", "95 % interval of the mean", bar))
    if with_slides:
        looks.append(("D", "in the slides", {"mfc": "white", "mec": GREY, "mew": 1.4, "ms": 9}))
    handles = [ax.plot([], [], shape, label=label, **look)[0] for shape, label, look in looks]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, columnspacing=1.2)
