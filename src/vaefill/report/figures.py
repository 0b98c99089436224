"""The figures of the page: one colour and marker per imputer.

They are narrow, so that a telephone shows them without shrinking their letters, and go into the
page as images, in which nothing runs and no name of a column can be anything but text.
"""

import base64
import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray
from scipy.stats import binomtest

from vaefill.report.assessment import LEVEL, OURS, Assessment
from vaefill.report.comparison import Comparison
from vaefill.report.labels import label
from vaefill.report.missingness import together
from vaefill.report.style import BLUE, GREY, ORANGE, PURPLE, VERMILION, style

LOOKS: dict[str, dict[str, Any]] = {
    "vaefill": {"label": "vaefill", "color": BLUE, "marker": "o"},
    "chained": {"label": "chained regressions", "color": VERMILION, "marker": "s"},
    "knn": {"label": "nearest rows", "color": ORANGE, "marker": "^"},
    "mean": {"label": "mean", "color": GREY, "marker": "X"},
}
OBSERVED = "#BBBBBB"
DRAWN = PURPLE
WIDTH, LABEL = 4.4, 18
BANDS, BINS, LEVELS = 250, 20, 6
LETTERS = 9
STYLE: dict[Any, Any] = {
    "text.parse_math": False,  # a column may be called $
    "svg.fonttype": "none",  # letters stay letters: small, and in the reader's own fonts
    "svg.hashsalt": "vaefill",
}


def _drawn(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _uri(figure: Figure) -> str:
    buffer = io.StringIO()
    with warnings.catch_warnings():
        # Letters that its font lacks the reader's browser has.
        warnings.filterwarnings("ignore", "Glyph .* missing")
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue().encode()).decode()}"


def figures(
    assessment: Assessment, comparison: Comparison | None, shown: Sequence[int]
) -> dict[str, Any]:
    """Draw all figures, as URIs; `shown` are the numbers of the columns that have a place."""
    gaps = [j for j in shown if assessment.missing[:, j].any()]
    scored = [j for j in shown if assessment.n_hidden[j]]
    numbers = [j for j in scored if assessment.numeric[j]]
    with style(LETTERS, STYLE):
        return {
            "overall": _overall(comparison) if comparison else "",
            "gaps": _gaps(assessment, shown) if gaps else "",
            "together": _together(assessment, gaps) if len(gaps) > 1 else "",
            "errors": _errors(assessment, scored) if scored else "",
            "coverage": _coverage(assessment, numbers) if numbers else "",
            "filled": {assessment.names[j]: _filled(assessment, j) for j in gaps},
        }


def _overall(comparison: Comparison) -> str:
    figure, ax = _drawn(WIDTH, 1.75)
    for row, name in enumerate(LOOKS):
        mean, low, high = comparison.errors[name]
        look = LOOKS[name]
        ax.plot([low, high], [row, row], color=look["color"], lw=2, alpha=0.5)
        ax.plot(mean, row, ls="", ms=8, color=look["color"], marker=look["marker"])
        ax.annotate(
            f"{100 * mean:.0f} %",
            (high, row),
            (7, 0),
            textcoords="offset points",
            va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
    ax.axvline(1, color="black", lw=0.8)
    ax.set_yticks(range(len(LOOKS)), [look["label"] for look in LOOKS.values()])
    ax.set_ylim(len(LOOKS) - 0.5, -0.5)
    ax.set_xlim(0, 1.18 * max(interval.high for interval in comparison.errors.values()))
    ax.tick_params(axis="y", length=0)
    ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2.5, 5, 10]))
    ax.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %", decimals=0))
    ax.set_xlabel("error, that of the mean: 100 %  (← better)")
    return _uri(figure)


def _gaps(assessment: Assessment, shown: Sequence[int]) -> str:
    missing = assessment.missing[:, shown]
    n = len(missing)
    size = -(-n // BANDS)
    bands = np.split(missing, range(size, n, size))
    share = np.stack([band.mean(0) for band in bands])
    figure, ax = _drawn(WIDTH, 3.6)
    ax.imshow(
        share, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="none",
        extent=(-0.5, len(shown) - 0.5, len(bands) * size + 0.5, 0.5),
    )  # fmt: skip
    ax.grid(False)
    ax.set_xticks(range(len(shown)), _labels(assessment, shown), rotation=90)
    ax.set_xticks(np.arange(len(shown) - 1) + 0.5, minor=True)
    ax.grid(axis="x", which="minor", color="#999999", lw=0.4)
    ax.tick_params(axis="x", which="both", length=0)
    ax.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.set_ylabel("row")
    return _uri(figure)


def _together(assessment: Assessment, gaps: Sequence[int]) -> str:
    share = together(assessment.missing[:, gaps])
    size = len(gaps)
    figure, ax = _drawn(WIDTH, 1.6 + min(0.3 * size, 3.4))
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="none")
    ax.grid(False)
    if size <= 8:
        for i, j in np.ndindex(size, size):
            text: dict[str, Any] = {
                "color": "white" if share[i, j] > 0.5 else "black",
                "fontsize": 8,
            }
            ax.text(j, i, f"{100 * share[i, j]:.0f}", ha="center", va="center", **text)
    names = _labels(assessment, gaps)
    ax.set_xticks(range(size), names, rotation=90)
    ax.set_yticks(range(size), names)
    ax.tick_params(length=0)
    return _uri(figure)


def _errors(assessment: Assessment, scored: Sequence[int]) -> str:
    figure, ax = _drawn(WIDTH, 1.3 + 0.3 * len(scored))
    for number, name in enumerate(LOOKS):
        rows = np.arange(len(scored)) + 0.16 * (number - (len(LOOKS) - 1) / 2)
        ax.plot(assessment.errors(name)[scored], rows, ls="", ms=5, mew=0.4, mec="w", **LOOKS[name])
    ax.set_xlabel("error  (← better)")
    ax.set_xlim(left=0)
    _rows(ax, assessment, scored)
    figure.legend(loc="outside upper center", ncols=2, handletextpad=0.2, columnspacing=1.5)
    return _uri(figure)


def _coverage(assessment: Assessment, numbers: Sequence[int]) -> str:
    figure, ax = _drawn(WIDTH, 0.8 + 0.24 * len(numbers))
    look = LOOKS[OURS]
    for row, j in enumerate(numbers):
        n = int(assessment.n_hidden[j])
        share = float(assessment.coverage[j])
        ends = binomtest(round(share * n), n).proportion_ci(method="wilson")
        ax.plot(ends, [row, row], color=look["color"], lw=2, alpha=0.4)
        ax.plot(share, row, ls="", ms=6, marker=look["marker"], color=look["color"])
    ax.axvline(LEVEL, color="black", lw=0.8)
    ax.set_xlim(right=1.02)
    ax.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %", decimals=0))
    ax.set_xlabel(f"hidden numbers within their {100 * LEVEL:.0f} % interval")
    _rows(ax, assessment, numbers)
    return _uri(figure)


def _filled(assessment: Assessment, j: int) -> str:
    figure, ax = _drawn(1.9, 1.5)
    missing = assessment.missing[:, j]
    parts = (
        assessment.truth[~missing, j],
        assessment.filled[OURS][missing, j],
        assessment.drawn[missing, j],
    )
    if assessment.numeric[j]:
        _distributions(ax, parts)
    else:
        _frequencies(ax, parts, assessment.columns[j].levels)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.set_title(label(assessment.names[j], LABEL + 4))
    return _uri(figure)


def _distributions(ax: Axes, parts: Sequence[NDArray[np.float64]]) -> None:
    edges = np.histogram_bin_edges(parts[0], BINS)
    observed, guessed, drawn = (np.histogram(part, edges)[0] / max(len(part), 1) for part in parts)
    ax.stairs(observed, edges, fill=True, color=OBSERVED)
    ax.stairs(drawn, edges, color=DRAWN, lw=1.4, ls=(0, (3, 1)))
    ax.stairs(guessed, edges, color=LOOKS[OURS]["color"], lw=1.4)
    ax.xaxis.set_major_locator(MaxNLocator(3))


def _frequencies(ax: Axes, parts: Sequence[NDArray[np.float64]], levels: Sequence[Any]) -> None:
    counts = [np.bincount(part.astype(int), minlength=len(levels)) for part in parts]
    most = np.sort(np.argsort(-counts[0], kind="stable")[:LEVELS])
    observed, guessed, drawn = (count[most] / max(count.sum(), 1) for count in counts)
    place = np.arange(len(most))
    ax.bar(place, observed, 0.8, color=OBSERVED)
    ax.plot(place + 0.15, drawn, ls="", marker="D", ms=5, color=DRAWN)
    ax.plot(place - 0.15, guessed, ls="", marker="o", ms=5, color=LOOKS[OURS]["color"])
    ax.set_ylim(bottom=0)
    ax.set_xticks(place, [label(str(levels[k]), 10) for k in most], rotation=30 * (len(most) > 4))


def _rows(ax: Axes, assessment: Assessment, shown: Sequence[int]) -> None:
    """One row per column of the table, the first at the top."""
    stars = ["" if assessment.numeric[j] else " *" for j in shown]
    names = _labels(assessment, shown)
    ax.set_yticks(range(len(shown)), [n + star for n, star in zip(names, stars, strict=True)])
    ax.set_ylim(len(shown) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)


def _labels(assessment: Assessment, shown: Sequence[int]) -> list[str]:
    return [label(assessment.names[j], LABEL) for j in shown]
