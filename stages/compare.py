"""Stage `compare`: both models' runs side by side, as means over seeds."""

from collections.abc import Sequence
from typing import Annotated

import pandas as pd
from pydantic import Field

from study.params import Params, Seeds, parse_paths, read_params, run
from study.trials.comparison import averages, load_figures, rows
from vaefill.storage import save_json

COLUMNS = ("", "gauss", "t", "t - gauss", "95 % from", "to")


class CompareParams(Params):
    """What `compare` reads."""

    seeds: Seeds
    recipes: Annotated[list[str], Field(min_length=1)]


def main(argv: Sequence[str] | None = None) -> None:
    """Write what experiments are compared by, and show it as a table."""
    args = parse_paths(argv, "--metrics", "--out")
    params = read_params(CompareParams)
    figures = {
        recipe: load_figures(args.metrics / recipe, params.seeds) for recipe in params.recipes
    }
    save_json(args.out, {recipe: averages(found) for recipe, found in figures.items()})
    for recipe, found in figures.items():
        print(f"\n{recipe}: imputed images and ELBO (nats), seeds {params.seeds}")
        table = pd.DataFrame(rows(found), columns=COLUMNS)
        print(table.to_markdown(index=False, floatfmt=".4g"))


if __name__ == "__main__":
    run(main)
