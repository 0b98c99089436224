import re

import pytest
import torch
from conftest import ROOT

from tools import readme
from vaefill.errors import InputError
from vaefill.vae import VAE, save_vae

README = "# Title\n\n<!-- result -->\nold\n<!-- /result -->\n\nwords\n"
CURRENT = "# Title\n\n<!-- result -->\n| 0.5 | 2 |\n<!-- /result -->\n\nwords\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A directory with a README and a summary that renders as ``| 0.5 | 2 |``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        readme, "readme_block", lambda summary, *, n_seeds: f"| {summary['mse']} | {n_seeds} |\n"
    )
    (tmp_path / "params.yaml").write_text("seeds: [0, 1]\n", "utf-8")
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "summary.json").write_text('{"mse": 0.5}', "utf-8")
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


def test_backslashes_of_the_block_are_not_read_as_groups():
    assert r"\1 \g<0>" in readme.replace_block(README, r"\1 \g<0>")


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
        readme.replace_block(text, "new")


def test_the_library_example_runs(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    save_vae("models/t-0.safetensors", VAE("t", df=21, generator=torch.Generator()))
    names: dict[str, torch.Tensor] = {}
    exec(code, names)
    observed = ~names["missing"]
    assert torch.equal(names["filled"][observed], names["images"][observed])


def test_the_commands_exist():
    text = (ROOT / "README.md").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:`|    )make ([a-z-]+)", text))
    assert named >= {"demo", "test", "report", "help"}
    assert named <= targets
