"""Which method is ahead of which: only where every trained model says so.

Two methods of one recipe are compared on the same trained model, others with each model of the
one against each of the other. Scores are compared as they are printed.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product

from study.report.imputation_results import MECHANISMS, Cell, ImputationResults, Method, Run
from study.report.imputation_tables import Column, method_name
from study.report.tables import COLUMN_NAMES, MECHANISM_NAMES


def cell_of(mechanism: str, column: Column) -> Cell:
    """Return the cell that a column shows under one mask."""
    return Cell(mechanism, column.region, column.metric)


def ahead(
    results: ImputationResults, first: Method, second: Method, mechanism: str, column: Column
) -> bool:
    """Tell whether every trained model has `first` ahead of `second`."""
    a, b = (results.runs(method, cell_of(mechanism, column)) for method in (first, second))
    pairs: Iterable[tuple[Run, Run]] = product(a, b)
    if first.recipe == second.recipe:
        pairs = [(run, run) for run in a if run in b]
    found = [worse(column, as_printed(column, a[x])) < worse(column, as_printed(column, b[y]))
             for x, y in pairs]  # fmt: skip
    return bool(found) and all(found)


def leaders(
    results: ImputationResults, methods: Sequence[Method], mechanism: str, column: Column
) -> list[Method]:
    """Return the method with the best mean, then those that it is not ahead of."""
    known = means(results, methods, mechanism, column)
    if not known:
        return []
    first = min(known, key=lambda m: worse(column, known[m]))
    rest = [m for m in known if m != first and not ahead(results, first, m, mechanism, column)]
    return [first, *rest]


def means(
    results: ImputationResults, methods: Sequence[Method], mechanism: str, column: Column
) -> dict[Method, float]:
    """Return the means over models and seeds, of the methods that have one."""
    found = {m: results.mean(m, cell_of(mechanism, column)) for m in methods}
    return {m: mean for m, mean in found.items() if mean is not None}


def by_model(
    results: ImputationResults, method: Method, mechanism: str, column: Column
) -> dict[str, float]:
    """Return the means over seeds per model."""
    cell = cell_of(mechanism, column)
    found = {model: results.mean(method, cell, model) for model in results.models(method)}
    return {model: mean for model, mean in found.items() if mean is not None}


def worse(column: Column, value: float) -> float:
    """Return what grows from the best value of a column on."""
    assert column.worse is not None
    return column.worse(value)


def as_printed(column: Column, value: float) -> float:
    """Round a score as its column prints it, in the column's own unit."""
    scale = float(column.text(1.0))  # a share may be printed in percent
    return float(column.text(value)) / scale


def where(mechanism: str) -> str:
    """Say which pixels are missing."""
    return f"{MECHANISM_NAMES[mechanism]} missing"


def values_text(column: Column, values: Mapping[str, float]) -> str:
    """Format a value per model; of a baseline there is one, without a name."""
    return " and ".join(
        f"{column.text(value)} ({COLUMN_NAMES[model]})" if model else column.text(value)
        for model, value in values.items()
    )


def leading_text(
    results: ImputationResults, found: Sequence[Method], mechanism: str, column: Column
) -> str:
    """Name the leader with its values, and those that it is not ahead of."""
    first, *others = found
    values = values_text(column, by_model(results, first, mechanism, column))
    text = f"{method_name(first)}, {column.title} {values}"
    return text if not others else f"{text}, not ahead of {listed(others)} in every model"


def listed(methods: Sequence[Method]) -> str:
    """Name methods in a sentence."""
    *names, last = [method_name(method) for method in methods] or ["none"]
    return f"{', '.join(names)} and {last}" if names else last


def item(title: str, parts: Mapping[str, str]) -> str:
    """Write what was found per mask as an item with a list below it; empty without any."""
    nested = "".join(f"\n  - {_upper(where(m))}: {parts[m]}." for m in MECHANISMS if m in parts)
    return f"{title}{nested}" if nested else ""


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]
