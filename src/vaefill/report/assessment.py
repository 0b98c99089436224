"""What imputers made of cells of a table that were hidden from them, and how well they did."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaefill.report.rivals import N_ROWS, RIVALS, deviations
from vaefill.tables.kinds import Column

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

OURS = "vaefill"
IMPUTERS = (OURS, *RIVALS)
#: Of the intervals.
LEVEL = 0.9


@dataclass(frozen=True)
class Assessment:
    """A table, the cells that were hidden in it, and what imputers made of them.

    In all arrays of shape (n, c) a number stands for itself, a category for its number among the
    `levels` of its column. The c columns are those that are looked at.

    Parameters
    ----------
    names : tuple of str
        The columns' names.
    columns : tuple of Column
        Their kinds and levels.
    truth : float64 array of shape (n, c)
        The table; nan where it has gaps.
    hidden : bool array of shape (n, c)
        Observed cells that no imputer was shown.
    filled : mapping of str to float64 array of shape (n, c)
        By imputer: the table with its gaps and hidden cells filled in.
    drawn : float64 array of shape (n, c)
        One draw of `VAEImputer` for these cells.
    lower, upper : float64 arrays of shape (n, c)
        Its intervals of `LEVEL`.
    empty, left_out : tuple of str
        Names of the columns without any value, and of those that were one column too many.
    gaps : mapping of str to int
        Missing cells of every column of the table, among the n rows looked at.
    n_rows : int
        Rows of the table.
    """

    names: tuple[str, ...]
    columns: tuple[Column, ...]
    truth: Floats
    hidden: Bools
    filled: Mapping[str, Floats]
    drawn: Floats
    lower: Floats
    upper: Floats
    empty: tuple[str, ...]
    left_out: tuple[str, ...]
    gaps: Mapping[str, int]
    n_rows: int

    @cached_property
    def missing(self) -> Bools:
        """The gaps of the table; shape (n, c)."""
        return np.isnan(self.truth)

    @cached_property
    def numeric(self) -> Bools:
        """Columns of numbers, not of categories; shape (c,)."""
        return np.array([not column.levels for column in self.columns], dtype=bool)

    @cached_property
    def scale(self) -> Floats:
        """Standard deviation of each column's observed values, 1 where there is none."""
        return deviations(self.truth)

    @cached_property
    def losses(self) -> Mapping[str, Floats]:
        """By imputer, what each hidden cell costs, nan elsewhere; shape (n, c).

        The squared error in squared standard deviations of a number; 1 for a wrong category.
        """
        return {
            name: np.where(
                self.hidden,
                np.where(
                    self.numeric,
                    ((filled - self.truth) / self.scale) ** 2,
                    filled != self.truth,
                ),
                np.nan,
            )
            for name, filled in self.filled.items()
        }

    @cached_property
    def n_hidden(self) -> NDArray[np.intp]:
        """Hidden cells of each column; shape (c,)."""
        return np.asarray(self.hidden.sum(0))

    def errors(self, imputer: str) -> Floats:
        """Root mean squared error of a number's column, share of wrong categories; shape (c,)."""
        return column_errors(self.losses[imputer], self.hidden, self.numeric)

    @cached_property
    def inside(self) -> Bools:
        """Hidden numbers that lie within their interval; shape (n, c)."""
        return self.hidden & self.numeric & (self.lower <= self.truth) & (self.truth <= self.upper)

    @cached_property
    def coverage(self) -> Floats:
        """Share of each column's hidden numbers within their interval; nan of categories."""
        return np.where(self.numeric, _means(self.inside, self.hidden), np.nan)

    @cached_property
    def width(self) -> Floats:
        """Mean width of these intervals in standard deviations; nan of categories."""
        wide = (self.upper - self.lower) / self.scale
        return np.where(self.numeric, _means(wide, self.hidden), np.nan)


def scores(assessment: Assessment) -> list[dict[str, Any]]:
    """List all scores, one a dict of ``column``, ``imputer``, ``metric``, ``value``, ``cells``.

    Metrics are ``rmse`` (in standard deviations) of numbers and ``wrong`` (a share) of categories;
    of `VAEImputer` ``coverage`` (a share) and ``width`` (in standard deviations) too. A column
    of which nothing was hidden has none.
    """
    numeric = assessment.numeric
    values = [
        *((name, "rmse", np.where(numeric, assessment.errors(name), np.nan)) for name in IMPUTERS),
        *((name, "wrong", np.where(numeric, np.nan, assessment.errors(name))) for name in IMPUTERS),
        (OURS, "coverage", assessment.coverage),
        (OURS, "width", assessment.width),
    ]
    return [
        {"column": column, "imputer": imputer, "metric": metric, "value": float(found[j]),
         "cells": int(assessment.n_hidden[j])}
        for j, column in enumerate(assessment.names)
        for imputer, metric, found in values
        if not np.isnan(found[j])
    ]  # fmt: skip


def column_errors(losses: Floats, hidden: Bools | Floats, numeric: Bools) -> Floats:
    """Root of the mean loss of numbers, mean loss of categories; nan without hidden cells."""
    mean = _means(losses, hidden)
    return np.where(numeric, np.sqrt(mean), mean)


def rivals_learned_from(assessment: Assessment) -> int:
    """Tell how many rows the nearest rows and the chained regressions were learned from."""
    return min(len(assessment.truth), N_ROWS)


def _means(values: NDArray[Any], chosen: Bools | Floats) -> Floats:
    counts = chosen.sum(0)
    sums = np.where(chosen, values, 0).sum(0)
    means: Floats = np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0)
    return means
