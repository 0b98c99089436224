"""The figure of times: what each stage takes, all its items together."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from study.report import formats
from study.report.figures.style import GREY, style
from study.report.pages.times import SLIDES
from vaefill.report.style import BLUE

LOOKS = {"trains the slides' models": BLUE, "all else": GREY}


@style()
def bars(stages: pd.DataFrame) -> Figure:
    """Draw a bar per stage, as long as its items take one after the other.

    Parameters
    ----------
    stages : DataFrame
        As from `study.report.pages.times.by_stage`.

    Returns
    -------
    Figure
        Stages in the pipeline's order, in hours, or in minutes where none takes an hour; beside
        each bar its share and how many items it stands for.
    """
    unit, size = ("hours", 3600) if stages["total"].max() >= 3600 else ("minutes", 60)
    length = stages["total"] / size
    names = [*LOOKS]
    looks = [LOOKS[names[0 if stage in SLIDES else 1]] for stage in stages.index]
    figure = Figure(figsize=(8.4, 0.9 + 0.27 * len(stages)), layout="constrained")
    ax = figure.subplots()
    ax.barh(range(len(stages)), length, color=looks, height=0.7)
    for y, row in enumerate(stages.itertuples()):
        n = f"{row.timed} of {row.items}" if row.timed < row.items else f"{row.items}"
        items = "item" if row.items == 1 else "items"
        share = f"{formats.share(row.share)} %, " if row.timed else ""
        ax.annotate(
            f"{share}{n} {items}", (row.total / size, y), xytext=(4, 0),
            textcoords="offset points", va="center", fontsize=8, color=GREY,
        )  # fmt: skip
    ax.set_yticks(range(len(stages)), [str(stage) for stage in stages.index])
    ax.set_ylim(len(stages) - 0.4, -0.6)
    ax.set_xlim(0, 1.22 * (length.max() or 1))  # room for what stands beside the longest
    ax.set_xlabel(f"{unit} of one core, all items of the stage together")
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)
    ax.legend(
        handles=[Patch(color=colour, label=name) for name, colour in LOOKS.items()],
        loc="lower right",
    )
    return figure
