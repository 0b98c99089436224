"""Put the results of the last pipeline run into the README, or check that they are there.

Run as ``python -m tools.readme [--check]`` from the project's root.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from study.params import Params, read_params, run
from study.report.control import load as load_control
from study.report.control import section
from study.report.factors import read_factors
from study.report.imputers import load
from study.report.pages.imputation import imputers
from study.report.pages.report import answer
from study.report.render import render
from study.report.runs import load_metrics
from study.tables import page as tables
from study.tables.results import load as load_tables
from study.trials.sweep import TrainingParams
from vaefill.errors import InputError
from vaefill.storage import write_text

#: Where the benchmark's params lie.
BENCHMARK = "benchmarks/tables"


class RunParams(Params):
    """What the blocks read of the params."""

    dataset: str
    infer: dict[str, Any]
    masked: dict[str, Any]
    recipes: list[str]
    seeds: list[int]


class BenchmarkParams(Params):
    """What the block of tables reads of the benchmark's params."""

    conditions: list[str]


def blocks(reports: Path, params: RunParams) -> dict[str, str]:
    """Render what stands between the markers of each name."""
    metrics = load_metrics(reports, params.recipes, params.seeds)
    recipes = [params.infer["recipe"], *params.masked["networks"]]
    tried = load(reports, recipes, dataset=params.dataset)
    control = section(load_control(reports / "control.csv"))
    factors = read_factors(reports / "factors.csv", "factors.yaml", read_params(TrainingParams))
    page = answer(metrics.scores, dataset=params.dataset, control=control, factors=factors)
    page |= {"imputers": imputers(tried), "reports": f"{reports}/"}
    conditions = read_params(BenchmarkParams, BENCHMARK).conditions
    measured = tables.answer(load_tables(reports / "tables", conditions), "docs/")
    return {
        "tables": render("answer.md.j2", measured, tables.TEMPLATES),
        **{name: render(f"{name}.md.j2", page) for name in ("result", "imputers")},
    }


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
    before = after = readme.read_text("utf-8")
    for name, block in blocks(Path("reports"), read_params(RunParams)).items():
        after = replace_block(after, name, block)
    if check and after != before:
        sys.exit("README.md: its result is not that of reports/; run `python -m tools.readme`")
    if after != before:
        write_text(readme, after)


if __name__ == "__main__":
    run(main)
