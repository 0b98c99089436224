"""Stage `control_table`: the scores of the control, all in one tracked table."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from study.control.cases import COLUMNS
from study.params import Params, parse_paths, read_params, run
from vaefill.storage import load_table, save_table


class TableParams(Params):
    """What `control_table` reads; all of it is checked by `control`."""

    control: dict[str, Any]


def main(argv: Sequence[str] | None = None) -> None:
    """Join the tables of a folder."""
    args = parse_paths(argv, "--scores", "--out")
    seeds = map(str, read_params(TableParams).control["seeds"])
    tables = [pd.DataFrame(load_table(path)) for path in sorted(args.scores.glob("*.csv"))]
    rows = pd.concat(tables)[list(COLUMNS)]
    save_table(args.out, COLUMNS, rows[rows["seed"].isin(list(seeds))].itertuples(index=False))


if __name__ == "__main__":
    run(main)
