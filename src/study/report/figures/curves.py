"""The report's plots of numbers: arrays in, matplotlib figures out."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike
from scipy import stats

from study.report.figures.style import COLOURS, GREY, LINES, NAMES, df_label, style
from study.trials.comparison import MODELS

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
def training(histories: pd.DataFrame) -> Figure:
    """Plot the loss per epoch of both models, on training and on validation images.

    Parameters
    ----------
    histories : DataFrame
        As from `study.report.runs.load_histories`. One row of panels per recipe. Thick lines are
        means over seeds, thin ones the seeds. The axis, the same for all, starts below the lowest
        loss; the first epochs leave it at the top.
    """
    recipes = list(histories.recipe.unique())
    figure = Figure(figsize=(8, 0.6 + 2.8 * len(recipes)), layout="constrained")
    panels = figure.subplots(len(recipes), 2, sharey=True, squeeze=False)
    for row, recipe in zip(panels, recipes, strict=True):
        runs = histories[histories.recipe == recipe]
        for ax, part in zip(row, PARTS, strict=True):
            for model in MODELS:
                own = runs[runs.model == model]
                losses = own.pivot(index="epoch", columns="seed", values=f"{part}_loss")
                _mean_of_lines(ax, losses.index, losses, model)
            ax.set(title=f"recipe {recipe}, {PARTS[part]} images", xlabel="epoch")
            ax.set(xlim=(0, runs.epoch.max()))
            ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        row[0].set(ylabel="loss, nats per image")
    last = histories.groupby("recipe").epoch.transform("max")
    settled = histories[histories.epoch > np.minimum(np.maximum(2, last // 50), last - 1)]
    losses = settled[[f"{part}_loss" for part in PARTS]].to_numpy()
    margin = 0.04 * (losses.max() - losses.min())
    figure.axes[0].set(ylim=(losses.min() - margin, losses.max() + margin))
    figure.axes[1].legend(loc="upper right", handlelength=2.6)
    return figure


@style()
def tails(latent: pd.DataFrame, df: float) -> Figure:
    """Plot the quantiles of the codes of images against those of the prior.

    Parameters
    ----------
    latent : DataFrame
        As in `study.report.runs.Metrics`. One panel per recipe.
    df : float
        Degrees of freedom of the t prior.
    """
    quantiles = latent[latent.what == "quantiles"]
    recipes = list(quantiles.recipe.unique())
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    priors = {"gauss": stats.norm(), "t": stats.t(df)}
    panels = figure.subplots(1, len(recipes), sharey=True, squeeze=False)[0]
    for ax, recipe in zip(panels, recipes, strict=True):
        for model in MODELS:
            own = quantiles[(quantiles.recipe == recipe) & (quantiles.model == model)]
            own = own.assign(probability=own.part.astype(float))
            runs = own.pivot(index="probability", columns="seed", values="value")
            _mean_of_lines(ax, priors[model].ppf(runs.index), runs, model)
        ax.axline((0, 0), slope=1, color=GREY, lw=0.8)
        ax.set(title=f"recipe {recipe}", xlabel="quantile of the prior")
    panels[0].set(ylabel="quantile of the codes")
    panels[0].legend(loc="upper left", handlelength=2.6)
    return figure


def _mean_of_lines(ax: Axes, x: ArrayLike, runs: pd.DataFrame, model: str) -> None:
    """Draw one thin line per seed, a column of `runs`, and a thick one for their mean."""
    line: Any = {"color": COLOURS[model], "ls": LINES[model]}
    ax.plot(x, runs, color=COLOURS[model], lw=0.5, alpha=0.3)
    ax.plot(x, runs.mean(axis=1), **line, lw=1.6, label=NAMES[model])
