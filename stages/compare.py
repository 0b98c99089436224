"""Stage `compare`: both models' runs side by side, over seeds and image by image."""

from collections.abc import Sequence
from typing import Annotated

import pandas as pd
from pydantic import Field

from study.params import Count, Params, Seed, parse_paths, read_params, run
from study.trials.comparison import averages, compare, load_figures, rows
from vaefill.storage import save_json

COLUMNS = ("", "gauss", "t", "t - gauss", "95 % from", "to")


class Section(Params):
    """Section `compare`."""

    seed: Seed
    # The ends of a 95 % interval are the 2.5 % tails: fewer say nothing about them.
    n_resamples: Annotated[int, Field(ge=100)]
    outliers: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]


class CompareParams(Params):
    """What `compare` reads."""

    seeds: Annotated[list[Seed], Field(min_length=1)]
    recipes: Annotated[list[str], Field(min_length=1)]
    compare: Section
    threads: Count


def main(argv: Sequence[str] | None = None) -> None:
    """Write one comparison per recipe, and show the means."""
    args = parse_paths(argv, "--scores", "--metrics", "--out", "--averages")
    params = read_params(CompareParams)
    section = params.compare
    figures = {
        recipe: load_figures(args.metrics / recipe, params.seeds) for recipe in params.recipes
    }
    compared = {
        recipe: compare(
            args.scores / recipe,
            params.seeds,
            n_resamples=section.n_resamples,
            share=section.outliers,
            seed=section.seed,
        )
        for recipe in params.recipes
    }
    save_json(args.out, compared)
    save_json(args.averages, {recipe: averages(figures[recipe]) for recipe in params.recipes})
    for recipe in params.recipes:
        table = pd.DataFrame(rows(figures[recipe]), columns=COLUMNS)
        print(f"\n{recipe}: imputed images and ELBO (nats), seeds {params.seeds}")
        print(table.to_markdown(index=False, floatfmt=".4g"))


if __name__ == "__main__":
    run(main)
