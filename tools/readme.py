"""Put the results of the last pipeline run into the README, or check that they are there.

Run as ``python -m tools.readme [--check]`` from the project's root.
"""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from study.params import Params, read_params, run
from study.report.imputation_page import TITLE
from study.report.tables import comparison_table
from vaefill.errors import InputError
from vaefill.storage import load_json, write_text

REPORT, SUMMARY = Path("reports/report.md"), Path("reports/summary.json")


class RunParams(Params):
    """What the block reads of the params."""

    dataset: str
    recipes: list[str]


def result(report: str, summary: Mapping[str, Any], *, slides: bool) -> str:
    """Take the conclusion from the report, and add the compact tables.

    Parameters
    ----------
    report : str
        ``report.md``: a title, the conclusion, then sections with titles of their own.
    summary : dict
        As ``summary.json`` holds it.
    slides : bool
        Whether the slides' numbers may stand beside these.
    """
    conclusion = report.split("\n## ")[0].split("\n", 1)[1].strip()
    return f"{conclusion}\n\n{comparison_table(summary, slides=slides)}"


def imputers(report: str) -> str:
    """Take from the report which imputer to use when; its figure and table stay behind."""
    _, _, section = report.partition(f"\n## {TITLE}\n")
    return section.split("\n## ")[0].split("\n![")[0].strip()


def replace_block(text: str, name: str, block: str) -> str:
    """Replace what stands between the two markers of this name by `block`, on lines of its own.

    Raises
    ------
    InputError
        When `text` does not have exactly one pair of markers, in order.
    """
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    if text.count(start) != 1 or text.count(end) != 1 or not pattern.search(text):
        raise InputError(f"README.md: needs one {start} and after it one {end}; put them back")
    return pattern.sub(lambda _: f"{start}\n{block.strip()}\n{end}", text)


def main(argv: Sequence[str] | None = None) -> None:
    """Rewrite ``README.md``, or with ``--check`` exit with 1 when that would change it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if outdated")
    check = parser.parse_args(argv).check
    readme = Path("README.md")
    before = readme.read_text("utf-8")
    if not REPORT.exists():
        raise InputError(f"{REPORT}: no such file; `dvc repro` makes it")
    params = read_params(RunParams)
    summary = load_json(SUMMARY)
    if set(summary) != set(params.recipes):
        raise InputError(
            f"{SUMMARY}: of recipes {', '.join(summary)}, but params.yaml has recipes "
            f"{', '.join(params.recipes)}; `dvc repro` brings it up to date"
        )
    summary = {recipe: summary[recipe] for recipe in params.recipes}
    report = REPORT.read_text("utf-8")
    block = result(report, summary, slides=params.dataset == "mnist")
    after = replace_block(before, "result", block)
    after = replace_block(after, "imputers", imputers(report))
    if after == before:
        return
    if check:
        sys.exit("README.md: its result is not that of reports/; run `python -m tools.readme`")
    write_text(readme, after)


if __name__ == "__main__":
    run(main)
