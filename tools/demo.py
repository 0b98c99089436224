"""Run the whole pipeline on a small data set, in a directory of its own.

``python -m tools.demo`` copies the working tree to ``.demo/``, changes the params there as
``demo.yaml`` says, and runs ``dvc repro``. Neither tracked files nor results are touched.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from study.params import run
from study.report.pages.report import comparison_table
from vaefill.errors import InputError
from vaefill.storage import load_json

DEMO = Path(".demo")
#: What the pipeline starts from, though it lies among the reports.
INPUTS = {
    f"reports/{name}" for name in ("sweep.csv", "imputation/timings.csv", "imputation/timings.json")
}


def copy_tree(target: Path) -> None:
    """Copy the files that git tracks, or would, to `target`; results of runs stay behind.

    Those reports come along that are measured or collected apart from the pipeline.
    """
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        stdout=subprocess.PIPE,
    )
    if listing.returncode:
        raise InputError("git cannot list the project's files; run from a clone of it")
    for name in filter(None, os.fsdecode(listing.stdout).split("\0")):
        source = Path(name)
        result = name == "dvc.lock" or (source.parts[0] == "reports" and name not in INPUTS)
        if not result and source.is_file():
            copy = target / source
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)


def override(params: MutableMapping[str, Any], changes: Mapping[str, Any]) -> None:
    """Change the values of `params` that `changes` names, section by section, in place.

    Raises
    ------
    InputError
        When a key of `changes` is none of `params`.
    """
    for key, value in changes.items():
        if key not in params:
            raise InputError(f"demo.yaml: {key} = {value!r}: params.yaml has no such key")
        if isinstance(value, Mapping):
            override(params[key], value)
        else:
            params[key] = value


def main() -> None:
    """Copy, override, run, and show the comparison."""
    if DEMO.exists():
        shutil.rmtree(DEMO)
    copy_tree(DEMO)
    yaml = YAML()
    params = yaml.load(DEMO / "params.yaml")
    override(params, yaml.load(Path("demo.yaml")))
    yaml.dump(params, DEMO / "params.yaml")
    # The copy is no git repository.
    (DEMO / ".dvc" / "config.local").write_text("[core]\n    no_scm = true\n", "utf-8")

    # The stages' `python` is the one that runs this, whether its venv is active or not.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    repro = subprocess.run(
        [sys.executable, "-m", "dvc", "repro"], cwd=DEMO, env={**os.environ, "PATH": path}
    )
    if repro.returncode:
        raise InputError("the demo's pipeline failed; the reason stands above")
    reports = DEMO / "reports"
    print(f"\n{comparison_table(load_json(reports / 'summary.json'), slides=False).strip()}\n")
    print(f"The whole report, with figures: {reports / 'report.md'}")
    print(f"Which imputer to use when:      {reports / 'imputation.md'}")


if __name__ == "__main__":
    run(main)
