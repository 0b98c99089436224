"""Stage `images`: both models' runs side by side image by image, and on the hardest images."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from study.params import Count, Params, Seed, Seeds, parse_paths, read_params, run
from study.trials.comparison import COLUMNS, compare
from vaefill.storage import save_table


class Section(Params):
    """Section `compare`."""

    seed: Seed
    # The ends of a 95 % interval are the 2.5 % tails: fewer say nothing about them.
    n_resamples: Annotated[int, Field(ge=100)]
    outliers: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]


class ImagesParams(Params):
    """What `images` reads."""

    seeds: Seeds
    recipes: Annotated[list[str], Field(min_length=1)]
    compare: Section
    threads: Count


def main(argv: Sequence[str] | None = None) -> None:
    """Write the comparison of every recipe as one table."""
    args = parse_paths(argv, "--scores", "--out")
    params = read_params(ImagesParams)
    section = params.compare
    rows = [
        (recipe, *row)
        for recipe in params.recipes
        for row in compare(
            args.scores / recipe,
            params.seeds,
            n_resamples=section.n_resamples,
            share=section.outliers,
            seed=section.seed,
        )
    ]
    save_table(args.out, ("recipe", *COLUMNS), rows)


if __name__ == "__main__":
    run(main)
