"""Checked reading of tracked tables."""

import re

import numpy as np
import pandas as pd
import pytest

from study.report.frames import Column, read
from study.trials.comparison import MODELS
from vaefill.errors import InputError

COLUMNS = {
    "model": Column(among=MODELS),
    "seed": Column(int, low=0),
    "note": Column(empty=True),
    "value": Column(float),
}
GOOD = ["model,seed,note,value", "gauss,0,,1.5", "t,0,x,-2e-05"]


def write(path, lines):
    path.write_text("\n".join(lines) + "\n")
    return path


def test_types(tmp_path):
    frame = read(write(tmp_path / "a.csv", GOOD), COLUMNS, key=("model", "seed"))
    expected = pd.DataFrame(
        {"model": ["gauss", "t"], "seed": [0, 0], "note": ["", "x"], "value": [1.5, -2e-5]}
    )
    pd.testing.assert_frame_equal(frame, expected, check_dtype=False)
    assert frame.seed.dtype == "int64"
    assert frame.value.dtype == "float64"


def test_whole_numbers_beside_empty_cells_are_nan(tmp_path):
    path = write(tmp_path / "a.csv", ["seed", "3", '""'])
    assert read(path, {"seed": Column(int, empty=True)}).seed.isna().tolist() == [False, True]


def test_other_columns_share_one_rule(tmp_path):
    path = write(tmp_path / "a.csv", ["seed,a.b,c", "0,1,2"])
    frame = read(path, {"seed": Column(int)}, rest=Column(float))
    assert frame.columns.tolist() == ["seed", "a.b", "c"]
    with pytest.raises(InputError, match="line 1: unknown column c"):
        read(path, {"seed": Column(int)})


def test_optional_columns_may_be_missing_but_not_broken(tmp_path):
    columns = {"seed": Column(int), "tflop": Column(float, low=0, optional=True)}
    frames = [
        read(write(tmp_path / "a.csv", lines), columns)
        for lines in (["seed", "1"], ["tflop,seed", "2.5,1"])
    ]
    assert [frame.to_dict("list") for frame in frames] == [
        {"seed": [1]},
        {"seed": [1], "tflop": [2.5]},
    ]
    with pytest.raises(InputError, match="line 2: tflop '-1' must be a finite number from 0"):
        read(write(tmp_path / "a.csv", ["tflop,seed", "-1,1"]), columns)


@pytest.mark.parametrize(
    ("line", "row", "message"),
    [
        (1, "gauss,0,,a", "line 2: value 'a' must be a finite number"),
        (2, "t,0,x,nan", "line 3: value 'nan' must be a finite number"),
        (2, "t,0,x,inf", "line 3: value 'inf' must be a finite number"),
        (1, "gauss,0,,", "line 2: value '' must be a finite number"),
        (2, "t,-1,x,1", "line 3: seed '-1' must be a whole number from 0"),
        (2, "t,0.5,x,1", "line 3: seed '0.5' must be a whole number from 0"),
        (2, "vae,0,x,1", "line 3: model 'vae' must be one of gauss, t"),
        (2, "gauss,0,x,1", "line 3: a second row for model 'gauss', seed '0'"),
        (2, "t,0,x", "line 3 does not have one value per column"),
        (0, "model,seed,note,valeu", "line 1: no column value"),
        (0, "model,seed,value,note,more", "does not have one value per column"),
    ],
)
def test_what_is_wrong_is_said_with_file_line_and_rule(tmp_path, line, row, message):
    lines = [*GOOD[:line], row, *GOOD[line + 1 :]]
    path = write(tmp_path / "a.csv", lines)
    with pytest.raises(InputError, match=re.escape(str(path))) as error:
        read(path, COLUMNS, key=("model", "seed"))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_numbers_may_be_infinite_where_it_is_said(tmp_path):
    path = write(tmp_path / "a.csv", ["df", "3", "inf", '""'])
    frame = read(path, {"df": Column(float, low=0, empty=True, infinite=True)})
    np.testing.assert_array_equal(frame["df"], [3, np.inf, np.nan])
    with pytest.raises(InputError, match="df 'inf' must be a finite number, or empty; do it"):
        read(path, {"df": Column(float, empty=True)}, remedy="do it again")


@pytest.mark.parametrize("lines", [[], ["model,seed,note,value"]])
def test_an_empty_table_is_refused(tmp_path, lines):
    path = write(tmp_path / "a.csv", lines)
    with pytest.raises(InputError, match=f"{path}: no rows in it; delete it, and `dvc repro`"):
        read(path, COLUMNS)
