"""Names and tables of the imputers as Markdown; every number comes from the results."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from study.report.imputation_results import (
    MECHANISMS,
    MODELS,
    SOURCES,
    Cell,
    ImputationResults,
    Method,
)
from study.report.tables import COLUMN_NAMES, MECHANISM_NAMES, NONE, markdown

NOMINAL = 0.9
METHOD_NAMES = {
    "single_pass": "single pass",
    "iterated": "iterated",
    "pseudo_gibbs": "pseudo-Gibbs",
    "metropolis_within_gibbs": "Metropolis within Gibbs",
    "importance": "importance sampling",
    "map": "MAP code",
    "laplace": "Laplace",
    "refit": "refitted encoder",
    "draws": "draws",
    "zero": "zeros",
    "mean": "pixel means",
    "knn": "nearest neighbours",
    "gaussian": "fitted normal",
    "biharmonic": "biharmonic",
}
GROUP_NAMES = {
    "baseline": "without a VAE",
    "inference": "VAEs trained on complete images",
    "trained": "models trained to impute",
}
OTHER_NAMES = {
    "half-top": "top half",
    "half-bottom": "bottom half",
    "half-left": "left half",
    "half-right": "right half",
    "scanlines": "random rows",
    "squares": "several squares",
    "mar": "MAR",
    "mnar": "MNAR",
}
SOURCE_NAMES = {
    "complete": "complete images",
    "zero": "zeros",
    "mean": "single imputation",
    "multiple": "multiple imputation",
}


class Column(NamedTuple):
    """A column of scores: `worse` grows from the best value on; None where none is best."""

    title: str
    region: str
    metric: str
    text: Callable[[float], str]
    worse: Callable[[float], float] | None


def rising(value: float) -> float:
    """Rank scores of which a lower one is better."""
    return value


def falling(value: float) -> float:
    """Rank scores of which a higher one is better."""
    return -value


def off_nominal(value: float) -> float:
    """Rank coverages of intervals that should cover 90 %."""
    return abs(value - NOMINAL)


def share(value: float, decimals: int = 1) -> str:
    """Format a share in percent, without the sign."""
    return f"{100 * value:.{decimals}f}"


def seconds(value: float) -> str:
    """Format a time: two significant digits, or whole seconds."""
    if value >= 9.95:
        return f"{value:,.0f}"
    return np.format_float_positional(value, precision=2, fractional=False, trim="-")


MSE = Column("MSE", "image", "mse", "{:.5f}".format, rising)
SSIM = Column("SSIM, 7 × 7", "image", "ssim", "{:.4f}".format, falling)
ACCURACY = Column(
    "right digit, %", "image", "accuracy", lambda value: share(value, decimals=2), falling
)
COVERAGE = {
    region: Column(f"90 % covers, {name}, %", region, f"coverage_{NOMINAL}", share, off_nominal)
    for region, name in {"missing": "missing", "grey": "grey"}.items()
}
CRPS = Column("CRPS", "missing", "crps", "{:.4f}".format, rising)
COLUMNS = (
    MSE,
    SSIM,
    Column("SSIM, global", "image", "ssim_global", "{:.4f}".format, falling),
    ACCURACY,
    *COVERAGE.values(),
    Column("inside, ends included, %", "missing", f"covered_{NOMINAL}", share, None),
    CRPS,
    Column("flagged, %", "image", "flagged", share, None),
)
SECONDS = Column("seconds", "", "", seconds, rising)


def method_name(method: Method) -> str:
    """Name a method in a sentence or a table; a recipe is code, as elsewhere in the report."""
    name = _label(method)
    return f"`{method.recipe}` {name}" if method.recipe else name


def short_name(method: Method) -> str:
    """Name a method in a figure, where the marker tells what the model was trained for."""
    plain = method.group == "baseline" or method.recipe == "slides"
    return _label(method) if plain else f"{method.recipe} {_label(method)}"


def _label(method: Method) -> str:
    return METHOD_NAMES.get(method.name, method.name.replace("_", " "))


def setting_name(mechanism: str) -> str:
    """Name one of the other mechanisms."""
    return OTHER_NAMES.get(mechanism, mechanism.replace("_", " "))


def scores_table(results: ImputationResults, mechanism: str) -> str:
    """Render every score under one mask: a row per method and model, the best of a column bold."""
    rows = _rows(results)
    columns = []
    for column in COLUMNS:
        cell = Cell(mechanism, column.region, column.metric)
        columns.append(emphasised(column, [results.mean(m, cell, model) for m, model in rows]))
    columns.append(emphasised(SECONDS, [results.time(*row) for row in rows]))
    header = ["imputer", "latent", *(column.title for column in (*COLUMNS, SECONDS))]
    body: list[list[str]] = []
    group = ""
    for (method, model), *cells in zip(rows, *columns, strict=True):
        if method.group != group:
            group = method.group
            body.append([f"*{GROUP_NAMES[group]}*", *[""] * (len(header) - 1)])
        body.append([method_name(method), COLUMN_NAMES.get(model, NONE), *cells])
    if results.complete is not None:
        cells = [NONE] * len(columns)
        cells[COLUMNS.index(ACCURACY)] = ACCURACY.text(results.complete)
        body.append(["*the complete image*", NONE, *cells])
    return markdown(header, body, names=2)


def compact_table(results: ImputationResults) -> str:
    """Render MSE and SSIM under both masks and the time: a row per method, Gaussian / t."""
    methods = results.methods
    rows = [(m, model) for m in methods for model in (MODELS if m.recipe else ("",))]
    header = ["imputer"]
    columns = []
    for mechanism in MECHANISMS:
        for column in (MSE, SSIM):
            header.append(f"{MECHANISM_NAMES[mechanism]}: {column.title}")
            cell = Cell(mechanism, column.region, column.metric)
            columns.append(
                _pairs(column, {row: results.mean(row[0], cell, row[1]) for row in rows})
            )
    header.append("seconds")
    columns.append(_pairs(SECONDS, {row: results.time(*row) for row in rows}))
    body = [[method_name(m), *cells] for m, *cells in zip(methods, *columns, strict=True)]
    return markdown(header, body)


def _pairs(column: Column, values: Mapping[tuple[Method, str], float | None]) -> list[str]:
    """Format a column with both models' values in one cell."""
    cells: dict[Method, list[str]] = {}
    for (method, _), text in zip(values, emphasised(column, [*values.values()]), strict=True):
        cells.setdefault(method, []).append(text)
    return [NONE if set(pair) == {NONE} else " / ".join(pair) for pair in cells.values()]


def _rows(results: ImputationResults) -> list[tuple[Method, str]]:
    return [(method, model) for method in results.methods for model in results.models(method)]


def others_table(results: ImputationResults) -> str:
    """Render the MSE over missing pixels where other pixels are missing than in training."""
    places = {place for values in results.degradation.values() for place in values}
    found = {mechanism for mechanism, setting in places if setting is None}
    others = [*(m for m in OTHER_NAMES if m in found), *sorted(found - set(OTHER_NAMES))]
    rows = [*results.degradation]
    columns = [
        emphasised(MSE, [results.degradation[row].get((mechanism, None)) for row in rows])
        for mechanism in others
    ]
    body = [
        [method_name(method), COLUMN_NAMES.get(model, NONE), *cells]
        for (method, model), *cells in zip(rows, *columns, strict=True)
        if set(cells) != {NONE}
    ]
    return markdown(["imputer", "latent", *map(setting_name, others)], body, names=2)


def rubin_table(results: ImputationResults) -> str:
    """Render each digit's mean ink from every source, with its interval."""
    found = {(e.digit, e.source): e for e in results.rubin}
    digits = list(dict.fromkeys(e.digit for e in results.rubin))
    sources = [source for source in SOURCES if any((d, source) in found for d in digits)]
    rows = []
    for digit in digits:
        estimates = [found.get((digit, source)) for source in sources]
        pooled = found.get((digit, "multiple"))
        cells = [
            NONE if e is None else f"{e.estimate:.4f} [{e.low:.4f}, {e.high:.4f}]"
            for e in estimates
        ]
        fmi = NONE if pooled is None or pooled.fmi is None else share(pooled.fmi)
        rows.append([digit, *cells, fmi])
    header = ["digit", *(SOURCE_NAMES[s] for s in sources), "missing information, %"]
    return markdown(header, rows)


def emphasised(column: Column, values: Sequence[float | None]) -> list[str]:
    """Format a column: bold what reads as the best value does, an en dash what is missing."""
    texts = [NONE if value is None else column.text(value) for value in values]
    known = [value for value in values if value is not None]
    if column.worse is None or not known:
        return texts
    best = column.text(min(known, key=column.worse))
    return [f"**{text}**" if text == best else text for text in texts]
