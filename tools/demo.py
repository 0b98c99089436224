"""Run the whole pipeline on a small data set, in a directory of its own.

``python -m tools.demo`` copies the working tree to ``.demo/``, changes the params there as
``demo.yaml`` says, and runs the pipeline. Neither tracked files nor results are touched.
"""

import argparse
import os
import shutil
import subprocess
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from study import params
from tools import run
from vaefill.errors import InputError
from vaefill.storage import write_text

DEMO = Path(".demo")
#: What the pipeline starts from, though it lies among the reports.
INPUTS = {
    f"reports/{name}"
    for name in (
        "sweep.csv", "factors.csv", "imputation/left_out.csv", "imputation/timings.csv",
        "imputation/timings.json",
    )
}  # fmt: skip


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


def override(values: MutableMapping[str, Any], changes: Mapping[str, Any]) -> None:
    """Change the values that `changes` names, section by section, in place.

    Raises
    ------
    InputError
        When a key of `changes` is none of `values`.
    """
    for key, value in changes.items():
        if key not in values:
            raise InputError(f"demo.yaml: {key} = {value!r}: params.yaml has no such key")
        if isinstance(value, Mapping):
            override(values[key], value)
        else:
            values[key] = value


def main(argv: Sequence[str] | None = None) -> None:
    """Copy, override, run, and show the comparison."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    run.add_arguments(parser)
    args = parser.parse_args(argv)
    if DEMO.exists():
        shutil.rmtree(DEMO)
    copy_tree(DEMO)
    values = params.read_yaml("params.yaml")
    override(values, params.read_yaml("demo.yaml"))
    write_text(DEMO / "params.yaml", yaml.safe_dump(values, sort_keys=False))
    # The copy is no git repository.
    write_text(DEMO / ".dvc" / "config.local", "[core]\n    no_scm = true\n")
    os.chdir(DEMO)
    run.run(args.jobs, args.scheduler)
    # A second that workers do without.
    from study.report.pages.report import comparison_table
    from study.report.runs import load_metrics

    reports = DEMO / "reports"
    scores = load_metrics("reports", values["recipes"], values["seeds"]).scores
    print(f"\n{comparison_table(scores)}\n")
    print(f"The whole report, with figures: {reports / 'report.md'}")
    print(f"Which imputer to use when:      {reports / 'imputation.md'}")
    print(f"Where the time went:            {reports / 'times.md'}")


if __name__ == "__main__":
    params.run(main)
