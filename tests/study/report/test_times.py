"""The page of times: hours by hand, a schedule by hand, and tables that say less."""

import re

import numpy as np
import pytest
from PIL import Image

from stages import times as stage
from study.report.figures.times import bars
from study.report.pages.times import by_stage, load, page, span, wall_clock
from study.report.render import render
from vaefill.errors import InputError

HEAD = "stage,item,seconds,jobs,cores,processor,torch,after\n"
WHERE = "2,2,A processor,2.13"
#: Two workers: split 10; then t 100 beside gauss 60 and impute 30; then report 20.
ROWS = [
    f"split,split,10,{WHERE},",
    f"train_t,train_t@0,100,{WHERE},split",
    f"train_gauss,train_gauss@0,60,{WHERE},split",
    f"impute,impute@gauss,30,{WHERE},train_gauss split",
    f"report,report,20,{WHERE},impute train_t",
]


@pytest.fixture
def table(tmp_path):
    def write(rows):
        (tmp_path / "times.csv").write_text(HEAD + "\n".join(rows) + "\n")
        return tmp_path / "times.csv"

    return write


def text(path):
    return render("times.md.j2", page(load(path), "digits"))


@pytest.mark.parametrize(
    ("jobs", "seconds"), [(1, 10 + 100 + 60 + 30 + 20), (2, 10 + 100 + 20), (9, 130)]
)
def test_the_wall_clock_by_hand(table, jobs, seconds):
    assert wall_clock(load(table(ROWS)), jobs) == seconds


def test_workers_that_are_never_idle_halve_the_time(table):
    rows = [f"train_t,train_t@{n},{n},{WHERE}," for n in (4, 3, 2, 1)]
    assert wall_clock(load(table(rows)), 2) == 5


def test_shares_and_sums_by_hand(table):
    rows = [*ROWS, f"train_t,train_t@1,80,{WHERE},split"]
    found = by_stage(load(table(rows)))
    assert list(found.index) == ["split", "train_t", "train_gauss", "impute", "report"]
    assert found.loc["train_t"].tolist() == [2, 2, 80, 100, 180, 180 / 300]
    assert found["share"].sum() == pytest.approx(1)


def test_the_first_sentence_says_how_long_and_what_the_slides_take(table):
    said = text(table(ROWS))
    first = said.splitlines()[2]
    assert first == (
        "`make report JOBS=2` takes 2.2 minutes on 2 cores; the slides' trainings take 73 % of it."
    )
    assert "Most goes to `train_t` (45 %), `train_gauss` (27 %) and `impute` (14 %)" in said
    assert "longest single item is `train_t@0`, 1.7 minutes; all of them together are 3.7" in said
    assert "- A processor, 2 cores, PyTorch 2.13, 2 side by side: 5 items" in said


def test_what_was_not_timed_is_said_and_counts_for_nothing(table):
    rows = [*ROWS[:2], "train_gauss,train_gauss@0,,,,,,split", "report,report,,,,,,train_gauss"]
    said = text(table(rows))
    assert "takes at least 1.8 minutes on 2 cores, which is what the 2 of 4 items take" in said
    assert "slides' trainings" not in said  # not all of which were timed
    assert re.search(r"`report` +\| +1 \| +0 \| +– \| +– \| +– \|", said)
    nothing = [re.sub(f",[^,]+,{WHERE}", ",,,,,", row) for row in ROWS]
    said = text(table(nothing))
    assert said.splitlines()[2].startswith("No item of the pipeline has had its time taken on")
    assert "nan" not in said
    bars(by_stage(load(table(nothing))))


def test_bars_are_as_long_as_the_stages_take(table):
    figure = bars(by_stage(load(table(ROWS))))
    (axes,) = figure.axes
    widths = [bar.get_width() * 60 for bar in axes.patches]
    np.testing.assert_allclose(widths, [10, 100, 60, 30, 20])
    labels = [label.get_text() for label in axes.texts]
    assert labels[1] == "45.5 %, 1 item"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.5, "0.5 seconds"), (1, "1 second"), (90, "1.5 minutes"), (3600, "1 hour"),
        (4.3 * 3600, "4.3 hours"),
    ],
)  # fmt: skip
def test_a_time_is_said_in_its_largest_unit(seconds, said):
    assert span(seconds) == said


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no rows in it"),
        ([ROWS[0], ROWS[0]], "line 3: a second row for item 'split'"),
        ([ROWS[0].replace("10", "-1")], "line 2: seconds '-1' must be a finite number from 0, or"),
        ([ROWS[0] + "report", ROWS[4] + " split"], "stages wait for each other: "),
    ],
)
def test_a_broken_table_is_refused_in_one_line(table, rows, message):
    path = table(rows)
    with pytest.raises(InputError) as error:
        load(path)
    assert str(error.value).startswith(f"{path}: {message}")
    assert str(error.value).endswith("; delete it, and `make report` begins it anew")
    assert "\n" not in str(error.value)


def test_stage_writes_the_page_and_its_figure(table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table(ROWS)
    (tmp_path / "params.yaml").write_text("dataset: digits\n")
    stage.main(["--times", "times.csv", "--page", "times.md", "--figures", "times"])
    (link,) = re.findall(r"!\[.*\]\((.*)\)", (tmp_path / "times.md").read_text())
    with Image.open(tmp_path / link) as image:
        assert image.width >= 1000
