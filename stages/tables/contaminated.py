"""Stage `contaminated`: latent spaces and likelihoods where observed cells are spoiled."""

from collections.abc import Sequence
from functools import partial

from stages.tables import HOME
from study.params import Params, Seed, parse_paths, read_params, run
from study.tables import trial
from study.tables.hiding import Condition
from study.tables.ours import VARIANTS, fill
from vaefill.storage import load_array, save_table


class Section(Params):
    """Section `contamination`."""

    tables: list[str]
    condition: str
    shares: list[float]
    size: float
    seeds: list[Seed]


class ContaminatedParams(Params):
    """What the stage reads."""

    contamination: Section


def main(argv: Sequence[str] | None = None) -> None:
    """Write a row per share, seed and variant."""
    args = parse_paths(argv, "--data", "--out", table=str)
    section = read_params(ContaminatedParams, HOME).contamination
    rows = trial.run_contaminated(
        args.table,
        load_array(args.data),
        Condition.parse(section.condition),
        {name: partial(fill, **settings) for name, settings in VARIANTS.items()},
        shares=section.shares,
        size=section.size,
        seeds=section.seeds,
    )
    save_table(args.out, trial.CONTAMINATED_COLUMNS, rows)


if __name__ == "__main__":
    run(main)
