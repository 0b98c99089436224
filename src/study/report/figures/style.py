"""How every figure looks: one colour, marker and line style per model."""

import io
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from study.report import formats
from vaefill.report import style as shared

NAMES = formats.MODELS
COLOURS = {"gauss": shared.BLUE, "t": shared.VERMILION}
MARKERS = {"gauss": "o", "t": "s"}
LINES: dict[str, Any] = {"gauss": "-", "t": (0, (4, 1.5))}
GREY = shared.GREY

DPI = 160
#: To draw in, as a context or a decorator.
style = partial(shared.style, 10, {"figure.dpi": DPI})


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
