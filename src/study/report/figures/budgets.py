"""The figure of training work: error and likeness against it, one line per kind of mask."""

from collections.abc import Callable
from functools import partial

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from study.report.budgets import CASE, case_name, curve
from study.report.figures.style import look, style

LABEL_SIZE = 8.5
PANELS = {
    ("missing", "mse"): "MSE of missing pixels\n(log scale; lower is better)",
    ("image", "ssim"): "SSIM of whole images\n(higher is better)",
}


def planned(rows: pd.DataFrame) -> dict[str, Callable[[], Figure]]:
    """Return how to draw the figure, where several models make a curve."""
    return {"budgets": partial(budgets, curve(rows))} if len(curve(rows)) else {}


@style()
def budgets(rows: pd.DataFrame) -> Figure:
    """Plot scores of the Gaussian models of one architecture against the work of their training.

    Parameters
    ----------
    rows : DataFrame
        As from `study.report.budgets.curve`.
    """
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    for ax, ((region, metric), label) in zip(figure.subplots(1, 2), PANELS.items(), strict=True):
        chosen = rows[(rows["region"] == region) & (rows["metric"] == metric)]
        for case, own in chosen.groupby([*CASE]):
            ax.plot(own["tflop"], own["value"], **look("gauss") | {"ms": 5, "lw": 1.2})
            ax.annotate(
                case_name(*case), (own["tflop"].iloc[-1], own["value"].iloc[-1]), (7, 0),
                textcoords="offset points", va="center", fontsize=LABEL_SIZE,
            )  # fmt: skip
        ax.set(xscale="log", ylabel=label, xlabel="work of the training (TFLOP, log scale)")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
    left = figure.axes[0]
    left.set_yscale("log")
    left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    left.yaxis.set_minor_formatter(NullFormatter())
    return figure
