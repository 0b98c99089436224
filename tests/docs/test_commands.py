"""Every command on the pages is run as it stands, with the files that they show."""

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

PAGES = sorted((ROOT / "docs").glob("*.md"))
FENCE = re.compile(
    r"(?:<!-- not run: (.*?) -->\n)?^```(\w+)(?: title=\"(.*?)\")?\n(.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
#: A line that begins with `$ ` is a command, and what follows is what it shows, if anything.
COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
#: Digits that follow the imputer: that they are numbers is compared, not which.
#: A comma with three digits behind it is one of thousands or of decimals; others end a cell.
DECIMALS = re.compile(r"\d+\.\d+|\d+(?:,\d{3,})+")
#: What is shown but not run, and why.
NOT_RUN = {
    "cluster.md": ["needs a cluster", "needs Slurm"],
    "large.md": ["needs a file of 50 GB"],
}
#: The command as pip writes it, but of this checkout, whatever is installed.
VAEFILL = f"""#!{sys.executable}
from vaefill.cli import main
if __name__ == "__main__":
    main()
"""


@pytest.fixture
def shell(tmp_path_factory, monkeypatch):
    """An environment in which the commands are found."""
    command = tmp_path_factory.mktemp("bin") / "vaefill"
    command.write_text(VAEFILL, "utf-8")
    command.chmod(0o755)
    path = [str(command.parent), str(Path(sys.executable).parent), os.environ["PATH"]]
    monkeypatch.setenv("PATH", os.pathsep.join(path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def blocks(page):
    return FENCE.findall(page.read_text("utf-8"))


@pytest.mark.slow
@pytest.mark.usefixtures("shell")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_do_what_the_page_shows(page, tmp_path):
    for reason, language, title, text in blocks(page):
        if title:
            (tmp_path / title).write_text(text, "utf-8")
        elif language == "console" and not reason:
            for command, shown in COMMAND.findall(text):
                check(command, shown, tmp_path)


def check(command, shown, folder):
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder, timeout=600, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == (2 if "vaefill: error:" in shown else 0), f"{command}\n{done.stdout}"
    if shown:
        texts = (DECIMALS.sub("0.0", text) for text in (shown, done.stdout))
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        same = doctest.OutputChecker().check_output(*texts, flags)
        assert same, f"{command}\nshows\n{done.stdout}and not\n{shown}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_not_run_says_so(page):
    reasons = {reason for reason, *_ in blocks(page) if reason}
    assert reasons == set(NOT_RUN.get(page.name, []))
    for reason, language, title, text in blocks(page):
        assert language in ("console", "python", "math", "mermaid", "text"), language
        if language == "console":
            assert text.startswith("$ "), text
        if language == "python" and not (reason or title):
            assert ">>> " in text, text
