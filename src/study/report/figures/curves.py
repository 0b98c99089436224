"""The report's plots of numbers: arrays in, matplotlib figures out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from study.report.figures.style import COLOURS, GREY, LINES, MODELS, NAMES, df_label, style

PARTS = {"train": "training", "valid": "validation"}

Histories = Mapping[str, Sequence[Mapping[str, NDArray[np.float64]]]]


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
def training(histories: Mapping[str, Histories]) -> Figure:
    """Plot the loss per epoch of both models, on training and on validation images.

    Parameters
    ----------
    histories : dict of str to dict of str to sequence of dict
        Per training recipe, model and seed, arrays ``epoch``, ``train_loss`` and ``valid_loss``
        [n_epochs], in nats per image. One row of panels per recipe. Thick lines are means over
        seeds, thin ones the seeds. The axis, the same for all, starts below the lowest loss; the
        first epochs leave it at the top.
    """
    figure = Figure(figsize=(8, 0.6 + 2.8 * len(histories)), layout="constrained")
    runs = [run for models in histories.values() for seeds in models.values() for run in seeds]
    losses = [run[f"{part}_loss"] for run in runs for part in PARTS]
    settled = [loss[min(max(2, loss.size // 50), loss.size - 1) :] for loss in losses]
    low, high = min(map(np.min, settled)), max(map(np.max, settled))
    panels = figure.subplots(len(histories), 2, sharey=True, squeeze=False)
    for row, (recipe, models) in zip(panels, histories.items(), strict=True):
        for ax, part in zip(row, PARTS, strict=True):
            _losses(ax, models, f"{part}_loss")
            ax.set(title=f"recipe {recipe}, {PARTS[part]} images", xlabel="epoch")
        row[0].set(ylabel="loss, nats per image")
    margin = 0.04 * (high - low)
    figure.axes[0].set(ylim=(low - margin, high + margin))
    figure.axes[1].legend(loc="upper right", handlelength=2.6)
    return figure


def _losses(ax: Axes, models: Histories, column: str) -> None:
    for model in MODELS:
        epochs = models[model][0]["epoch"]
        runs = np.stack([history[column] for history in models[model]])
        _mean_of_lines(ax, epochs, runs, model)
    ax.set(xlim=(0, epochs[-1]))
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def _mean_of_lines(ax: Axes, x: ArrayLike, runs: NDArray[np.float64], model: str) -> None:
    """Draw one thin line per seed, a row of `runs`, and a thick one for their mean."""
    line: Any = {"color": COLOURS[model], "ls": LINES[model]}
    ax.plot(x, runs.T, color=COLOURS[model], lw=0.5, alpha=0.3)
    ax.plot(x, runs.mean(axis=0), **line, lw=1.6, label=NAMES[model])


@style()
def tails(
    quantiles: Mapping[str, Mapping[str, Sequence[Mapping[float, float]]]], df: float
) -> Figure:
    """Plot the quantiles of the codes of images against those of the prior.

    Parameters
    ----------
    quantiles : dict of str to dict of str to sequence of dict
        Per training recipe, model and seed, quantiles by probability: of all seeds the same
        probabilities. One panel per recipe.
    df : float
        Degrees of freedom of the t prior.
    """
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    priors = {"gauss": stats.norm(), "t": stats.t(df)}
    panels = figure.subplots(1, len(quantiles), sharey=True, squeeze=False)[0]
    for ax, (recipe, models) in zip(panels, quantiles.items(), strict=True):
        for model in MODELS:
            probabilities = sorted(models[model][0])
            runs = np.array([[seed[p] for p in probabilities] for seed in models[model]])
            _mean_of_lines(ax, priors[model].ppf(probabilities), runs, model)
        ax.axline((0, 0), slope=1, color=GREY, lw=0.8)
        ax.set(title=f"recipe {recipe}", xlabel="quantile of the prior")
    panels[0].set(ylabel="quantile of the codes")
    panels[0].legend(loc="upper left", handlelength=2.6)
    return figure
