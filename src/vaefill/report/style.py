"""How figures look: the same colours everywhere, and the same bytes each time.

The palette is that of Okabe and Ito (2008), which people with any colour vision can tell apart.
Nothing here touches pyplot or what a user has set for matplotlib.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import matplotlib

BLUE, VERMILION, ORANGE, PURPLE, GREY = "#0072B2", "#D55E00", "#E69F00", "#CC79A7", "#666666"

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
}


@contextmanager
def style(size: float, own: Mapping[Any, Any]) -> Iterator[None]:
    """Draw in this style, whatever ``matplotlibrc`` says; nothing stays set.

    Parameters
    ----------
    size : float
        Of letters, in points.
    own : mapping
        What else to set, as ``matplotlib.rcParams`` has it.
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**STYLE, "font.size": size, "axes.titlesize": size, **own})
        yield
