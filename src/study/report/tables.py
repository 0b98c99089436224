"""Numbers and tables of the report as Markdown; every number comes from the results."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from study.report.results import (
    ELBO_TERMS,
    LIKELIHOOD_TERMS,
    MODELS,
    SLIDES_RECIPE,
    Results,
    elbo_score,
    image_score,
)
from study.report.summary import Comparison, compare, rounded
from study.slides import SLIDES, Cell
from vaefill.metrics.statistics import Interval

MECHANISM_NAMES = {"none": "nothing", "random": "random pixels", "square": "a square"}
METRIC_NAMES = {"mse": "MSE", "ssim_global": "SSIM", "ssim": "SSIM, 7 × 7 windows", "elbo": "ELBO"}
COLUMN_NAMES = {"gauss": "Gaussian", "t": "t prior"}
BOUND_NAMES = {
    "elbo": "ELBO",
    "reconstruction": "its reconstruction",
    "kl": "its KL",
    "log_likelihood": "log-likelihood",
    "ess": "its effective draws",
    "ess_low": "its effective draws, lowest 5 %",
}
DECIMALS = {"mse": 5, "ssim_global": 4, "ssim": 4} | dict.fromkeys(BOUND_NAMES, 2)
DECIMALS |= {"ess": 1, "ess_low": 1, "units": 1}
#: Whether a lower value is the better one; of what is not listed neither direction is.
LOWER_IS_BETTER = {"mse": True, "ssim_global": False, "ssim": False}
LOWER_IS_BETTER |= {"elbo": False, "log_likelihood": False}

NAMES = ("missing", "output", "metric")
CELLS = tuple(SLIDES)
WINDOWED = tuple(cell._replace(metric="ssim") for cell in CELLS if cell.metric == "ssim_global")
NONE = "–"


def verdict(metric: str, low: float | None, high: float | None) -> str:
    """Say what an interval for t - gauss shows: a direction only where it excludes 0."""
    if low is None or high is None:
        return "cannot be told"
    if low > 0 or high < 0:
        return "better" if (high < 0) == LOWER_IS_BETTER[metric] else "worse"
    return "no difference found"


def verdict_of(metric: str, numbers: Mapping[str, float | None]) -> str:
    """Say what numbers as those of `study.report.summary.rounded` show."""
    return verdict(metric, numbers["diff_low"], numbers["diff_high"])


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
    """Render the compact table of each recipe, for a README or a terminal.

    Parameters
    ----------
    summary : dict
        As ``summary.json`` holds it: per recipe, what `study.report.summary.summarise` returns.
    slides : bool, default=True
        Whether to add the difference that the slides report, beside their own recipe.

    Returns
    -------
    str
        Markdown, one row per cell of the slides' table.
    """
    return "\n\n".join(
        f"Recipe `{recipe}`:\n\n{_compact(part, slides=slides and recipe == SLIDES_RECIPE)}"
        for recipe, part in summary.items()
    )


def _compact(summary: Mapping[str, Any], *, slides: bool) -> str:
    several = summary["elbo"]["elbo"]["diff_low"] is not None
    header = [*NAMES, *COLUMN_NAMES.values(), difference_header(several), "t prior is"]
    rows = []
    for cell in CELLS:
        numbers, metric = cell_numbers(summary, cell), cell.metric
        means = [number(metric, numbers[model]) for model in MODELS]
        row = [*cell_names(cell), *means, difference(metric, numbers), verdict_of(metric, numbers)]
        rows.append([*row, slides_difference(cell)] if slides else row)
    return markdown([*header, "slides: t − VAE"] if slides else header, rows, names=3)


def results_table(results: Results, *, slides: bool) -> str:
    """Render the slides' table with ours, then the windowed SSIM, as Markdown."""
    header = [*NAMES, *COLUMN_NAMES.values(), difference_header(len(results.seeds) > 1)]
    if slides:
        header[3:5] = ["slides: VAE", "Gaussian", "slides: t", "t prior"]
    rows = []
    for cell in CELLS + WINDOWED:
        columns = comparison_columns(cell.metric, compare(*results.paired(image_score(*cell))))
        if slides:
            claims = [f"{SLIDES[cell][m]:.4f}" if cell in SLIDES else NONE for m in MODELS]
            columns[:2] = [claims[0], columns[0], claims[1], columns[1]]
        rows.append([*cell_names(cell), *columns])
    return markdown([*header, "t prior is"], rows, names=3)


def bounds_table(results: Mapping[str, Results]) -> str:
    """Render the test ELBO, its terms and the log-likelihood of all recipes, as Markdown."""
    several = any(len(runs.seeds) > 1 for runs in results.values())
    rows = [
        [
            f"`{recipe}`",
            BOUND_NAMES[term],
            *comparison_columns(term, compare(*runs.paired(elbo_score(term)))),
        ]
        for recipe, runs in results.items()
        for term in (*ELBO_TERMS, *LIKELIHOOD_TERMS)
    ]
    header = ["recipe", "of a test image", *COLUMN_NAMES.values(), difference_header(several)]
    return markdown([*header, "t prior is"], rows, names=2)


def latent_table(results: Mapping[str, Results]) -> str:
    """Render what the runs of all recipes do with their latent space, as Markdown."""
    several = any(len(runs.seeds) > 1 for runs in results.values())
    header = ["recipe", "per model", *COLUMN_NAMES.values(), difference_header(several)]
    rows = []
    for recipe, runs in results.items():
        gauss, t = runs.by_model(runs.latents).values()
        pairs = {"active coordinates": ([x.active for x in gauss], [x.active for x in t])}
        # As an image passes them, where a JSON file has the decoder's before the encoder's.
        for layer in sorted(gauss[0].dead_units, key=lambda k: (k.startswith("decoder"), k)):
            units = ([x.dead_units[layer] for x in latents] for latents in (gauss, t))
            pairs[f"dead units, {layer.replace('.', ' ')}"] = (next(units), next(units))
        for name, pair in pairs.items():
            columns = comparison_columns("units", compare(*pair))[:-1]
            rows.append([f"`{recipe}`", name, *columns])
        shares = (np.mean([x.kl for x in latents], axis=0) for latents in (gauss, t))
        kl = [", ".join(number("units", share) for share in model) for model in shares]
        rows.append([f"`{recipe}`", "KL per coordinate, sorted", *kl, NONE])
    return markdown(header, rows, names=2)


def params_table(params: Mapping[str, Any]) -> str:
    """Render nested params as one row per number."""
    return markdown(["param", "value"], [[f"`{k}`", f"`{v}`"] for k, v in _flat(params)], names=2)


def comparison_columns(metric: str, comparison: Comparison) -> list[str]:
    """Render both means, their difference, and what it shows: the columns of every table."""
    numbers = rounded(comparison)
    word = verdict_of(metric, numbers) if metric in LOWER_IS_BETTER else NONE
    means = [mean(metric, interval) for interval in (comparison.gauss, comparison.t)]
    return [*means, difference(metric, numbers), word]


def cell_numbers(summary: Mapping[str, Any], cell: Cell) -> dict[str, Any]:
    """Pick the numbers of one cell out of a recipe's summary."""
    numbers: dict[str, Any] = summary[cell.mechanism][cell.output][cell.metric]
    return numbers


def cell_names(cell: Cell) -> list[str]:
    """Name a cell in the columns `NAMES`."""
    return [MECHANISM_NAMES[cell.mechanism], cell.output, METRIC_NAMES[cell.metric]]


def slides_difference(cell: Cell) -> str:
    """Format the difference that the slides report, with their decimals."""
    return _sign(f"{SLIDES[cell]['t'] - SLIDES[cell]['gauss']:+.4f}")


def seed_names(seeds: Sequence[int]) -> str:
    """Name seeds in a sentence."""
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def difference_header(several: bool) -> str:
    """Head the column of `difference`: with one seed it has no interval."""
    return "t − Gaussian" + " [95 %]" * several


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]], *, names: int = 1) -> str:
    """Render a table: the first `names` columns to the left, numbers to the right."""
    rule = [":--" if column < names else "--:" for column in range(len(header))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *rows))


def _flat(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in params.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", f"{value:g}" if isinstance(value, float) else value


def mean(metric: str, interval: Interval) -> str:
    """Format a mean over seeds, with half the width of its interval where it has one."""
    half = (interval.high - interval.low) / 2
    text = number(metric, interval.mean)
    return text if half != half else f"{text} ± {number(metric, half)}"


def _sign(text: str) -> str:
    return text.replace("-", "−") if any(digit in text for digit in "123456789") else text[1:]
