"""How every figure looks: one colour, marker and line style per model, and the same bytes twice.

The palette is that of Okabe and Ito (2008), which people with any colour vision can tell apart;
shapes and dashes say the same once more. Nothing here touches pyplot or what a user has set
for matplotlib.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from study.report import formats

NAMES = formats.MODELS
COLOURS = {"gauss": "#0072B2", "t": "#D55E00"}
MARKERS = {"gauss": "o", "t": "s"}
LINES: dict[str, Any] = {"gauss": "-", "t": (0, (4, 1.5))}
GREY = "#666666"

DPI = 160
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.dpi": DPI,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw in the report's own style, whatever ``matplotlibrc`` says; nothing stays set."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


@style()
def to_png(figure: Figure) -> bytes:
    """Render a figure: the same bytes for the same figure and package versions."""
    buffer = io.BytesIO()
    # The name of the software would change the file with every release of matplotlib.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def look(model: str) -> dict[str, Any]:
    """Return the colour, dashes and marker of a model."""
    return {"color": COLOURS[model], "ls": LINES[model], "marker": MARKERS[model]}


def df_label(df: float) -> str:
    """Name the degrees of freedom of a t prior."""
    return "df = ∞" if np.isinf(df) else f"df = {df:g}"
