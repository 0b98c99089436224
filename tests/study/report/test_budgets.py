"""What training work buys: its tables, words and figure, from none to several."""

import pytest

from study.report.budgets import budgets, curve, load
from study.report.figures.budgets import planned
from study.report.figures.style import to_png
from study.report.render import render
from study.trials.budgets import COLUMNS, SCORES
from vaefill.errors import InputError
from vaefill.storage import save_table

MODELS = [(name, seed) for name in (1, 4, "mlp", "conv") for seed in (0, 1)]
CASES = [("random", 0.3), ("square", 12), ("square", 24)]


def write(reports, name, tflop, *, networks="conv", cases=CASES):
    """Scores that halve with four times the work, but where squares of 24 are missing."""
    rows = [
        (networks, 3, tflop, 2000, mechanism, setting, region, metric,
         0.1 * tflop ** (0.0 if setting == 24 else -0.5))
        for mechanism, setting in cases
        for region, metric in SCORES
    ]  # fmt: skip
    save_table(reports / "training" / "budgets" / f"{name}-0.csv", COLUMNS, rows)


def text(rows):
    return render("budgets.md.j2", {"budgets": budgets(rows)})


def test_without_tables_nothing_is_said_or_drawn(tmp_path):
    rows = load(tmp_path, MODELS)
    assert not text(rows).strip()
    assert not planned(rows)


def test_one_model_is_a_table_but_no_curve(tmp_path):
    write(tmp_path, "mlp", 0.5, networks="mlp")
    write(tmp_path, "conv", 80.0)
    rows = load(tmp_path, MODELS)
    assert not planned(rows)
    said = text(rows)
    assert "| `mlp`" in said
    assert "Four times the work" not in said


def test_words_follow_from_the_scores(tmp_path):
    for name, tflop in (("conv", 64.0), ("1", 4.0), ("4", 16.0), ("dropped", 900.0)):
        write(tmp_path, name, tflop)
    write(tmp_path, "mlp", 0.5, networks="mlp")
    rows = load(tmp_path, MODELS)
    assert curve(rows)["tflop"].unique().tolist() == [4.0, 16.0, 64.0]
    found = budgets(rows)
    expected = {"30 %": -0.5, "12 × 12": -0.5, "24 × 24": 0.0}
    assert found["changes"] == pytest.approx(expected, abs=1e-6)
    said = text(rows)
    assert "of `conv` by −50.0 % (30 %), −50.0 % (12 × 12), 0.0 % (24 × 24)" in said
    assert "between 4 and 64 TFLOP" in said
    assert "first 2,000 test images" in said


def test_the_figure_has_a_line_per_mask_through_every_budget(tmp_path):
    for name, tflop in (("1", 4.0), ("4", 16.0), ("conv", 64.0)):
        write(tmp_path, name, tflop)
    (draw,) = planned(load(tmp_path, MODELS)).values()
    figure = draw()
    errors, likeness = figure.axes
    for ax in (errors, likeness):
        assert [list(line.get_xdata()) for line in ax.lines] == [[4, 16, 64]] * len(CASES)
        assert {label.get_text() for label in ax.texts} == {"30 %", "12 × 12", "24 × 24"}
    assert to_png(figure) == to_png(draw())


def test_a_broken_table_is_named(tmp_path):
    write(tmp_path, "1", 4.0, cases=[CASES[0], CASES[0]])
    with pytest.raises(InputError, match=r"1-0\.csv: line 5: a second row for mechanism 'random'"):
        load(tmp_path, MODELS)
