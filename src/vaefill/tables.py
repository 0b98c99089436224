"""Numbers and tables of the report as Markdown; every number comes from the results."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vaefill.results import ELBO_TERMS, Comparison, Results, elbo_score, image_score
from vaefill.slides import SLIDES, Cell
from vaefill.statistics import Interval

MECHANISM_NAMES = {"random": "random pixels", "square": "a square"}
METRIC_NAMES = {"mse": "MSE", "ssim_global": "SSIM", "ssim": "SSIM, 7 × 7 windows"}
ELBO_NAMES = {"elbo": "ELBO", "reconstruction": "reconstruction", "kl": "KL"}
DECIMALS = {"mse": 5, "ssim_global": 4, "ssim": 4} | dict.fromkeys(ELBO_TERMS, 2)
#: Whether a lower value is the better one; of the ELBO's two terms neither direction is.
LOWER_IS_BETTER = {"mse": True, "ssim_global": False, "ssim": False, "elbo": False}

COLUMNS = ("missing", "output", "metric", "Gaussian", "t prior")
CELLS = tuple(SLIDES)
WINDOWED = tuple(cell._replace(metric="ssim") for cell in CELLS if cell.metric == "ssim_global")


def verdict(metric: str, low: float | None, high: float | None) -> str:
    """Say what an interval for t - gauss shows: a direction only where it excludes 0."""
    if low is None or high is None:
        return "cannot be told"
    if low <= 0 <= high:
        return "no difference found"
    return "better" if (high < 0) == LOWER_IS_BETTER[metric] else "worse"


def number(metric: str, value: float) -> str:
    """Format a score with the decimals of its metric."""
    return f"{value:.{DECIMALS[metric]}f}".replace("-", "−")


def signed(metric: str, value: float) -> str:
    """Format a difference of scores: with its sign, except where it rounds to 0."""
    return _sign(f"{value:+.{DECIMALS[metric]}f}")


def percent(share: float) -> str:
    """Format a relative difference."""
    return _sign(f"{100 * share:+.1f}") + " %"


def difference(metric: str, numbers: Mapping[str, float | None]) -> str:
    """Format t - gauss with its interval, where it has one."""
    mean, low, high = (numbers[key] for key in ("diff", "diff_low", "diff_high"))
    assert mean is not None
    if low is None or high is None:
        return signed(metric, mean)
    return f"{signed(metric, mean)} [{signed(metric, low)}, {signed(metric, high)}]"


def comparison_table(summary: Mapping[str, Any], *, slides: bool = True) -> str:
    """Render the compact table, for a README or a terminal.

    Parameters
    ----------
    summary : dict
        As `vaefill.results.summarise` returns it and ``summary.json`` holds it.
    slides : bool, default=True
        Whether to add the difference that the slides report.

    Returns
    -------
    str
        Markdown, one row per cell of the slides' table.
    """
    header = [*COLUMNS, _difference_header(summary), "t prior is"]
    rows = []
    for cell in CELLS:
        numbers, metric = cell_numbers(summary, cell), cell.metric
        row = [
            *_cell_names(cell),
            number(metric, numbers["gauss"]),
            number(metric, numbers["t"]),
            difference(metric, numbers),
            verdict(metric, numbers["diff_low"], numbers["diff_high"]),
        ]
        rows.append([*row, _slides_difference(cell)] if slides else row)
    return _markdown([*header, "slides: t − VAE"] if slides else header, rows, names=3)


def results_table(results: Results, summary: Mapping[str, Any], *, slides: bool = True) -> str:
    """Render the slides' table with ours beside it, then the windowed SSIM, as Markdown."""
    header = [*COLUMNS, _difference_header(summary), "t prior is"]
    if slides:
        header[3:5] = ["slides: VAE", "Gaussian", "slides: t", "t prior"]
    rows = []
    for cell in CELLS + WINDOWED:
        numbers, metric = cell_numbers(summary, cell), cell.metric
        comparison = results.compare(image_score(*cell))
        columns = [_mean(metric, comparison.gauss), _mean(metric, comparison.t)]
        if slides:
            columns = [_slides(cell, "gauss"), columns[0], _slides(cell, "t"), columns[1]]
        word = verdict(metric, numbers["diff_low"], numbers["diff_high"])
        rows.append([*_cell_names(cell), *columns, difference(metric, numbers), word])
    return _markdown(header, rows, names=3)


def elbo_table(results: Results, summary: Mapping[str, Any]) -> str:
    """Render the test ELBO and its two terms, in nats per image, as Markdown."""
    rows = []
    for term in ELBO_TERMS:
        comparison: Comparison = results.compare(elbo_score(term))
        means = [_mean(term, comparison.gauss), _mean(term, comparison.t)]
        rows.append([ELBO_NAMES[term], *means, difference(term, summary["elbo"][term])])
    return _markdown(["nats per image", "Gaussian", "t prior", _difference_header(summary)], rows)


def params_table(params: Mapping[str, Any]) -> str:
    """Render nested params as one row per number."""
    return _markdown(["param", "value"], [[f"`{k}`", f"`{v}`"] for k, v in _flat(params)], names=2)


def cell_numbers(summary: Mapping[str, Any], cell: Cell) -> dict[str, Any]:
    """Pick the numbers of one cell out of the summary."""
    numbers: dict[str, Any] = summary[cell.mechanism][cell.output][cell.metric]
    return numbers


def _difference_header(summary: Mapping[str, Any]) -> str:
    return "t − Gaussian" + ("" if summary["elbo"]["elbo"]["diff_low"] is None else " [95 %]")


def _flat(params: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in params.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", f"{value:g}" if isinstance(value, float) else value


def _cell_names(cell: Cell) -> list[str]:
    return [MECHANISM_NAMES[cell.mechanism], cell.output, METRIC_NAMES[cell.metric]]


def _slides(cell: Cell, model: str) -> str:
    return f"{SLIDES[cell][model]:.4f}" if cell in SLIDES else "–"


def _slides_difference(cell: Cell) -> str:
    return _sign(f"{SLIDES[cell]['t'] - SLIDES[cell]['gauss']:+.4f}")


def _mean(metric: str, interval: Interval) -> str:
    half = (interval.high - interval.low) / 2
    mean = number(metric, interval.mean)
    return mean if half != half else f"{mean} ± {number(metric, half)}"


def _sign(text: str) -> str:
    return text.replace("-", "−") if any(digit in text for digit in "123456789") else text[1:]


def _markdown(header: Sequence[str], rows: Iterable[Sequence[str]], *, names: int = 1) -> str:
    """Render a table: the first `names` columns to the left, numbers to the right."""
    rule = [":--" if column < names else "--:" for column in range(len(header))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *rows))
