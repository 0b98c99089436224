"""The report's plots of numbers: arrays in, matplotlib figures out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from scipy import stats

from vaefill.slides import Cell
from vaefill.statistics import Interval, mean_interval, paired_difference
from vaefill.style import COLOURS, GREY, LINES, MARKERS, MODELS, NAMES, df_label, style

MECHANISM_TITLES = {"random": "random pixels missing", "square": "a square missing"}
METRIC_LABELS = {"mse": "MSE (lower is better)", "ssim_global": "SSIM (higher is better)"}
PARTS = {"train": "training", "valid": "validation"}


@style()
def density(df: float) -> Figure:
    """Plot the density of Student's t with `df` degrees of freedom against the normal one.

    The right panel has a logarithmic axis: there the normal density is a parabola, and the
    heavier tails of the t stand above it.
    """
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    z = np.linspace(-7, 7, 701)
    densities = {"gauss": stats.norm.pdf(z), "t": stats.t.pdf(z, df)}
    labels = {"gauss": "normal N(0, 1)", "t": f"Student t, {df_label(df)}"}
    for ax, half_width in zip(figure.subplots(1, 2), (4, 7), strict=True):
        for model in MODELS:
            ax.plot(z, densities[model], color=COLOURS[model], ls=LINES[model], label=labels[model])
        ax.set(xlim=(-half_width, half_width), xlabel="one latent coordinate z")
    left, right = figure.axes
    left.set(ylim=(0, 0.46), ylabel="density")  # 0.46: the legend stays clear of the curves
    left.legend(loc="upper right", fontsize=9, handlelength=2.4, borderaxespad=0)
    right.set(yscale="log", ylim=(1e-8, 1), ylabel="density, log scale")
    return figure


@style()
def training(histories: Mapping[str, Sequence[Mapping[str, NDArray[np.float64]]]]) -> Figure:
    """Plot the loss per epoch of both models, on training and on validation images.

    Parameters
    ----------
    histories : dict of str to sequence of dict
        Per model and seed, arrays ``epoch``, ``train_loss`` and ``valid_loss`` [n_epochs], in
        nats per image. Thick lines are means over seeds, thin ones the seeds. The axis starts
        below the lowest loss; the first epochs leave it at the top.
    """
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    losses = [h[f"{part}_loss"] for runs in histories.values() for h in runs for part in PARTS]
    settled = [loss[min(max(2, loss.size // 50), loss.size - 1) :] for loss in losses]
    low, high = min(map(np.min, settled)), max(map(np.max, settled))
    for ax, part in zip(figure.subplots(1, 2, sharey=True), PARTS, strict=True):
        for model in MODELS:
            epochs = histories[model][0]["epoch"]
            runs = np.stack([history[f"{part}_loss"] for history in histories[model]])
            line: Any = {"color": COLOURS[model], "ls": LINES[model]}
            ax.plot(epochs, runs.T, color=COLOURS[model], lw=0.5, alpha=0.3)
            ax.plot(epochs, runs.mean(axis=0), **line, lw=1.6, label=NAMES[model])
        ax.set(title=f"{PARTS[part]} images", xlabel="epoch", xlim=(0, epochs[-1]))
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    margin = 0.04 * (high - low)
    figure.axes[0].set(ylabel="loss = −ELBO, nats per image", ylim=(low - margin, high + margin))
    figure.axes[1].legend(loc="upper right", handlelength=2.6)
    return figure


@style()
def comparison(
    values: Mapping[Cell, tuple[Sequence[float], Sequence[float]]],
    slides: Mapping[Cell, Mapping[str, float]] | None,
) -> Figure:
    """Set both models side by side, beside the slides.

    Parameters
    ----------
    values : dict of Cell to (gauss, t)
        Scores per seed, the seeds in the same order; metrics ``mse`` and ``ssim_global``.
    slides : dict of Cell to dict of str to float, or None
        The slides' values per model; None leaves them out.

    Returns
    -------
    Figure
        To the left one panel per metric and mechanism: a dot per seed, a bar for the mean's
        95 % interval, a hollow diamond for the slides. To the right the relative change of the
        error (MSE, or 1 - SSIM) from the Gaussian model to the t prior, in percent.
    """
    figure = Figure(figsize=(10, 5), layout=ConstrainedLayoutEngine(wspace=0.06, hspace=0.05))
    grid = figure.add_gridspec(2, 3, width_ratios=(1, 1, 1.2))
    metrics, mechanisms, outputs = (
        list(dict.fromkeys(getattr(cell, part) for cell in values))
        for part in ("metric", "mechanism", "output")
    )
    for row, metric in enumerate(metrics):
        for column, mechanism in enumerate(mechanisms):
            ax = figure.add_subplot(grid[row, column])
            for place, output in enumerate(outputs):
                cell = Cell(mechanism, output, metric)
                for model, scores in zip(MODELS, values[cell], strict=True):
                    y = place + (-0.17 if model == "gauss" else 0.17)
                    claimed = None if slides is None else slides[cell][model]
                    _dots(ax, y, scores, mean_interval(scores), model, claimed)
            _rows(ax, outputs)
            ax.set_xlabel(METRIC_LABELS[metric])
            ax.margins(x=0.1)
            ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
            if row == 0:
                ax.set_title(MECHANISM_TITLES[mechanism])
            if column:
                ax.tick_params(labelleft=False)
    _changes(figure.add_subplot(grid[:, 2]), values, slides)
    n_seeds = min(len(scores) for pair in values.values() for scores in pair)
    _legend(figure, with_interval=n_seeds > 1, with_slides=slides is not None)
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
    ax.set(title="t prior against Gaussian")
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
        handles += ax.plot([], [], "D", **hollow, label="slides")
    figure.legend(handles=handles, loc="outside upper center", ncols=4)
