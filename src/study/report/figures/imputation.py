"""Figures of the imputers: frames in, matplotlib figures out.

A marker's shape and colour are the model's, as everywhere; its fill says what the model was
trained for.
"""

from collections.abc import Callable
from functools import partial
from itertools import product
from math import ceil
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression

from study.report.figures.galleries import MISSING_TINT, ink, sheet
from study.report.figures.style import COLOURS, DPI, GREY, NAMES, look, style
from study.report.imputers import GROUPS, SOURCES, Imputers
from study.report.ranking import COMPARED, MSE, RELATIVE, latents
from study.report.verdicts import LOWER_IS_BETTER
from study.trials.comparison import MECHANISMS, MODELS

TITLES = {"random": "random pixels missing", "square": "a square missing"}
SETTINGS = {"random": "missing pixels (% of the image)", "square": "side of the square (pixels)"}
REGIONS = {"missing": "all missing pixels", "grey": "the grey ones alone"}
#: Okabe and Ito's, of neither model.
SOURCE_STYLES: dict[str, Any] = {
    "zero": {"color": "#E69F00", "marker": "v"},
    "mean": {"color": "#CC79A7", "marker": "^"},
    "multiple": {"color": "#009E73", "marker": "o"},
}
MASK_STYLES: dict[str, dict[str, Any]] = {
    "random": {"color": "#009E73", "marker": "o"},
    "square": {"color": "#CC79A7", "marker": "s"},
}
LABEL_SIZE = 8.5
DRAWS_SHOWN = 4


def planned(tried: Imputers) -> dict[str, Callable[[], Figure]]:
    """Return how to draw each figure for which there are results, by name."""
    errors, covered = MSE.of(tried.scores), coverages(tried.scores)
    curves = tried.degradation.dropna(subset="setting")
    plan: dict[str, Callable[[], Figure]] = {}
    if errors["imputer"].isin(tried.times["imputer"]).any():
        plan["quality_time"] = partial(quality_time, errors, tried.times)
    if len(covered):
        plan["calibration"] = partial(calibration, covered)
    if len(curves):
        plan["degradation"] = partial(degradation, curves)
    compared = latents(tried.scores).dropna(subset=["low", "high"])
    if len(compared):
        plan["latents"] = partial(differences, compared)
    for recipe in dict.fromkeys(recipe for recipe, *_ in tried.draws):
        first = min(seed for other, _, seed in tried.draws if other == recipe)
        runs = {model: (recipe, model, first) for model in MODELS}
        plan[f"draws_{recipe}"] = partial(
            draws, {m: tried.draws[run] for m, run in runs.items() if run in tried.draws}
        )
    if (tried.rubin["source"] == "complete").any():
        plan["rubin"] = partial(rubin, tried.rubin)
    return plan


@style()
def quality_time(errors: pd.DataFrame, times: pd.DataFrame) -> Figure:
    """Show time and error of each imputer in a row of its own, the fastest at the top.

    The dotted line is the lowest mean error of a row and of those above it: what can be had in
    that time. What was not timed stands at the bottom.
    """
    means = times.groupby("imputer")["seconds"].mean()
    found = errors["imputer"].drop_duplicates()
    order = list(found.iloc[np.argsort(found.map(means).astype(float), kind="stable")])
    figure = Figure(figsize=(10, 1.5 + 0.27 * len(order)), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True, width_ratios=(2, 3, 3))
    groups = errors.drop_duplicates("imputer").set_index("imputer")["group"]
    times = times[times["imputer"].isin(order)].rename(columns={"seconds": "value"})
    panels = [times, *(errors[errors["mechanism"] == m] for m in MECHANISMS)]
    for ax, panel in zip(axes, panels, strict=True):
        for (imputer, model), value in panel.groupby(["imputer", "model"])["value"].mean().items():
            y = order.index(imputer) + {"gauss": -0.14, "t": 0.14}.get(model, 0)
            ax.plot(value, y, **_look(groups[imputer], model) | {"ls": ""})
        ax.tick_params(axis="y", length=0)
    axes[0].set(title="time", xlabel="s for 10,000 images (log)")
    _log(axes[0], "x")
    axes[1].sharex(axes[2])
    timed = [imputer for imputer in order if imputer in means.index]
    for ax, panel, mechanism in zip(axes[1:], panels[1:], MECHANISMS, strict=True):
        best = panel.groupby("imputer")["value"].mean().reindex(timed).cummin().ffill()
        edges = np.arange(len(best) + 1) - 0.5
        ax.stairs(best, edges, orientation="horizontal", baseline=None, color="black", ls=":")
        ax.set(title=TITLES[mechanism], xlabel="MSE (log scale; lower is better)")
        _log(ax, "x", subs=(1.0, 2.0, 5.0))
    axes[0].set_yticks(range(len(order)), [_plain(imputer) for imputer in order])
    axes[0].set_ylim(len(order) - 0.5, -0.5)
    _legend(figure, groups, line="the lowest error so far")
    return figure


@style()
def differences(found: pd.DataFrame) -> Figure:
    """Show t − Gaussian with its interval: a panel per score, a row per imputer, both masks."""
    imputers = list(found["imputer"].drop_duplicates())
    titles = [title for title in COMPARED.values() if title in set(found["title"])]
    figure = Figure(figsize=(10, 1.6 + 0.42 * len(imputers)), layout="constrained")
    panels = figure.subplots(1, len(titles), sharey=True, squeeze=False)[0]
    for ax, title in zip(panels, titles, strict=True):
        own = found[found["title"] == title]
        relative = own["metric"].isin(RELATIVE).all()
        ends = own[["diff", "low", "high"]]
        ends = ends.mul(100 / own["reference"], axis=0) if relative else ends
        ax.axvline(0, color=GREY, lw=0.8)
        for (mechanism, mark), shift in zip(MASK_STYLES.items(), (-0.16, 0.16), strict=True):
            at = own["mechanism"] == mechanism
            y = own["imputer"][at].map(imputers.index).astype(float) + shift
            ax.hlines(y, ends["low"][at], ends["high"][at], mark["color"], lw=2)
            ax.plot(ends["diff"][at], y, ls="", ms=5, **mark, label=TITLES[mechanism])
        name, _, what = title.partition(": ")
        better = "lower" if LOWER_IS_BETTER[own["metric"].iloc[0]] else "higher"
        what = f"{what} (%)" if relative else what.replace(" from", "\nfrom")
        ax.set(title=name, xlabel=f"{what}\n{better} is better")
        ax.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 3, 4, 5, 6, 8, 10]))
        ax.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(len(imputers)), [_plain(imputer) for imputer in imputers])
    panels[0].set_ylim(len(imputers) - 0.5, -0.5)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


@style()
def degradation(curves: pd.DataFrame) -> Figure:
    """Plot the error per missing pixel against how much is missing; labels stand at the end."""
    figure = Figure(figsize=(10, 5), layout="constrained")
    panels = figure.subplots(1, 2)
    ends: dict[Axes, dict[str, list[tuple[float, float]]]] = {ax: {} for ax in panels}
    for mechanism, ax in zip(MECHANISMS, panels, strict=True):
        shown = curves[curves["mechanism"] == mechanism].sort_values("setting")
        for (imputer, group, model), curve in shown.groupby(["imputer", "group", "model"]):
            x = curve["setting"].to_numpy() * (100 if mechanism == "random" else 1)
            y = curve["value"].to_numpy()
            ax.plot(x, y, **_look(group, model) | {"ms": 4.5, "mew": 1, "lw": 1.1})
            ends[ax].setdefault(_plain(imputer), []).append((x[-1], y[-1]))
        ax.set(title=TITLES[mechanism], xlabel=SETTINGS[mechanism])
        _log(ax, "y", subs=(1.0, 2.0, 3.0, 5.0, 7.0))
    figure.axes[0].set_ylabel("MSE of missing pixels (log scale; lower is better)")
    _legend(figure, curves["group"])
    figure.draw_without_rendering()  # so that the axes have their heights
    for ax, places in ends.items():
        _label_ends(ax, places)
    return figure


def spread(heights: ArrayLike, gap: float) -> NDArray[np.float64]:
    """Move heights apart by at least `gap`, in their order and as little as possible.

    With z the sorted heights moved, z_i - z_(i-1) >= gap says that z_i - i gap never falls: the
    least squares solution is an isotonic regression (Barlow et al., *Statistical Inference under
    Order Restrictions*, 1972).
    """
    values = np.asarray(heights, np.float64)
    order = np.argsort(values, kind="stable")
    steps = gap * np.arange(values.size)
    moved = np.empty_like(values)
    moved[order] = isotonic_regression(values[order] - steps).x + steps
    return moved


@style()
def calibration(found: pd.DataFrame) -> Figure:
    """Plot how much of what is missing the intervals cover, against what they should.

    One panel per imputer and mask: a line per model over all missing pixels, and a second one,
    thin and hollow, over those that are grey in truth.
    """
    imputers = list(found["imputer"].drop_duplicates())
    columns = min(4, len(imputers))
    rows = ceil(len(imputers) / columns)
    figure = Figure(figsize=(10, 1 + 4.7 * rows), layout="constrained")
    axes = figure.subplots(2 * rows, columns, sharex=True, sharey=True, squeeze=False)
    for block, mechanism in zip((axes[:rows], axes[rows:]), MECHANISMS, strict=True):
        for ax in block.flat[len(imputers) :]:
            ax.set_visible(False)
        for ax, imputer in zip(block.flat, imputers, strict=False):
            ax.axline((0, 0), slope=1, color=GREY, lw=0.8)
            own = found[(found["imputer"] == imputer) & (found["mechanism"] == mechanism)]
            for names, curve in own.groupby(["model", "region"]):
                ax.plot(curve["level"], curve["value"], **_coverage_look(*names), clip_on=False)
            ax.set_title(_plain(imputer), fontsize=9.5)
            ticks = {"xticks": [0, 50, 100], "yticks": [0, 50, 100]}
            ax.set(xlim=(0, 100), ylim=(0, 100), aspect="equal", **ticks)
        for ax in block.flat[len(imputers) - columns : len(imputers)]:
            ax.tick_params(labelbottom=True)
            ax.set_xlabel("nominal (%)")
        for ax in block[:, 0]:
            ax.set_ylabel(f"{TITLES[mechanism]}\ncovered (%)", fontsize=9.5)
    for model, region in product(MODELS, REGIONS):
        if ((found["model"] == model) & (found["region"] == region)).any():
            label = f"{NAMES[model]}, {REGIONS[region]}"
            axes[0, 0].plot([], [], **_coverage_look(model, region), label=label)
    figure.legend(loc="outside upper center", ncols=2, handlelength=3)
    return figure


def coverages(scores: pd.DataFrame) -> pd.DataFrame:
    """Return nominal (``level``) and empirical coverage (``value``), in percent, over seeds."""
    chosen = scores["metric"].str.startswith("coverage_") & scores["region"].isin(REGIONS)
    by = ["imputer", "mechanism", "model", "region", "level"]
    found = scores[chosen].groupby(by)["value"].mean().reset_index()
    return found.assign(level=100 * found["level"], value=100 * found["value"])


@style()
def draws(sheets: dict[str, NDArray[np.uint8]]) -> Figure:
    """Show hard cases: image, what was missing, then imputation and draws of each model."""
    rows: list[tuple[str, str, NDArray[np.float64]]] = []
    breaks: list[int] = []
    before = None
    for model, tiles in sheets.items():
        image, missing, *imputed = tiles.swapaxes(0, 1)[: 3 + DRAWS_SHOWN]
        # Models that fill in the same pixels of the same images share the two rows.
        if before is None or not np.array_equal(before, tiles[:, :2]):
            before = tiles[:, :2]
            tinted = np.where(missing[..., None] > 0, MISSING_TINT, ink(image))
            breaks.append(len(rows))
            rows += [("original", "black", ink(image)), ("masked", "black", tinted)]
        breaks.append(len(rows))
        labels = [f"{NAMES[model]}\nimputation", *(f"draw {n + 1}" for n in range(DRAWS_SHOWN))]
        pairs = zip(labels, imputed, strict=False)  # a sheet may have fewer
        rows += [(label, COLOURS[model], ink(tiles)) for label, tiles in pairs]
    return sheet(rows, breaks=breaks[1:])


@style()
def rubin(estimates: pd.DataFrame) -> Figure:
    """Plot each source's mean ink per digit class, relative to that of the complete images."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    ax = figure.subplots()
    ends = ["estimate", "low", "high"]
    complete = estimates[estimates["source"] == "complete"].set_index("digit")["estimate"]
    shown = estimates[estimates["digit"].isin(complete.index)]
    relative = 100 * (shown[ends].div(shown["digit"].map(complete), axis=0) - 1)
    relative["place"] = shown["digit"].map(complete.index.get_loc)
    of = dict(iter(relative.groupby(shown["source"])))
    for place, low, high in of["complete"][["place", "low", "high"]].to_numpy():
        band = ax.fill_between(
            [place - 0.42, place + 0.42], low, high, color=GREY, alpha=0.25, lw=0
        )
    band.set_label("complete images, 95 % interval")
    for shift, (source, own) in zip((-0.24, 0, 0.24), SOURCE_STYLES.items(), strict=True):
        if source in of:
            x = of[source]["place"] + shift
            ax.vlines(x, of[source]["low"], of[source]["high"], own["color"], lw=2.2, alpha=0.6)
            ax.plot(x, of[source]["estimate"], ls="", **own, ms=5, label=SOURCES[source])
    ax.axhline(0, color="black", lw=0.8)
    ax.set_xticks(range(len(complete)), complete.index)
    ax.set(xlim=(-0.6, len(complete) - 0.4), xlabel="digit")
    ax.set(ylabel="mean ink, against the\ncomplete images' (%)")
    ax.grid(visible=False, axis="x")
    figure.legend(loc="outside upper center", ncols=4)
    return figure


def _look(group: str, model: str) -> dict[str, Any]:
    if group == "baseline":
        return {"color": GREY, "ls": "-", "marker": "D", "ms": 5.5, "mew": 1.3}
    fill = {} if group == "trained" else {"mfc": "white"}
    return look(model) | fill | {"ms": 6.5, "mew": 1.3}


def _coverage_look(model: str, region: str) -> dict[str, Any]:
    grey = {"mfc": "white", "lw": 0.8, "ms": 4, "mew": 0.9}
    return look(model) | (grey if region == "grey" else {"lw": 1.4, "ms": 3.5})


def _plain(imputer: str) -> str:
    return imputer.replace("`", "")


def _label_ends(ax: Axes, ends: dict[str, list[tuple[float, float]]]) -> None:
    """Label curves to the right of the axes, moved apart where they end close together."""
    if not ends:
        return
    places = np.array([np.exp(np.log(both).mean(axis=0)) for both in ends.values()])
    heights = (ax.transData + ax.transAxes.inverted()).transform(places)[:, 1]
    apart = spread(heights, 1.35 * LABEL_SIZE / 72 * DPI / ax.bbox.height)
    # As one block: what left the axes at one end moves back in.
    apart += max(0.0, -apart.min()) - max(0.0, apart.max() - 1)
    leader = {"arrowstyle": "-", "color": GREY, "lw": 0.6, "shrinkA": 0, "shrinkB": 3}
    for name, (x, y), height in zip(ends, places, apart, strict=True):
        ax.annotate(
            name, (x, y), (1.05, height), textcoords="axes fraction", fontsize=LABEL_SIZE,
            va="center", arrowprops=leader | {"relpos": (0, 0.5)},
        )  # fmt: skip


def _log(ax: Axes, which: str, subs: tuple[float, ...] = (1.0,)) -> None:
    """Make an axis logarithmic, with ticks that read as plain numbers."""
    ax.set(**{f"{which}scale": "log"})
    axis = ax.xaxis if which == "x" else ax.yaxis
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(LogLocator(subs=()))


def _legend(figure: Figure, groups: pd.Series, line: str = "") -> None:
    """Explain colours by model and fills by what the models were trained for."""
    ax = figure.axes[0]
    for group in [group for group in GROUPS if group in set(groups)]:
        for model in ("",) if group == "baseline" else MODELS:
            name = GROUPS[group] + (f", {NAMES[model]}" if model else "")
            ax.plot([], [], **_look(group, model) | {"ls": "", "label": name})
    if line:
        ax.plot([], [], color="black", lw=1, ls=":", label=line)
    figure.legend(loc="outside upper center", ncols=3, fontsize=9)
