from dataclasses import replace

import numpy as np
import pytest
from report_tables import assessed

from vaefill.report.comparison import compare
from vaefill.report.missingness import Sign
from vaefill.report.verdicts import judge


def verdict(assessment, signs=()):
    found = judge(assessment, compare(assessment), signs)
    return (
        found.headline,
        " ".join(found.reasons).replace("\N{NO-BREAK SPACE}", " "),
        dict(found.cautions),
    )


def test_best_imputer_is_recommended_with_its_gain():
    headline, why, _ = verdict(assessed([0.25, 1, 0.75, 0.5]))
    assert headline == "Fill the gaps with vaefill."
    assert "of vaefill is smaller" in why
    assert "by 75 %; that of chained regressions by 50 %; that of the nearest rows by 25 %" in why
    assert "intervals held 100 %" in why


def test_another_imputer_is_recommended_where_it_is_better():
    headline, why, _ = verdict(assessed([0.5, 1, 0.75, 0.25]))
    assert headline == "Fill the gaps with chained regressions."
    assert "intervals" not in why


def test_imputers_that_are_level_are_both_recommended():
    headline, why, _ = verdict(assessed([0.5, 1, 0.75, 0.501]))
    assert headline == "Fill the gaps with vaefill or chained regressions."
    assert "chained regressions by 50 % (no clear difference)" in why


@pytest.mark.parametrize(
    ("assessment", "words"),
    [
        (assessed([0.97, 1, 1.1, 0.99]), "no imputer is clearly better"),
        (assessed([1.2, 1, 1.1, 1.3]), "no imputer is clearly better"),
        (assessed([0.5, 1, 1.1, 0.7], n=30), "30 rows. Below 50"),
    ],
)
def test_gaps_are_left_where_nothing_helps(assessment, words):
    headline, why, _ = verdict(assessment)
    assert headline == "Leave the gaps as they are."
    assert words in why


def test_complete_tables_need_nothing():
    headline, _, cautions = verdict(assessed([0.5, 1, 0.75, 0.25], gap=0))
    assert headline == "Nothing is missing."
    assert cautions.keys() <= {"Intervals of vaefill are too wide here"}


def test_cautions():
    assessment = assessed([0.5, 1, 0.75, 0.25])
    truth = assessment.truth.copy()
    truth[20:, 0] = np.nan
    truth[100:, 1] = np.nan
    narrow = replace(assessment, truth=truth, hidden=assessment.hidden & ~np.isnan(truth))
    narrow = replace(narrow, lower=truth, upper=truth - 1, empty=("none",))
    signs = [Sign("b", "c", "", 0.8), Sign("a", "town", "Rome", 0.3), Sign("c", "b", "", 0.7)]
    _, _, cautions = verdict(narrow, signs)
    assert list(cautions) == [
        "No value at all in none",
        "Too few values in a",
        "Mostly missing: b",
        "Intervals of vaefill are too narrow here",
        "Gaps follow a pattern",
        "What the file cannot show",
    ]
    assert cautions["Gaps follow a pattern"].startswith(
        "b is missing more often where c is high; a is missing more often where town is not Rome;"
    )


def test_few_rows_with_gaps_can_be_left_out():
    *_, cautions = verdict(assessed([0.5, 1, 0.75, 0.25], gap=0.01))
    assert any(title.startswith("Only") for title in cautions)
