"""Which imputer is ahead over all columns, and whether that could be chance."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vaefill.metrics.statistics import Interval
from vaefill.report.assessment import IMPUTERS, Assessment, column_errors

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

BASELINE = "mean"
#: Columns with fewer hidden cells than this say nothing.
FEW_CELLS = 5
#: A ratio of errors up to this is no difference to speak of.
CLOSE = 1.02
N_RESAMPLES, RESAMPLES_AT_A_TIME = 500, 50


@dataclass(frozen=True)
class Comparison:
    """Imputers side by side.

    Parameters
    ----------
    columns : bool array of shape (c,)
        Columns that count: those with gaps (all, if none has) of which enough cells were hidden,
        and which the mean does not fill without error.
    relative : mapping of str to array of shape (c,)
        By imputer, its error in each column over that of the mean; nan where none is known.
    errors : mapping of str to Interval
        By imputer, the mean of that over the columns that count, and its 95 % interval.
    behind : mapping of str to Interval
        By imputer, how much larger that is than the best one's, and its interval, paired.
    """

    columns: Bools
    relative: Mapping[str, Floats]
    errors: Mapping[str, Interval]
    behind: Mapping[str, Interval]

    @property
    def best(self) -> str:
        """The imputer with the lowest error."""
        return min(self.errors, key=lambda name: self.errors[name].mean)

    @property
    def tied(self) -> tuple[str, ...]:
        """Others that chance may put behind it, or that are hardly behind; the nearest first."""
        most = (CLOSE - 1) * self.errors[self.best].mean
        return tuple(
            name
            for name in self.ranked[1:]
            if self.behind[name].low <= 0 or self.behind[name].mean <= most
        )

    @property
    def ranked(self) -> tuple[str, ...]:
        """All imputers, the best first."""
        return tuple(sorted(self.errors, key=lambda name: self.errors[name].mean))


def compare(assessment: Assessment, *, seed: int = 0) -> Comparison | None:
    r"""Put the imputers side by side; None where too few cells were hidden for that.

    The error of imputer a is the mean over columns of its error over that of the mean,

    .. math:: E_a = \frac1c \sum_j \frac{e_{aj}}{e_{\mathrm{mean}, j}}

    so that a column of numbers counts as much as one of categories. Intervals are of a bootstrap
    over rows (`vaefill.metrics.statistics.bootstrap_intervals`, here of a ratio of means).
    """
    losses = np.stack([np.nan_to_num(assessment.losses[name]) for name in IMPUTERS])
    hidden = assessment.hidden.astype(np.float64)
    with_gaps = assessment.missing.any(0)
    known = (assessment.n_hidden >= FEW_CELLS) & (assessment.errors(BASELINE) > 0)
    columns = known & with_gaps if with_gaps.any() else known
    if not columns.any():
        return None
    relative = _relative(losses, hidden, assessment.numeric)
    relative[:, ~known] = np.nan
    point = relative[:, columns].mean(1)
    numeric = assessment.numeric[columns]
    resampled = _resampled(losses[..., columns], hidden[:, columns], numeric, seed)

    def intervals(point: Floats, resampled: Floats) -> dict[str, Interval]:
        ends = np.quantile(resampled, [0.025, 0.975], axis=0)
        found = np.stack([point, *ends], axis=1).tolist()
        return {name: Interval(*ends) for name, ends in zip(IMPUTERS, found, strict=True)}

    best = point.argmin()
    return Comparison(
        columns=columns,
        relative=dict(zip(IMPUTERS, relative, strict=True)),
        errors=intervals(point, resampled),
        behind=intervals(point - point[best], resampled - resampled[:, [best]]),
    )


def _relative(losses: Floats, hidden: Floats, numeric: Bools) -> Floats:
    """Errors (imputers, c) over the baseline's."""
    errors = np.stack([column_errors(loss, hidden, numeric) for loss in losses])
    base = errors[IMPUTERS.index(BASELINE)]
    ratio: Floats = np.divide(errors, base, out=np.full_like(errors, np.nan), where=base > 0)
    return ratio


def _resampled(losses: Floats, hidden: Floats, numeric: Bools, seed: int) -> Floats:
    """Overall errors (resamples, imputers) of rows drawn again: a row counts as often as drawn."""
    rng = np.random.default_rng(seed)
    found = []
    n = len(hidden)
    for _ in range(0, N_RESAMPLES, RESAMPLES_AT_A_TIME):
        counts = rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES_AT_A_TIME).astype(np.float64)
        n_cells = np.maximum(counts @ hidden, 1)
        means = np.einsum("bn,anc->bac", counts, losses, optimize=True) / n_cells[:, np.newaxis]
        errors = np.where(numeric, np.sqrt(means), means)
        base = errors[:, [IMPUTERS.index(BASELINE)]]
        found.append(np.divide(errors, base, out=np.ones_like(errors), where=base > 0).mean(2))
    return np.concatenate(found)
