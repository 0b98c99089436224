import math
from typing import Annotated

import pytest
from dvc.utils.serialize import modify_yaml
from pydantic import AfterValidator, Field
from ruamel.yaml import YAML  # DVC's own reader

from study.params import Params, parse_paths, positive, read_params, read_yaml, run
from vaefill.errors import InputError


class Train(Params):
    epochs: Annotated[int, Field(ge=1)]
    lr: Annotated[float, Field(gt=0, lt=1)]


class Schema(Params):
    df: Annotated[float, AfterValidator(positive)]
    train: Train


DVC = "stages: {a: {cmd: a, params: [df, train.lr]}, b: {cmd: b, params: [seeds]}}\n"
GOOD = "df: 21\nseeds: [0]\ntrain:\n  epochs: 3\n  lr: 0.1\n"


TEXTS = """1 -1 +5 09 010 1_0 12_ 0x1F -0x10 0o17 0b11 0o9 0x _1 1__0 1e
    1. .5 +.5 0.5 -0.5 1e5 1E5 1e-05 1e+3 1.e3 .5e3 .5e+3 1_000.5 e5 .inf -.inf +.INF .Inf
    true True TRUE tRUE false no yes on off y n null Null ~ nullx 1:30 1:30.5 2024-01-01
    '10' "1e5" abc [1,1e-5,no] {a:1}"""


@pytest.fixture
def read(tmp_path):
    def read(text: str) -> Schema:
        (tmp_path / "dvc.yaml").write_text(DVC)
        (tmp_path / "params.yaml").write_text(text)
        return read_params(Schema, tmp_path)

    return read


def test_values_come_with_their_types(read):
    params = read(GOOD)
    assert params.model_dump() == {"df": 21.0, "train": {"epochs": 3, "lr": 0.1}}
    assert isinstance(params.df, float)


def test_what_dvc_writes_is_read_as_it_was_given(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(GOOD)
    with modify_yaml(str(path)) as params:
        params["train"]["lr"] = 1e-5
    assert "lr: 1e-05" in path.read_text()  # which YAML 1.1 reads as a string
    assert read_yaml(path)["train"]["lr"] == 1e-5


@pytest.mark.parametrize("text", TEXTS.split())
def test_dvc_and_we_read_the_same(tmp_path, text):
    path = tmp_path / "a.yaml"
    path.write_text(f"a: {text}\n")
    read, expected = read_yaml(path)["a"], YAML(typ="safe", pure=True).load(path)["a"]
    assert (type(read), read) == (type(expected), expected)


def test_nan_is_a_number(tmp_path):
    (tmp_path / "a.yaml").write_text("a: .nan\n")
    assert math.isnan(read_yaml(tmp_path / "a.yaml")["a"])


def test_a_merged_key_is_not_given_twice(tmp_path):
    (tmp_path / "a.yaml").write_text(
        "a: &a {x: 1, y: 2}\nb: &b {<<: *a, x: 3}\nc: {<<: *b, y: 4}\n"
    )
    assert read_yaml(tmp_path / "a.yaml")["c"] == {"x": 3, "y": 4}


def test_infinite_df_is_allowed(read):
    assert math.isinf(read(GOOD.replace("21", ".inf")).df)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("df: 21", "df: 0", r"df = 0: must be a number above 0"),
        ("df: 21", "df: -1", r"df = -1: must be a number above 0"),
        ("df: 21", "df: .nan", r"df = nan: must be a number above 0"),
        ("df: 21", "df: abc", r"df = 'abc': Input should be a valid number"),
        ("df: 21", "df: '10'", r"df = '10': Input should be a valid number"),
        ("df: 21", "df: null", r"df = None: Input should be a valid number"),
        ("df: 21", "df: true", r"df = True: Input should be a valid number"),
        ("df: 21\n", "", r"df is missing; add it"),
        ("df: 21", "df: 21\ndff: 3", r"dff = 3: no stage reads this key; did you mean 'df'\?"),
        ("df: 21", "df: 21\nbanana: 3", r"banana = 3: no stage reads this key$"),
        ("epochs: 3", "epoch: 3", r"train.epochs is missing; add it; .*train.epoch = 3: no stage"),
        ("epochs: 3", "epochs: 3.5", r"train.epochs = 3.5: Input should be a valid integer"),
        ("epochs: 3", "epochs: 0", r"train.epochs = 0: .* greater than or equal to 1"),
        ("lr: 0.1", "lr: 7", r"train.lr = 7: Input should be less than 1"),
        ("lr: 0.1", "lr: no", r"train.lr = 'no': Input should be a valid number"),
    ],
)
def test_bad_values_name_key_value_and_rule(read, old, new, message):
    with pytest.raises(InputError, match=message) as caught:
        read(GOOD.replace(old, new))
    assert "\n" not in str(caught.value)
    assert "params.yaml: " in str(caught.value)


@pytest.mark.parametrize("text", ["df: [1", "df: 1\ndf: 2\n", "a: {b: 1, b: 1}", "- 1\n", ""])
def test_what_is_no_params_file(read, text):
    with pytest.raises(InputError, match=r"params.yaml: (not YAML|expected)") as caught:
        read(text)
    assert "\n" not in str(caught.value)


def test_no_params_file(tmp_path):
    with pytest.raises(InputError, match=r"no such file; run from the project's root"):
        read_params(Schema, tmp_path)


def test_paths_and_options():
    args = parse_paths(
        ["--out", "a/b", "--seed", "3", "--model", "t"], "--out", seed=int, model=("gauss", "t")
    )
    assert (args.out.as_posix(), args.seed, args.model) == ("a/b", 3, "t")


def test_missing_flag_ends_with_usage(capsys):
    with pytest.raises(SystemExit):
        parse_paths([], "--out")
    assert "--out" in capsys.readouterr().err


@pytest.mark.parametrize("error", [InputError("a: 1\n: rule"), PermissionError(13, "denied", "a")])
def test_what_a_person_can_mend_ends_in_one_line(error):
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as caught:
        run(main)
    assert str(caught.value.code).startswith("error: ")
    assert "\n" not in caught.value.code


def test_bugs_keep_their_traceback():
    def main() -> None:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        run(main)
