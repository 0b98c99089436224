"""What of the slides' results comes out again here, what does not, and what it would take."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from study.report.results import MODELS, Results, image_score
from study.report.summary import compare, rounded
from study.report.tables import (
    CELLS,
    COLUMN_NAMES,
    NAMES,
    cell_names,
    difference,
    difference_header,
    markdown,
    number,
    percent,
    slides_difference,
)
from study.slides import SLIDES, Cell

#: How near a mean must come to the slides' number to count as reproduced. The slides report one
#: run, and print neither its seed nor the sizes of the masks.
TOLERANCE = 0.05

#: The slides' t - VAE: from one run of each model.
CLAIMS = {cell: models["t"] - models["gauss"] for cell, models in SLIDES.items()}


class Spread(NamedTuple):
    """How far the slides' difference lies from the differences of single pairs of runs here.

    Attributes
    ----------
    sd : float
        Standard deviation over seeds of t - gauss.
    distance : float
        From the mean of t - gauss to the slides', in these standard deviations.
    chance : float
        Probability that one more pair of runs goes at least as far, in the slides' direction.
    """

    sd: float
    distance: float
    chance: float


def reproduced(results: Results, model: str) -> dict[Cell, float]:
    """Distance of each mean error of `model` from the slides', relative to theirs."""
    errors = {c: _error(c, np.mean(results.values(model, image_score(*c)))) for c in CELLS}
    return {c: float(errors[c] / _error(c, SLIDES[c][model])) - 1 for c in CELLS}


def claims_inside(results: Results) -> list[Cell]:
    """List the cells where the slides' difference lies inside our interval over seeds."""
    found = []
    for cell in CELLS:
        low, high = compare(*results.paired(image_score(*cell))).diff[1:]
        if low <= CLAIMS[cell] <= high:
            found.append(cell)
    return found


def pairs_reaching(results: Results) -> int:
    """Count the pairs of single values that differ at least as far, in the slides' direction."""
    return sum(int(np.sum(_differences(results, c) / CLAIMS[c] >= 1)) for c in CELLS)


def spread(differences: ArrayLike, claim: float) -> Spread:
    r"""Hold the slides' difference to a normal distribution fitted to ours.

    With differences :math:`d_1, \dots, d_n` of mean :math:`\bar d` and standard deviation
    :math:`s`, one more difference :math:`d` of the same normal distribution has

    .. math:: \frac{d - \bar d}{s \sqrt{1 + 1/n}} \sim t_{n-1}

    (its prediction interval), because mean and spread are themselves known from n pairs only.

    Parameters
    ----------
    differences : array-like of shape (n,)
        Of t - gauss, one per seed; at least two.
    claim : float
        The slides' difference.
    """
    d = np.asarray(differences, dtype=np.float64)
    n, sd = d.size, float(d.std(ddof=1))
    # How far beyond our mean, seen in the slides' direction. Where both models are one and the
    # same, as at df = inf, sd is 0.
    ahead = float((claim - d.mean()) * np.sign(claim))
    units = ahead / sd if sd else float(np.copysign(np.inf, ahead))
    chance = float(stats.t.sf(units / np.sqrt(1 + 1 / n), n - 1))
    return Spread(sd, abs(units), chance)


def spreads(results: Results) -> dict[Cell, Spread]:
    """Hold each of the slides' differences to ours; needs two seeds."""
    return {cell: spread(_differences(results, cell), CLAIMS[cell]) for cell in CELLS}


def recipe_change(reference: Results, other: Results, cell: Cell) -> dict[str, Any]:
    """Set the Gaussian model of one training recipe beside that of another, paired by seed.

    As `study.report.summary.rounded` has it, the reference as ``gauss`` and the other as ``t``.
    """
    score = image_score(*cell)
    return rounded(compare(reference.values("gauss", score), other.values("gauss", score)))


def reproduction(results: Results) -> str:
    """Say, per column, which means come near the slides', and hold their t - VAE to ours.

    Parameters
    ----------
    results : Results
        The runs with the slides' recipe.

    Returns
    -------
    str
        Markdown: the rule, then one item per column and one for the difference.
    """
    lines = [
        f"A mean counts as reproduced when its error is within {100 * TOLERANCE:g} % of the "
        "slides': of the MSE, or of 1 − SSIM, the distance from a perfect score.",
        "",
    ]
    for model in MODELS:
        off = reproduced(results, model)
        far = [f"{_name(c)} {percent(d)}" for c, d in off.items() if abs(d) > TOLERANCE]
        count = f"{len(CELLS) - len(far)} of {len(CELLS)} reproduced."
        tail = f" Error against the slides' where it is not: {', '.join(far)}." if far else ""
        lines.append(f"- **{COLUMN_NAMES[model]} column:** {count}{tail}")
    return "\n".join([*lines, f"- **Difference between the models, t − VAE:** {_claim(results)}"])


def spread_table(results: Results) -> str:
    """Render the slides' difference beside the spread of ours over seeds, as Markdown."""
    header = [*NAMES, "slides: t − VAE", difference_header(several=True), "sd of one pair"]
    rows = []
    for cell, found in spreads(results).items():
        ours = rounded(compare(*_values(results, cell)))
        columns = [slides_difference(cell), difference(cell.metric, ours)]
        columns += [number(cell.metric, found.sd), f"{found.distance:.1f}", share(found.chance)]
        rows.append([*cell_names(cell), *columns])
    return markdown([*header, "slides' distance in sd", "chance of a pair"], rows, names=3)


def recipes_table(reference: Results, other: Results, names: Sequence[str]) -> str:
    """Render what the training recipe alone changes for the Gaussian model, as Markdown.

    Parameters
    ----------
    reference, other : Results
        Of the slides' recipe and of another; the same seeds.
    names : (str, str)
        The names of both recipes.
    """
    interval = " [95 %]" * (len(reference.seeds) > 1)
    header = [*NAMES, *(f"Gaussian, `{name}`" for name in names), f"change{interval}"]
    rows = []
    for cell in CELLS:
        numbers = recipe_change(reference, other, cell)
        means = [number(cell.metric, numbers[key]) for key in MODELS]
        columns = [*means, difference(cell.metric, numbers), slides_difference(cell)]
        rows.append([*cell_names(cell), *columns, times(numbers["diff"] / CLAIMS[cell])])
    return markdown([*header, "slides: t − VAE", "change / slides'"], rows, names=3)


def times(ratio: float) -> str:
    """Format how many times the slides' difference another one is."""
    return f"{ratio:.1f} ×".replace("-", "−")


def share(probability: float) -> str:
    """Format a probability."""
    if probability < 1e-4:
        return "< 0.01 %"
    decimals = next(d for d, bound in enumerate((0.1, 0.01, 0)) if probability >= bound)
    return f"{100 * probability:.{decimals}f} %"


def _error(cell: Cell, score: float | np.floating) -> float:
    return float(score if cell.metric == "mse" else 1 - score)


def _values(results: Results, cell: Cell) -> tuple[list[float], list[float]]:
    return results.paired(image_score(*cell))


def _differences(results: Results, cell: Cell) -> NDArray[np.float64]:
    gauss, t = _values(results, cell)
    return np.subtract(t, gauss)


def _claim(results: Results) -> str:
    """Hold the slides' difference to our interval and to every single pair of runs."""
    n_seeds = len(results.seeds)
    runs = (
        f"Of our {len(CELLS) * n_seeds} pairs of single values ({len(CELLS)} cells, "
        f"{n_seeds} seed{'s' * (n_seeds > 1)}), {pairs_reaching(results)} differ by as much as the "
        "slides', in the same direction."
    )
    if n_seeds < 2:
        return f"one seed gives no interval to hold the slides' difference to. {runs}"
    inside = [_name(cell) for cell in claims_inside(results)]
    names = f" ({', '.join(inside)})" if 0 < len(inside) < len(CELLS) else ""
    return (
        f"the slides' difference lies inside our 95 % interval in {len(inside)} of {len(CELLS)} "
        f"cells{names}. {runs}"
    )


def _name(cell: Cell) -> str:
    return f"{cell.metric.removesuffix('_global').upper()} {cell.mechanism} {cell.output}"
