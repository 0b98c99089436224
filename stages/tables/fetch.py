"""Stage `fetch`: the tables, and where each is from."""

from collections.abc import Sequence

from stages.tables import HOME
from study.params import Params, parse_paths, read_params, run
from study.tables.data import TABLES, load_tables
from vaefill.storage import save_array, save_table


class FetchParams(Params):
    """What the stage reads."""

    tables: list[str]


def main(argv: Sequence[str] | None = None) -> None:
    """Write every table, and a line on each."""
    args = parse_paths(argv, "--out", "--list")
    params = read_params(FetchParams, HOME)
    rows = []
    for name, values in load_tables(params.tables).items():
        save_array(args.out / f"{name}.npy", values)
        rows.append((name, *values.shape, *TABLES[name]))
    save_table(args.list, ("table", "rows", "columns", "package", "source"), rows)


if __name__ == "__main__":
    run(main)
