"""What the numbers come to: which imputer to use on a table, and where to leave the gaps alone.

All sentences that judge stand here. Each rests on a number that is computed, and a limit that
is named.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from vaefill.report.assessment import LEVEL, OURS, Assessment
from vaefill.report.comparison import BASELINE, FEW_CELLS, Comparison
from vaefill.report.labels import counted, label, listed, percent
from vaefill.report.missingness import Sign

NAMES = {
    "vaefill": "vaefill",
    "mean": "the mean",
    "knn": "the nearest rows",
    "chained": "chained regressions",
}
#: Below so many rows nothing is learned that is worth its error.
FEW_ROWS = 50
#: Nor of a column below so many observed cells; above that share missing, most of it is made up.
FEW_OBSERVED, MOSTLY_MISSING = 30, 0.6
#: An error of so much of the mean's is no gain to speak of.
NO_GAIN = 0.95
#: Of the rows; with fewer that have gaps, leaving them out is simpler.
FEW_GAPS = 0.05


@dataclass(frozen=True)
class Verdict:
    """What to do.

    Parameters
    ----------
    headline : str
        In one short sentence.
    reasons : tuple of str
        Why: the rest of the paragraph.
    cautions : tuple of (str, str)
        Where not to fill in, or not to trust it: what, and why.
    """

    headline: str
    reasons: tuple[str, ...]
    cautions: tuple[tuple[str, str], ...]


def judge(assessment: Assessment, comparison: Comparison | None, signs: Sequence[Sign]) -> Verdict:
    """Say what to do about the gaps of a table."""
    headline, reasons = _answer(assessment, comparison)
    return Verdict(headline, reasons, tuple(_cautions(assessment, comparison, signs)))


def _answer(assessment: Assessment, comparison: Comparison | None) -> tuple[str, tuple[str, ...]]:
    n_rows = len(assessment.truth)
    leave = "Leave the gaps as they are."
    if n_rows < FEW_ROWS:
        why = (
            f"The table has {counted(n_rows, 'row')}. Below {FEW_ROWS} no imputer learns enough of"
            " it, and nothing could show how wrong it is."
        )
        return leave, (why,)
    if comparison is None:
        why = (
            f"In no column with gaps could {FEW_CELLS} cells be hidden to try an imputer on, so"
            " nothing can be said for any of them."
        )
        return leave, (why,)
    if not assessment.missing.any() and not assessment.empty:
        return "Nothing is missing.", (
            "There is nothing to fill in; if rows to come have gaps, this is what to expect.",
            *_ranking(assessment, comparison),
        )
    best = comparison.best
    error = comparison.errors[best]
    if best == BASELINE or error.high >= 1 or error.mean > NO_GAIN:
        return leave, (
            f"On {_tried(assessment, comparison)} no imputer is clearly better than filling in the"
            f" mean or the most frequent category (the best, {NAMES[best]}, by"
            f" {percent(max(0, 1 - error.mean))}): the columns say too little about one another."
            " Filled-in values would look like data and be none. Use methods that take gaps, or"
            " leave out the rows that have them.",
        )
    equal = [NAMES[name] for name in (best, *comparison.tied) if name != BASELINE]
    return f"Fill the gaps with {listed(equal, word='or')}.", tuple(
        _ranking(assessment, comparison)
    )


def _tried(assessment: Assessment, comparison: Comparison) -> str:
    n_cells = int(assessment.n_hidden[comparison.columns].sum())
    return f"{n_cells:,} known values that were hidden from all"


def _ranking(assessment: Assessment, comparison: Comparison) -> Iterator[str]:
    best, *others = comparison.ranked
    behind = [
        f"that of {NAMES[name]} by {_gain(comparison, name)}"
        f"{' (no clear difference)' if name in comparison.tied else ''}"
        for name in others
        if comparison.errors[name].mean < 1
    ]
    yield (
        f"Tried on {_tried(assessment, comparison)}, the error of {NAMES[best]} is smaller than"
        " that of filling in the mean or the most frequent category by"
        f" {'; '.join([_gain(comparison, best), *behind])}."
    )
    inside, n = _covered(assessment)
    if n and (best == OURS or OURS in comparison.tied):
        yield (
            f"vaefill also says how sure it is: its {percent(LEVEL)} intervals held"
            f" {percent(inside / n)} of the hidden numbers."
        )


def _gain(comparison: Comparison, name: str) -> str:
    return percent(1 - comparison.errors[name].mean)


def _cautions(
    assessment: Assessment, comparison: Comparison | None, signs: Sequence[Sign]
) -> Iterator[tuple[str, str]]:
    names = np.array(assessment.names, dtype=object)
    missing = assessment.missing
    n_observed = (~missing).sum(0)
    with_gaps = missing.any(0)
    few = with_gaps & (n_observed < FEW_OBSERVED)
    sparse = with_gaps & ~few & (missing.mean(0) > MOSTLY_MISSING)
    if assessment.empty:
        yield (
            f"No value at all in {listed(assessment.empty)}",
            "There is nothing to learn from: leave out the column.",
        )
    if few.any():
        yield (
            f"Too few values in {listed(names[few])}",
            f"Fewer than {FEW_OBSERVED} are observed: do not fill in, leave out the column.",
        )
    if sparse.any():
        yield (
            f"Mostly missing: {listed(names[sparse])}",
            f"More than {percent(MOSTLY_MISSING)} is missing: a filled column would be mostly"
            " guesses. Analyse it only with several imputations or intervals beside it.",
        )
    if comparison is not None:
        vain = (
            comparison.columns & with_gaps & ~few & (comparison.relative[comparison.best] > NO_GAIN)
        )
        if vain.any() and not vain[comparison.columns].all():
            yield (
                f"Hardly better than the mean: {listed(names[vain])}",
                "Going by the hidden cells, other columns say next to nothing here. A filled value"
                " adds no information, but does no harm where the rest of the row is needed.",
            )
    inside, n = _covered(assessment)
    if n >= FEW_CELLS:
        ends = binomtest(inside, n).proportion_ci(method="wilson")
        if not ends.low <= LEVEL <= ends.high and abs(inside / n - LEVEL) > 0.05:
            word = "narrow" if inside / n < LEVEL else "wide"
            yield (
                f"Intervals of vaefill are too {word} here",
                f"{percent(inside / n)} of the hidden numbers lie within intervals that should"
                f" hold {percent(LEVEL)}.",
            )
    if signs:
        yield (
            "Gaps follow a pattern",
            f"{_told(signs)}. Rows with gaps are not like the others: leaving them out, or filling"
            " in the mean, would bias what you compute. Imputers that look at the other columns of"
            " the row allow for it.",
        )
    share = missing.any(1).mean()
    if not signs and 0 < share < FEW_GAPS:
        yield (
            f"Only {percent(float(share))} of the rows have gaps",
            "No pattern was found in them: leaving these rows out is simpler and costs little.",
        )
    if missing.any():
        yield (
            "What the file cannot show",
            "Values may be missing because of what they are: incomes that are not told because"
            " they are high. Nothing on this page could tell, and every imputer would be wrong by"
            " an unknown amount. Ask how the gaps came about; if it was so, do not fill them in.",
        )


def _told(signs: Sequence[Sign], most: int = 3) -> str:
    """Say where gaps are more frequent; columns of which the same is true share a sentence."""
    columns: dict[str, list[str]] = {}
    for sign in signs:
        if sign.level:
            where = f"{'' if sign.auc > 0.5 else 'not '}{label(sign.level)}"
        else:
            where = "high" if sign.auc > 0.5 else "low"
        columns.setdefault(f"{label(sign.other)} is {where}", []).append(sign.column)
    told = [
        f"{listed(names)} {'is' if len(names) == 1 else 'are'} missing more often where {where}"
        for where, names in columns.items()
    ]
    more = len(told) - most
    return "; ".join([*told[:most], *([f"and {more:,} more such"] if more > 0 else [])])


def _covered(assessment: Assessment) -> tuple[int, int]:
    """Count the hidden numbers within their intervals, and all of them."""
    return int(assessment.inside.sum()), int(assessment.n_hidden[assessment.numeric].sum())
