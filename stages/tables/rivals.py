"""Stage `rivals`: score what people use today on one table under one condition."""

from collections.abc import Sequence
from functools import partial

from stages.tables import HOME
from study.params import Count, Params, Seed, parse_paths, read_params, run
from study.tables import trial
from study.tables.hiding import Condition
from study.tables.rivals import impute
from vaefill.storage import load_array, save_table


class RivalsParams(Params):
    """What the stage reads."""

    rivals: list[str]
    left_out: dict[str, list[str]]
    seeds: list[Seed]
    n_draws: Count


def main(argv: Sequence[str] | None = None) -> None:
    """Write a row per seed and rival."""
    args = parse_paths(argv, "--data", "--out", table=str, condition=str)
    params = read_params(RivalsParams, HOME)
    names = [n for n in params.rivals if args.table not in params.left_out.get(n, [])]
    rows = trial.run(
        args.table,
        load_array(args.data),
        Condition.parse(args.condition),
        {name: partial(impute, name) for name in names},
        seeds=params.seeds,
        n_draws=params.n_draws,
        complete=True,
    )
    save_table(args.out, trial.COLUMNS, rows)


if __name__ == "__main__":
    run(main)
