"""Figures of the imputers: results in, matplotlib figures out."""

from collections.abc import Callable, Sequence
from functools import partial
from math import ceil
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from study.report.figures.galleries import MISSING_TINT, ink, sheet
from study.report.figures.style import COLOURS, GREY, LINES, MARKERS, MODELS, NAMES, style
from study.report.imputation_curves import TITLES, Line, curves, degradation, line, quality_time
from study.report.imputation_results import (
    MECHANISMS,
    Estimate,
    ImputationResults,
    Method,
    in_order,
)
from study.report.imputation_tables import MSE, SOURCE_NAMES, short_name

REGIONS = {"missing": "all missing pixels", "grey": "the grey ones alone"}
#: Okabe and Ito's, of neither model.
SOURCE_STYLES: dict[str, Any] = {
    "zero": {"color": "#E69F00", "marker": "v"},
    "mean": {"color": "#CC79A7", "marker": "^"},
    "multiple": {"color": "#009E73", "marker": "o"},
}
DRAWS_SHOWN = 4


def draw(results: ImputationResults) -> dict[str, Figure]:
    """Draw every figure for which there are results, by name."""
    return {name: figure() for name, figure in planned(results).items()}


def planned(results: ImputationResults) -> dict[str, Callable[[], Figure]]:
    """Return how to draw each figure for which there are results, by name."""
    plan: dict[str, Callable[[], Figure]] = {}
    if any(results.points(mechanism, MSE.metric) for mechanism in MECHANISMS):
        plan["quality_time"] = partial(quality_time, results)
    if coverages(results):
        plan["calibration"] = partial(calibration, results)
    if any(curves(results, mechanism) for mechanism in MECHANISMS):
        plan["degradation"] = partial(degradation, results)
    for recipe in dict.fromkeys(recipe for recipe, _ in results.draws):
        plan[f"draws_{recipe}"] = partial(draws, results, recipe)
    if any(e.source == "complete" for e in results.rubin):
        plan["rubin"] = partial(rubin, results.rubin)
    return plan


@style()
def calibration(results: ImputationResults) -> Figure:
    """Plot how much of what is missing the intervals cover, against what they should.

    One panel per method and mask: a line per model over all missing pixels, and a second one,
    thin and hollow, over those that are grey in truth.
    """
    found = coverages(results)
    methods = in_order({method for _, method, _, _ in found})
    columns = min(4, len(methods))
    rows = ceil(len(methods) / columns)
    figure = Figure(figsize=(10, 2 * (0.55 + 2.35 * rows)), layout="constrained")
    grid = figure.add_gridspec(len(MECHANISMS), 1)
    for row, mechanism in enumerate(MECHANISMS):
        block = figure.add_subfigure(grid[row])
        block.suptitle(TITLES[mechanism], fontsize=11)
        axes = block.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for ax in axes.flat[len(methods) :]:
            ax.set_visible(False)
        for ax, method in zip(axes.flat, methods, strict=False):
            ax.axline((0, 0), slope=1, color=GREY, lw=0.8)
            for (*place, model, region), curve in found.items():
                if place == [mechanism, method]:
                    ax.plot(*curve, **_coverage_look(model, region), clip_on=False)
            ax.set_title(short_name(method), fontsize=9.5)
            ax.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
            ax.set(xticks=[0, 50, 100], yticks=[0, 50, 100])
        for ax in axes.flat[len(methods) - columns : len(methods)]:
            ax.tick_params(labelbottom=True)
        block.supxlabel("nominal (%)", fontsize=10)
        block.supylabel("covered (%)", fontsize=10)
    shown = [(m, r) for m in MODELS for r in REGIONS if any(k[2:] == (m, r) for k in found)]
    handles = [
        figure.axes[0].plot([], [], **_coverage_look(m, r), label=f"{NAMES[m]}, {REGIONS[r]}")[0]
        for m, r in shown
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, handlelength=3)
    return figure


def coverages(results: ImputationResults) -> dict[tuple[str, Method, str, str], Line]:
    """Nominal and empirical coverage, in percent, per mask, method, model and region."""
    levels: dict[tuple[str, Method, str, str], dict[float, float]] = {}
    for method, cell in results.scores:
        kind, _, level = cell.metric.partition("_")
        if kind == "coverage" and cell.region in REGIONS:
            for model in results.models(method):
                value = results.mean(method, cell, model)
                key = (cell.mechanism, method, model, cell.region)
                if value is not None:
                    levels.setdefault(key, {})[100 * float(level)] = 100 * value
    return {key: line(values) for key, values in levels.items()}


def _coverage_look(model: str, region: str) -> dict[str, Any]:
    look: dict[str, Any] = {"color": COLOURS[model], "ls": LINES[model], "marker": MARKERS[model]}
    if region == "grey":
        return look | {"mfc": "white", "lw": 0.8, "ms": 4, "mew": 0.9}
    return look | {"lw": 1.4, "ms": 3.5}


@style()
def draws(results: ImputationResults, recipe: str) -> Figure:
    """Show hard cases: image, what was missing, then imputation and draws of each model."""
    sheets = {m: results.draws[recipe, m] for m in MODELS if (recipe, m) in results.draws}
    rows: list[tuple[str, str, NDArray[np.float64]]] = []
    breaks: list[int] = []
    before: tuple[NDArray[np.uint8], ...] = ()
    for model, tiles in sheets.items():
        image, missing, *imputed = tiles.swapaxes(0, 1)[: 3 + DRAWS_SHOWN]
        # Models that fill in the same pixels of the same images share the two rows.
        if not before or not all(map(np.array_equal, before, (image, missing))):
            before = (image, missing)
            tinted = np.where(missing[..., None] > 0, MISSING_TINT, ink(image))
            breaks.append(len(rows))
            rows += [("original", "black", ink(image)), ("masked", "black", tinted)]
        breaks.append(len(rows))
        labels = [f"{NAMES[model]}\nimputation", *(f"draw {n}" for n in range(1, len(imputed)))]
        rows += [
            (label, COLOURS[model], ink(tiles))
            for label, tiles in zip(labels, imputed, strict=True)
        ]
    return sheet(rows, breaks=breaks[1:])


@style()
def rubin(estimates: Sequence[Estimate]) -> Figure:
    """Plot each source's mean ink per digit class, relative to that of the complete images."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    ax = figure.subplots()
    complete = {e.digit: e for e in estimates if e.source == "complete"}
    places = {digit: place for place, digit in enumerate(complete)}
    half = 0.42
    for digit, e in complete.items():
        low, high = (100 * (end / e.estimate - 1) for end in (e.low, e.high))
        left, right = places[digit] - half, places[digit] + half
        band = ax.fill_between([left, right], low, high, color=GREY, alpha=0.25, lw=0)
        band.set_label("complete images, 95 % interval" if places[digit] == 0 else "")
    for shift, (source, look) in zip((-0.24, 0, 0.24), SOURCE_STYLES.items(), strict=True):
        label = SOURCE_NAMES[source]
        for e in estimates:
            if e.source == source and e.digit in complete:
                of = complete[e.digit].estimate
                mean, *ends = (100 * (v / of - 1) for v in (e.estimate, e.low, e.high))
                x = places[e.digit] + shift
                ax.plot([x, x], ends, color=look["color"], lw=2.2, alpha=0.6)
                ax.plot(x, mean, ls="none", **look, ms=5, label=label)
                label = ""
    ax.axhline(0, color="black", lw=0.8)
    ax.set_xticks([*places.values()], [*places])
    ax.set(xlim=(-0.6, len(places) - 0.4), xlabel="digit")
    ax.set(ylabel="mean ink, against the\ncomplete images' (%)")
    ax.grid(visible=False, axis="x")
    figure.legend(loc="outside upper center", ncols=4)
    return figure
