"""The README: its computed blocks, its code, its commands, its length."""

import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT

from tools import readme
from vaefill.errors import InputError

README = "# Title\n\n<!-- result -->\nold\n<!-- /result -->\n\nwords\n"
CURRENT = "# Title\n\n<!-- result -->\nnew \\1\n<!-- /result -->\n\nwords\n"
TABLE = "a,b,c\n" + "".join(
    f"{i},{2 * i if i % 5 else ''},{'even' if i % 2 else 'odd'}\n" for i in range(40)
)
PARAMS = "dataset: mnist\nrecipes: [b, a]\nseeds: [0]\ninfer: {recipe: b}\nmasked: {networks: []}\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A directory with a README and params, whose result is ``new``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(readme, "blocks", lambda reports, params: {"result": "new \\1\n"})
    (tmp_path / "params.yaml").write_text(PARAMS, "utf-8")
    (tmp_path / "README.md").write_text(README, "utf-8")
    return tmp_path


def test_the_block_and_nothing_else_is_replaced(project):
    readme.main([])
    assert (project / "README.md").read_text("utf-8") == CURRENT
    readme.main(["--check"])  # and is then found current


def test_check_fails_on_another_result_and_changes_nothing(project):
    with pytest.raises(SystemExit, match="not that of reports"):
        readme.main(["--check"])
    assert (project / "README.md").read_text("utf-8") == README


@pytest.mark.parametrize(
    "text",
    ["no markers", "<!-- result -->", "<!-- /result --> <!-- result -->", README + README],
)
def test_markers_must_be_one_pair_in_order(text):
    with pytest.raises(InputError, match=r"README\.md: needs one <!-- result -->"):
        readme.replace_block(text, "result", "new")


def test_results_of_a_recipe_that_is_not_there_are_named(tmp_path):
    params = readme.RunParams(
        dataset="mnist", recipes=["b"], seeds=[0],
        infer={"recipe": "b"}, masked={"networks": []},
    )  # fmt: skip
    with pytest.raises(InputError, match=r"metrics/b/gauss\.csv: no such file"):
        readme.blocks(tmp_path, params)


def test_the_committed_readme_is_short_and_shows_a_figure_for_each_question():
    text = (ROOT / "README.md").read_text("utf-8")
    assert len(text.splitlines()) <= 130
    figures = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert figures == ["docs/benchmark/ratios.png", "reports/figures/comparison.png"]
    for link in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (ROOT / link).exists(), link


def test_the_table_example_runs(tmp_path, monkeypatch):
    text = (ROOT / "README.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table.csv").write_text(TABLE, "utf-8")
    names = {}
    exec(code.replace("random_state=0", "random_state=0, max_iter=20"), names)
    assert names["table"]["b"].isna().sum() == 8
    for frame in (names["filled"], names["lower"], names["upper"], *names["draws"]):
        assert not frame.isna().to_numpy().any()
        assert frame["c"].equals(names["table"]["c"])


@pytest.mark.slow
def test_the_three_commands_fill_a_file(tmp_path):
    text = (ROOT / "README.md").read_text("utf-8")
    (tmp_path / "table.csv").write_text(TABLE, "utf-8")
    commands = re.findall(r"^\$ vaefill (.*)$", text, re.MULTILINE)
    for command in commands:
        main = [sys.executable, "-c", "from vaefill.cli import main; main()", *command.split()]
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
        subprocess.run(main, cwd=tmp_path, env=environment, check=True)
    assert [command.split()[0] for command in commands] == ["fit", "impute", "report"]
    rows = (tmp_path / "filled.csv").read_text("utf-8").splitlines()
    assert len(rows) == 41
    assert not any(",," in row for row in rows)
    assert "data:image/svg" in (tmp_path / "report.html").read_text("utf-8")


def test_the_commands_exist():
    text = (ROOT / "README.md").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:`|    )make ([a-z-]+)", text))
    assert named >= {"demo", "test", "report", "help"}
    assert named <= targets
