"""What of the slides' results comes out again here, and what does not: counted, in words."""

from collections.abc import Mapping
from typing import Any

from vaefill.results import MODELS, Results, image_score
from vaefill.slides import SLIDES, Cell
from vaefill.tables import CELLS, cell_numbers, percent

#: How near a mean must come to the slides' number to count as reproduced. The slides report one
#: run, and print neither its seed nor the sizes of the masks.
TOLERANCE = 0.05

COLUMNS = {"gauss": "Gaussian", "t": "t prior"}


def reproduction(results: Results, summary: Mapping[str, Any]) -> str:
    """Count, per column, the means that come near the slides', and hold their t - VAE to ours.

    Parameters
    ----------
    results : Results
        Every run's numbers.
    summary : dict
        What `vaefill.results.summarise` makes of them.

    Returns
    -------
    str
        Markdown: the rule, then one item per column and one for the difference.
    """
    limit = f"{100 * TOLERANCE:g} %"
    lines = [
        f"A mean counts as reproduced when its error is within {limit} of the slides': of the MSE, "
        "or of 1 − SSIM, the distance from a perfect score.",
        "",
    ]
    for model in MODELS:
        off = {cell: _off(summary, cell, model) for cell in CELLS}
        far = [f"{_name(cell)} {percent(d)}" for cell, d in off.items() if abs(d) > TOLERANCE]
        count = f"{len(CELLS) - len(far)} of {len(CELLS)} reproduced."
        tail = f" Error against the slides' where it is not: {', '.join(far)}." if far else ""
        lines.append(f"- **{COLUMNS[model]} column:** {count}{tail}")
    lines.append(f"- **Difference between the models, t − VAE:** {_claim(results)}")
    return "\n".join(lines)


def _off(summary: Mapping[str, Any], cell: Cell, model: str) -> float:
    """Relative distance of our error from the slides'."""
    ours = _error(cell, cell_numbers(summary, cell)[model])
    return ours / _error(cell, SLIDES[cell][model]) - 1


def _error(cell: Cell, score: float) -> float:
    return score if cell.metric == "mse" else 1 - score


def _claim(results: Results) -> str:
    """Hold the slides' difference to our interval and to every single pair of runs."""
    inside, reached = [], 0
    for cell in CELLS:
        score, claimed = image_score(*cell), SLIDES[cell]["t"] - SLIDES[cell]["gauss"]
        interval = results.compare(score).diff
        if interval.low <= claimed <= interval.high:
            inside.append(_name(cell))
        pairs = zip(*results.paired(score), strict=True)
        # In the slides' own direction, at least as far.
        reached += sum((t - gauss) / claimed >= 1 for gauss, t in pairs)
    n_seeds = len(results.seeds)
    runs = (
        f"Of our {len(CELLS) * n_seeds} pairs of single values ({len(CELLS)} cells, "
        f"{n_seeds} seed{'s' * (n_seeds > 1)}), {reached} differ by as much as the slides', in the "
        "same direction."
    )
    if n_seeds < 2:
        return f"one seed gives no interval to hold the slides' difference to. {runs}"
    names = f" ({', '.join(inside)})" if 0 < len(inside) < len(CELLS) else ""
    return (
        f"the slides' difference lies inside our 95 % interval in {len(inside)} of {len(CELLS)} "
        f"cells{names}. {runs}"
    )


def _name(cell: Cell) -> str:
    return f"{cell.metric.removesuffix('_global').upper()} {cell.mechanism} {cell.output}"
