"""Stage `ours`: score `VAEImputer` on one table under one condition."""

from collections.abc import Sequence
from functools import partial

from stages.tables import HOME
from study.params import Count, Params, Seed, parse_paths, read_params, run
from study.tables import trial
from study.tables.hiding import Condition
from study.tables.ours import OURS, impute
from vaefill.storage import load_array, save_table


class OursParams(Params):
    """What the stage reads."""

    seeds: list[Seed]
    n_draws: Count


def main(argv: Sequence[str] | None = None) -> None:
    """Write a row per seed and setting."""
    args = parse_paths(argv, "--data", "--out", table=str, condition=str)
    params = read_params(OursParams, HOME)
    rows = trial.run(
        args.table,
        load_array(args.data),
        Condition.parse(args.condition),
        {name: partial(impute, name) for name in OURS},
        seeds=params.seeds,
        n_draws=params.n_draws,
    )
    save_table(args.out, trial.COLUMNS, rows)


if __name__ == "__main__":
    run(main)
