"""Put the result of the last pipeline run into the README, or check that it is there.

Run as ``python -m tools.readme [--check]`` from the project's root.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from vaefill.errors import InputError
from vaefill.pipeline import Params, read_params, run
from vaefill.report import readme_block
from vaefill.storage import load_json, write_text

START, END = "<!-- result -->", "<!-- /result -->"


class RunParams(Params):
    """What the block reads of the params."""

    seeds: list[int]


def replace_block(text: str, block: str) -> str:
    """Replace what stands between the two markers by `block`, on lines of its own.

    Raises
    ------
    InputError
        When `text` does not have exactly one pair of markers, in order.
    """
    pattern = re.compile(f"{re.escape(START)}.*?{re.escape(END)}", re.DOTALL)
    if text.count(START) != 1 or text.count(END) != 1 or not pattern.search(text):
        raise InputError(f"README.md: needs one {START} and after it one {END}; put them back")
    return pattern.sub(lambda _: f"{START}\n{block.strip()}\n{END}", text)


def main(argv: Sequence[str] | None = None) -> None:
    """Rewrite ``README.md``, or with ``--check`` exit with 1 when that would change it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if outdated")
    check = parser.parse_args(argv).check
    readme = Path("README.md")
    before = readme.read_text("utf-8")
    summary = load_json("reports/summary.json")
    block = readme_block(summary, n_seeds=len(read_params(RunParams).seeds))
    after = replace_block(before, block)
    if after == before:
        return
    if check:
        sys.exit("README.md: its result is not that of reports/; run `python -m tools.readme`")
    write_text(readme, after)


if __name__ == "__main__":
    run(main)
