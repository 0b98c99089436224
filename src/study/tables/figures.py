"""The benchmark's figure: every cell as a point, left of 1 where `VAEImputer` is ahead."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from study.report.figures.style import GREY, style

#: Okabe and Ito's, as everywhere; shapes say the same once more.
LOOKS: dict[tuple[str, int], dict[str, Any]] = {
    ("mcar", 10): {"color": "#56B4E9", "marker": "o"},
    ("mcar", 30): {"color": "#0072B2", "marker": "s"},
    ("mcar", 50): {"color": "#009E73", "marker": "D"},
    ("mar", 30): {"color": "#E69F00", "marker": "^"},
    ("mnar", 30): {"color": "#D55E00", "marker": "X"},
}
OTHER: dict[str, Any] = {"color": GREY, "marker": "P"}
STEPS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.5, 2.0, 3.0)


@style()
def ratios(panels: dict[str, pd.DataFrame], tables: pd.DataFrame) -> Figure:
    """Draw one panel per comparison, one row per table, one point per condition.

    Parameters
    ----------
    panels : dict of str to DataFrame
        Titles, and what `study.tables.verdicts.against` returns.
    tables : DataFrame
        Names and sizes; the first stands at the top.
    """
    figure = Figure(figsize=(10, 1.9 + 0.3 * len(tables)), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, sharex=True, squeeze=False)[0]
    order = list(tables["table"])
    for ax, (title, found) in zip(axes, panels.items(), strict=True):
        conditions = list(dict.fromkeys(zip(found["mechanism"], found["rate"], strict=True)))
        conditions.sort(key=lambda c: list(LOOKS).index(c) if c in LOOKS else len(LOOKS))
        for number, (mechanism, rate) in enumerate(conditions):
            own = found[(found["mechanism"] == mechanism) & (found["rate"] == rate)]
            shift = 0.13 * (number - (len(conditions) - 1) / 2)
            ax.plot(
                own["ratio"], [order.index(name) + shift for name in own["table"]], ls="", ms=5.5,
                mew=0.4, mec="white", label=f"{mechanism.upper()}, {rate} %",
                **LOOKS.get((mechanism, rate), OTHER),
            )  # fmt: skip
        ax.axvline(1, color="black", lw=1)
        ax.set_title(title)
        ax.set_xlabel("RMSE ÷ that of the best rival (log scale)\n← VAEImputer ahead · behind →")
    _log(axes[0], pd.concat(panels.values())["ratio"])  # the others share it
    labels = [f"{t.table.replace('_', ' ')}, {t.rows:,} × {t.columns}" for t in tables.itertuples()]
    axes[0].set_yticks(range(len(order)), labels)
    axes[0].set_ylim(len(order) - 0.5, -0.5)
    axes[0].tick_params(axis="y", length=0)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=5)
    return figure


def _log(ax: Any, ratio: pd.Series) -> None:
    ax.set_xscale("log")
    low, high = min(ratio.min(), 0.9), max(ratio.max(), 1.1)
    shown = [step for step in STEPS if low <= step <= high]
    # A label's width apart at least, and 1 always among them.
    gap = np.log(high / low) / 8
    kept = [1.0]
    for step in sorted(shown, key=lambda s: abs(np.log(s))):
        if all(abs(np.log(step / other)) >= gap for other in kept):
            kept.append(step)
    ax.xaxis.set_major_locator(FixedLocator(sorted(kept)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
