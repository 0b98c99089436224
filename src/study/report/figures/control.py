"""The control's figure: what a t model gains over a Gaussian one where the truth is known."""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.control.cases import CODES, LOG_LIKELIHOOD, ORACLE, TRUTHS
from study.report.control import CELL, CODE_NAMES, MODEL_NAMES, RIVALS, relative
from study.report.figures.style import COLOURS, GREY, MARKERS, style
from vaefill.metrics.statistics import mean_interval

SEED: dict[str, Any] = {
    "ls": "", "marker": MARKERS["t"], "ms": 4, "mec": "none", "mfc": COLOURS["t"], "alpha": 0.35,
}  # fmt: skip
MEAN: dict[str, Any] = {
    "color": COLOURS["t"], "lw": 1.8, "marker": MARKERS["t"], "ms": 4, "markevery": [1],
}  # fmt: skip
TRUTH: dict[str, Any] = {
    "ls": "", "marker": "D", "mfc": "none", "mec": "black", "mew": 1.0, "ms": 6.5, "zorder": 3,
}  # fmt: skip


@style()
def gains(scores: pd.DataFrame) -> Figure:
    """Draw the gains of the t models of `study.report.control.RIVALS`, and of the oracle.

    Parameters
    ----------
    scores : DataFrame
        As from `study.report.control.load`.

    Returns
    -------
    Figure
        One row per truth and codes. To the left the gain of the log-likelihood in nats per row,
        to the right the change of RMSE in percent, by the share of the cells that is missing.
    """
    wide = relative(scores).pivot(index=[*CELL, "seed"], columns="model", values="value")
    wide = wide.reindex(columns=list(MODEL_NAMES))
    known = wide.index.droplevel([2, 3, 4])
    cases = [case for case in product(TRUTHS, CODES) if case in known]
    figure = Figure(figsize=(8.4, 1.5 + 0.62 * len(cases)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for y, (truth, codes) in enumerate(cases):
        runs = wide.loc[truth, codes]
        likelihood = runs.xs(LOG_LIKELIHOOD, level="metric")
        models = (RIVALS[codes], ORACLE)
        _row(left, y, *(likelihood[m] - likelihood["gauss"] for m in models))
        errors = runs.xs("rmse", level="metric")
        shares = list(errors.index.unique("missing"))
        for share, shift in zip(shares, _shifts(len(shares)), strict=True):
            rmse = errors.loc[share]
            change = (100 * (rmse[m] - rmse["gauss"]) for m in models)
            _row(right, y + shift, *change)
            right.annotate(
                f"{100 * share:.0f} %", (1.01, y + shift), xycoords=("axes fraction", "data"),
                va="center", fontsize=7, color=GREY,
            )  # fmt: skip
    left.set_yticks(
        range(len(cases)),
        [f"codes {CODE_NAMES[codes]};\n{truth} decoder" for truth, codes in cases],
    )
    left.set_ylim(len(cases) - 0.5, -0.5)
    left.set_xlabel("gain of log-likelihood (nats per row)\nright of 0: the t prior is better")
    right.set_xlabel("change of RMSE (%), by share missing\nleft of 0: the t prior is better")
    for ax in (left, right):
        ax.axvline(0, color="black", lw=1)
        ax.grid(visible=False, axis="y")
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
    looks = {"t model, one seed each": SEED, "mean, 95 % interval": MEAN, "oracle": TRUTH}
    handles = [left.plot([], [], label=label, **look)[0] for label, look in looks.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


def _shifts(n: int) -> list[float]:
    return [0.0] if n == 1 else list(np.linspace(-0.27, 0.27, n))


def _row(ax: Axes, y: float, gain: pd.Series, oracle: pd.Series) -> None:
    gain = gain.dropna()  # of a training that diverged there is none
    ax.plot(gain, np.full(len(gain), y), **SEED)
    ax.plot(oracle.mean(), y, **TRUTH)
    mean, low, high = mean_interval(gain)
    ax.plot([low, mean, high], [y] * 3, **MEAN)
