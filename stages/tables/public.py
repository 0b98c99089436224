"""Stage `public`: cases whose numbers others have published."""

from collections.abc import Sequence
from functools import partial

from stages.tables import HOME
from study.params import Params, Seed, parse_paths, read_params, run
from study.tables import ours, public, rivals, trial
from vaefill.storage import save_table


class PublicParams(Params):
    """What the stage reads."""

    rivals: list[str]
    seeds: list[Seed]


def main(argv: Sequence[str] | None = None) -> None:
    """Write a row per case, imputer and seed."""
    args = parse_paths(argv, "--out")
    params = read_params(PublicParams, HOME)
    imputers: dict[str, trial.Impute] = {name: partial(ours.impute, name) for name in ours.OURS}
    imputers |= {name: partial(rivals.impute, name) for name in params.rivals}
    save_table(args.out, public.COLUMNS, public.run(imputers, params.seeds))


if __name__ == "__main__":
    run(main)
