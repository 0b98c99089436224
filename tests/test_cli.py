"""The command as a person at a terminal meets it: what it prints, where, and how it ends."""

import inspect
import json
import re
import signal
import subprocess
import sys
from contextlib import contextmanager, redirect_stdout
from importlib import import_module

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vaefill.cli import EXAMPLES, main, options
from vaefill.cli.output import printable, show_json

COMMANDS = [command.__name__ for command in EXAMPLES]


@pytest.fixture
def vaefill(capfd):
    """Run the command in this process; give exit code, standard output and standard error."""

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([*map(str, arguments)])
        out, err = capfd.readouterr()
        return end.value.code or 0, out, err

    return run


def check_refused(result, *words):
    """Hold what is said of bad input: one line on standard error, and 2."""
    code, out, err = result
    assert (code, out) == (2, "")
    assert re.fullmatch(r"vaefill: error: .*\n", err)
    for word in words:
        assert word in err


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from vaefill.cli import app; app(['--help'], standalone_mode=False);"
        "print({'torch', 'numpy', 'pyarrow', 'sklearn', 'matplotlib', 'rich'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\nset()\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_shows_an_example(vaefill, command):
    code, out, err = vaefill(command, "--help")
    assert (code, err) == (0, "")
    assert f"Example:\n    vaefill {command}" in out
    assert "\x1b" not in out


def test_help_names_the_defaults_of_the_library(vaefill):
    from vaefill import VAEImputer
    from vaefill.fitting import read_sample

    defaults = {
        name: parameter.default
        for function in (VAEImputer, read_sample)
        for name, parameter in inspect.signature(function).parameters.items()
    }
    _, out, _ = vaefill("fit", "--help")
    shown = dict(re.findall(r"--(\w+) (?:(?!--)[^\[])*\[default: \((\w+)\)", out))
    defaults["sample"] = defaults["n_rows"]
    assert shown == {name: f"{defaults[name]}".removesuffix(".0") for name in shown}
    assert {"prior", "df", "likelihood", "experts", "device", "sample"} <= shown.keys()


def test_version_and_help_without_a_command(vaefill):
    from vaefill import __version__

    assert vaefill("--version") == (0, f"vaefill {__version__}\n", "")
    assert vaefill()[1] == vaefill("--help")[1]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["fil"], "'fit'"),
        (["fit"], "TABLE"),
        (["fit", "t.csv"], "--output"),
        (["fit", "t.csv", "-o", "m", "--bogus"], "--bogus"),
        (["fit", "t.csv", "-o", "m", "--prior", "cauchy"], "student_t"),
        (["fit", "t.csv", "-o", "m", "--seed", "-1"], "--seed"),
        (["fit", "t.csv", "-o", "m", "--kind", "age"], "COLUMN=KIND"),
        (["impute", "m", "t.csv", "-o", "-", "--json"], "--json"),
        (["impute", "m", "t.csv", "-o", "f.csv", "--draws", "0"], "--draws"),
    ],
)
def test_bad_usage(vaefill, arguments, word):
    check_refused(vaefill(*arguments), word)


@given(st.text(), st.integers(min_value=9, max_value=50))
@example("\x1b[2J\r\n\u202e\ud800", 50)
def test_printed_text_cannot_steer_a_terminal(text, longest):
    shown = printable(text, longest)
    assert shown.isprintable()
    if text.isprintable():
        assert len(shown) <= longest
        assert shown == text or len(text) > longest


def test_json_is_strict(capsys):
    show_json({"a": (float("nan"), 1.5), "b": {"c": float("inf")}})
    assert json.loads(capsys.readouterr().out) == {"a": [None, 1.5], "b": {"c": None}}


def test_columns_to_keep_come_one_by_one_or_in_one_text():
    assert options.names(["id", 'date,"last, first"']) == ("id", "date", "last, first")


def test_kinds_may_have_ranges_levels_and_names_with_signs():
    assert options.kinds(["a=b=count", "x=bounded:0:1.5", "s=ordered:S:M:L"]) == {
        "a=b": "count",
        "x": ("bounded", 0, 1.5),
        "s": ("ordered", "S", "M", "L"),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A table with gaps of all sorts, and a model of it."""
    folder = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(0)
    x = rng.normal(size=90)
    lines = ["id;size;weight;colour;when"]
    for i, (size, weight) in enumerate(zip(x, 2 * x + rng.normal(size=90) / 9, strict=True)):
        colour = ["red", "", '"light; blue"'][i % 3] if i % 7 else "?"
        text = [f"n{i}", f"{size:.2f}", f"{weight:.3e}" if i % 5 else "-999", colour, "2026-11-26"]
        lines.append(";".join(text).replace(".", ","))
    (folder / "data.csv").write_text("\n".join(lines) + "\n", "utf-8")
    arguments = ["fit", f"{folder}/data.csv", "-o", f"{folder}/model", *OPTIONS, "--no-check"]
    with (
        (folder / "fit.txt").open("w", encoding="utf-8") as out,
        redirect_stdout(out),
        pytest.raises(SystemExit) as end,
    ):
        main(arguments)
    assert not end.value.code
    return folder


OPTIONS = ["--decimal", ",", "--missing", "-999", "--keep", "id,when"]


def test_fit_tells_what_it_saw(folder):
    assert (folder / "fit.txt").read_text("utf-8").splitlines() == [
        f"{folder}/model: learned from 90 of 90 rows",
        "column        kind  missing",
        "size    continuous     0.0%",
        "weight  continuous    20.0%",
        "colour      binary    43.3%",
    ]


@pytest.mark.slow
def test_fit_tells_how_well_it_fills(vaefill, folder, tmp_path):
    fit = ["fit", folder / "data.csv", "-o", tmp_path / "model", *OPTIONS]
    code, out, err = vaefill(*fit, "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert (told["rows"], told["learned"]) == (90, 90)
    assert told["columns"][1] == {"name": "weight", "kind": "continuous", "missing": 0.2}
    assert told["errors"]["weight"]["vaefill"] < 0.5 < told["errors"]["weight"]["mean"]
    assert (tmp_path / "model").read_bytes() == (folder / "model").read_bytes()


def test_impute_fills_and_tells_how_much(vaefill, folder, tmp_path):
    impute = ["impute", folder / "model", folder / "data.csv", *OPTIONS]
    code, out, err = vaefill(*impute, "-o", tmp_path / "filled.csv", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["rows"] == 90
    before = (folder / "data.csv").read_text("utf-8").splitlines()
    after = (tmp_path / "filled.csv").read_text("utf-8").splitlines()
    changed = [line for line, other in zip(before, after, strict=True) if line != other]
    assert [line for line in before if re.search(r"-999|;\?|;;", line)] == changed
    code, out, err = vaefill(*impute, "-o", "-")
    assert (code, out.splitlines(), err) == (0, after, "")


def test_impute_writes_parquet_with_draws_bounds_and_gaps(vaefill, folder, tmp_path):
    extra = ["--draws", 2, "--interval", 0.8, "--indicator"]
    impute = ["impute", folder / "model", folder / "data.csv", *OPTIONS, *extra]
    code, out, err = vaefill(*impute, "-o", tmp_path / "filled.parquet")
    assert (code, err) == (0, "")
    assert re.fullmatch(r".*filled\.parquet: 57 cells filled in 90 rows\n", out)
    table = pq.read_table(tmp_path / "filled.parquet")
    bounds = ["size_lower", "weight_lower", "size_upper", "weight_upper"]
    gaps = ["size_missing", "weight_missing", "colour_missing"]
    assert {*table.column_names} == {
        "draw",
        "id",
        "size",
        "weight",
        "colour",
        "when",
        *bounds,
        *gaps,
    }
    assert table["draw"].to_pylist() == [1, 2] * 90
    assert table["weight"].null_count == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["bad.csv", "empty"]),
        ("size;weight;colour\n1;2\n", ["bad.csv", "line 2"]),
        ("size;size\n1;2\n", ["bad.csv", "size"]),
        ("size;colour\n1;red\n", ["bad.csv", "fit", "weight"]),
        ("size;weight;colour;sort\n1;2;red;a\n", ["bad.csv", "fit", "sort"]),
        ("size;weight;colour\n1;2;red\n1;2 kg;red\n", ["bad.csv", "weight", "row 2", "'2 kg'"]),
    ],
)
def test_impute_refuses_a_table(vaefill, folder, tmp_path, text, words):
    (tmp_path / "bad.csv").write_text(text, "utf-8")
    impute = ["impute", folder / "model", tmp_path / "bad.csv"]
    check_refused(vaefill(*impute, "-o", tmp_path / "out.csv"), *words)
    check_refused(vaefill(*impute, "-o", "-"), *words)
    assert [*tmp_path.iterdir()] == [tmp_path / "bad.csv"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["bad.csv", "empty"]),
        ("size;weight\n", ["rows"]),
        ("size;weight\n1;2\n1;2;3\n", ["bad.csv", "line 3"]),
        ("size;weight\n" + 5 * "1;2\n" + "1;2 kg\n", ["weight", "row 6", "'2 kg'"]),
        ("size;weight\n" + 5 * "NA;\n", ["nothing is observed"]),
    ],
)
@pytest.mark.parametrize("command", ["fit", "report"])
def test_fit_and_report_refuse_a_table(vaefill, tmp_path, command, text, words):
    (tmp_path / "bad.csv").write_text(text, "utf-8")
    check_refused(vaefill(command, tmp_path / "bad.csv", "-o", tmp_path / "out"), *words)
    assert [*tmp_path.iterdir()] == [tmp_path / "bad.csv"]


def test_bad_files(vaefill, folder, tmp_path):
    table, model, there = folder / "data.csv", folder / "model", tmp_path / "there.csv"
    there.write_text("mine", "utf-8")
    new = tmp_path / "new.csv"
    check_refused(vaefill("fit", "nope.csv", "-o", new), "nope.csv", "no such file")
    check_refused(vaefill("report", table, "-o", there), "there.csv", "exists", "--force")
    check_refused(vaefill("impute", model, "nope.csv", "-o", new), "nope.csv", "o such file")
    check_refused(vaefill("impute", table, table, "-o", new), "data.csv", "not an imputer")
    check_refused(vaefill("impute", model, table, "-o", there, *OPTIONS), "exists", "--force")
    check_refused(vaefill("impute", model, table, "-o", table, "--force"), "is an input too")
    check_refused(vaefill("fit", table, "-o", table, "--force"), "is an input too")
    check_refused(vaefill("fit", table, "-o", folder, "--force"), "is a directory")
    check_refused(vaefill("fit", table, "-o", "-"), "--output -")
    check_refused(vaefill("impute", model, table, "-o", tmp_path / "new.doc"), "new.doc", "csv")
    for command in (["fit", table], ["report", table], ["demo"]):
        check_refused(vaefill(*command, "-o", there / "new"), "there.csv is no directory to write")
    check_refused(vaefill("demo", "-o", folder), "is a directory")
    check_refused(vaefill("demo", "-o", "-"), "--output -")
    assert [*tmp_path.iterdir()] == [there]
    assert there.read_text("utf-8") == "mine"


@pytest.fixture
def interruptible():
    """Ctrl-C as in a terminal: what a shell starts in the background is told to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_run_is_named_and_goes_on(vaefill, folder, tmp_path, monkeypatch):
    @contextmanager
    def interrupted(quiet):
        yield lambda rows: signal.raise_signal(signal.SIGINT)

    impute = ["impute", folder / "model", folder / "data.csv", *OPTIONS, "--draws", 2]
    with monkeypatch.context() as patch:
        patch.setattr(import_module("vaefill.cli.impute"), "progress", interrupted)
        code, out, err = vaefill(*impute, "-o", tmp_path / "filled.parquet")
    place = tmp_path / "filled.parquet.partial"
    assert (code, out) == (130, "")
    assert re.fullmatch(rf"vaefill: interrupted: .*{re.escape(str(place))}.*--resume.*\n", err)
    assert [*tmp_path.iterdir()] == [place]
    assert vaefill(*impute, "-o", tmp_path / "filled.parquet", "--resume")[0] == 0
    assert vaefill(*impute, "-o", tmp_path / "other.parquet")[0] == 0
    one, other = (tmp_path / name for name in ("filled.parquet", "other.parquet"))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.filterwarnings("default::UserWarning")
def test_a_warning_is_one_line(vaefill, folder, tmp_path):
    (tmp_path / "new.csv").write_text("size;weight;colour\n1;;gr\x1be\x1bn\n", "utf-8")
    code, out, err = vaefill("impute", folder / "model", tmp_path / "new.csv", "-o", "-")
    assert (code, out.count("\n")) == (0, 2)
    assert re.fullmatch(r"vaefill: warning: .*gr\\x1be\\x1bn.*\n", err)


def test_a_bug_shows_where(folder, monkeypatch):
    monkeypatch.setattr("vaefill.streaming.fill_file", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["impute", f"{folder}/model", f"{folder}/data.csv", "-o", f"{folder}/new.csv"])


@pytest.mark.slow
def test_a_broken_pipe_ends_quietly(folder):
    code = (
        f"from vaefill.cli import main; main(['impute', {str(folder / 'model')!r},"
        f" {str(folder / 'data.csv')!r}, '-o', '-', '--draws', '500', *{OPTIONS!r}])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout.readline() == b"draw;id;size;weight;colour;when\n"
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait()


@pytest.mark.slow
def test_report_writes_a_page(vaefill, folder, tmp_path):
    code, out, err = vaefill("report", folder / "data.csv", "-o", tmp_path / "r.html", *OPTIONS)
    assert (code, out, err) == (0, f"{tmp_path}/r.html\n", "")
    assert (tmp_path / "r.html").read_text("utf-8").startswith("<!")


@pytest.mark.slow
def test_demo_shows_its_page(vaefill, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr("webbrowser.open", lambda address: shown.append(address) or True)
    code, out, err = vaefill("demo", "-o", tmp_path / "demo.html", "--quiet")
    assert (code, out, err) == (0, f"{tmp_path}/demo.html\n", "")
    assert shown == [(tmp_path / "demo.html").as_uri()]
    assert (tmp_path / "demo.html").read_text("utf-8").startswith("<!")
