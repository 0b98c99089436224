import re

import pytest
import torch
from conftest import ROOT

from tools import readme
from vaefill.errors import InputError
from vaefill.models.vae import VAE, save_vae

README = (
    "# Title\n\n<!-- result -->\nold\n<!-- /result -->\n\nwords\n"
    "<!-- imputers -->\n<!-- /imputers -->\n"
)
REPORT = (
    "# Question?\n\n**Answer.**\n\n- Why.\n\n## Section\n\nMore.\n\n"
    "## Which imputer to use when\n\n- This.\n\n![a](b.png)\n\n| table |\n\n## Last\n\nEnd.\n"
)
BLOCK = "**Answer.**\n\n- Why.\n\n| ['b', 'a'] | True |"  # recipes as in params.yaml
CURRENT = (
    f"# Title\n\n<!-- result -->\n{BLOCK}\n<!-- /result -->\n\nwords\n"
    "<!-- imputers -->\n- This.\n<!-- /imputers -->\n"
)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A directory with a README and a report whose result is `BLOCK`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        readme,
        "comparison_table",
        lambda summary, *, slides: f"| {list(summary)} | {slides} |",
    )
    (tmp_path / "params.yaml").write_text("dataset: mnist\nrecipes: [b, a]\n", "utf-8")
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "summary.json").write_text('{"a": 1, "b": 2}', "utf-8")
    (tmp_path / "reports" / "report.md").write_text(REPORT, "utf-8")
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


def test_other_data_has_no_slides_beside_it(project):
    (project / "params.yaml").write_text("dataset: digits\nrecipes: [a, b]\n", "utf-8")
    readme.main([])
    assert "| ['a', 'b'] | False |" in (project / "README.md").read_text("utf-8")


@pytest.mark.parametrize("name", ["report.md", "summary.json"])
def test_a_result_that_is_missing_is_named(project, name):
    (project / "reports" / name).unlink()
    with pytest.raises(InputError, match=f"{name}: no such file; `dvc repro` makes it"):
        readme.main([])


def test_a_summary_of_other_recipes_is_refused(project):
    (project / "params.yaml").write_text("dataset: mnist\nrecipes: [a]\n", "utf-8")
    with pytest.raises(InputError, match=r"of recipes a, b, but params\.yaml has recipes a;"):
        readme.main([])


def test_backslashes_of_the_block_are_not_read_as_groups():
    assert r"\1 \g<0>" in readme.replace_block(README, "result", r"\1 \g<0>")


@pytest.mark.parametrize(
    "text",
    [
        "no markers",
        "<!-- result -->",
        "<!-- /result --> <!-- result -->",
        README + README,
    ],
)
def test_markers_must_be_one_pair_in_order(text):
    with pytest.raises(InputError, match=r"README\.md: needs one <!-- result -->"):
        readme.replace_block(text, "result", "new")


def test_the_library_examples_run(tmp_path, monkeypatch):
    text = (ROOT / "README.md").read_text("utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    monkeypatch.chdir(tmp_path)
    (path,) = re.findall(r'"(models/.*?)"', code)
    save_vae(path, VAE("t", df=21, generator=torch.Generator()))
    names: dict[str, torch.Tensor] = {}
    exec(code, names)
    observed = ~names["missing"]
    assert torch.equal(names["filled"][observed], names["images"][observed])
    assert names["found"].codes.shape == (100, 3, 10)


def test_the_commands_exist():
    text = (ROOT / "README.md").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:`|    )make ([a-z-]+)", text))
    assert named >= {"demo", "test", "report", "help"}
    assert named <= targets
