"""What moves the slides' table: one factor to a row, and the prior among them."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.report.factors import BOTH, EACH, FACTORS, SEED, claim
from study.report.figures.style import COLOURS, GREY, MARKERS, NAMES, style
from study.trials.comparison import MECHANISMS, MODELS
from vaefill.metrics.statistics import mean_interval

TITLES = {"random": "random pixels missing", "square": "a square missing"}
#: How far the axis goes, in changes that the slides put down to the prior; beyond stands a number.
REACH = (-3.2, 4.8)
GROUP = ["factor", "level", "model"]
SLIDES: dict[str, Any] = {"color": "black", "lw": 1.2, "ls": (0, (5, 2))}


@style()
def factors(found: pd.DataFrame) -> Figure:
    """Draw the changes of the imputation's error that each factor makes, in percent.

    Parameters
    ----------
    found : DataFrame
        As from `study.report.factors.changes`.

    Returns
    -------
    Figure
        A panel per mechanism, a row per factor and level: a dot per seed, and a bar for the mean's
        interval; where a row stands for several settings, a dot per setting, the mean over seeds.
        The dashed line is the slides' difference between their models.
    """
    found = found.assign(level=found["level"].where(found["factor"] != BOTH, EACH))
    wide = found.pivot(
        index=[*GROUP, "setting", "mechanism", "seed"], columns="side", values="value"
    ).dropna()
    place = wide.index.droplevel(["setting", "mechanism", "seed"])
    rows = [
        name
        for factor in FACTORS
        for name in found.loc[found["factor"] == factor, GROUP].drop_duplicates().itertuples(
            index=False, name=None
        )
        if name in place
    ]  # fmt: skip
    figure = Figure(figsize=(8.4, 1.7 + 0.3 * len(rows)), layout="constrained")
    axes = figure.subplots(1, len(MECHANISMS), sharey=True)
    scale = 100 * max(abs(claim(mechanism)) for mechanism in MECHANISMS)
    for ax, mechanism in zip(axes, MECHANISMS, strict=True):
        ax.set_xlim(*(scale * end for end in REACH))
        ax.axvline(0, color="black", lw=1)
        ax.axvline(100 * claim(mechanism), **SLIDES)
        for y, (factor, level, model) in enumerate(rows):
            own = wide.loc[(factor, level, model)].xs(mechanism, level="mechanism")
            _row(ax, y, own, model, several=level == EACH, interval=factor != SEED)
        ax.set_title(TITLES[mechanism])
        ax.set_xlabel("change of the imputation's MSE (%)")
        ax.grid(visible=False, axis="y")
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        for y, (one, other) in enumerate(pairwise(rows)):
            if one[0] != other[0]:
                ax.axhline(y + 0.5, color=GREY, lw=0.5)
    axes[0].set_yticks(range(len(rows)), _labels(rows))
    axes[0].set_ylim(len(rows) - 0.5, -0.5)
    _legend(figure)
    return figure


def _row(
    ax: Axes, y: int, pairs: pd.DataFrame, model: str, *, several: bool, interval: bool
) -> None:
    by_setting = [
        100 * (own["other"] - own["reference"]) / own["reference"].mean()
        for _, own in pairs.groupby("setting", sort=False)
    ]
    dots = pd.Series([own.mean() for own in by_setting]) if several else pd.concat(by_setting)
    colour, (low, high) = COLOURS[model], ax.get_xlim()
    look: dict[str, Any] = {"color": colour, "mec": "white", "mew": 0.4, "ls": "", "zorder": 3}
    inside = dots.between(low, high)
    ax.plot(dots[inside], np.full(inside.sum(), y), MARKERS[model], **look, ms=5 if several else 4)
    if interval and not several:
        mean, *ends = mean_interval(dots)
        if not np.isnan(ends).any():
            ax.plot(ends, [y, y], color=colour, lw=4, alpha=0.35, solid_capstyle="butt")
            ax.plot(mean, y, "|", color=colour, ms=10, mew=1.6)
    far = dots[~inside]
    for right, beyond in ((False, far[far < low]), (True, far[far > high])):
        if len(beyond):
            most = beyond.max() if right else beyond.min()
            text = f"{len(beyond)} up to {most:+.0f} %".replace("-", "−")
            ax.annotate(
                f"{text} ▸" if right else f"◂ {text}", (0.99 if right else 0.01, y),
                xycoords=ax.get_yaxis_transform(), ha="right" if right else "left", va="center",
                fontsize=8.5, color=colour, bbox={"fc": "white", "ec": "none", "pad": 1},
            )  # fmt: skip


def _labels(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    """Name each row; the factor in its first one only."""
    labels, before = [], ""
    for factor, level, _ in rows:
        short = "both" if factor == BOTH else factor
        labels.append((f"{short}: " if factor != before else "") + level.replace("`", ""))
        before = factor
    return labels


def _legend(figure: Figure) -> None:
    ax = figure.axes[0]
    looks: dict[str, dict[str, Any]] = {
        NAMES[model]: {"marker": MARKERS[model], "color": COLOURS[model], "ls": "", "ms": 6}
        for model in MODELS
    }
    looks["95 % interval of the mean"] = {"color": GREY, "lw": 4, "alpha": 0.35}
    looks["the slides' t − VAE"] = SLIDES
    handles = [ax.plot([], [], label=label, **look)[0] for label, look in looks.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, columnspacing=1.2)
