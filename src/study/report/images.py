"""What ``images.json`` holds, in words and tables: intervals over images, and the outliers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from study.report.results import MODELS, Results, elbo_score, image_score
from study.report.summary import compare, rounded
from study.report.tables import (
    CELLS,
    COLUMN_NAMES,
    NAMES,
    NONE,
    cell_names,
    comparison_columns,
    difference,
    difference_header,
    markdown,
    number,
    seed_names,
    verdict,
)
from study.slides import Cell
from vaefill.errors import InputError
from vaefill.metrics.statistics import Interval
from vaefill.storage import load_json

ELBO = Cell("none", NONE, "elbo")
ROWS = (*CELLS, ELBO)


@dataclass(frozen=True)
class Outliers:
    """The test images that one Gaussian run finds least likely, scored by the other seeds' runs.

    Attributes
    ----------
    chosen_on : int
        The seed of that run.
    images : int
        How many.
    seeds : tuple of int
        The other seeds.
    values : dict of Cell to (gauss, t)
        Means over these images, one per other seed.
    """

    chosen_on: int
    images: int
    seeds: tuple[int, ...]
    values: Mapping[Cell, tuple[list[float], list[float]]]


@dataclass(frozen=True)
class Images:
    """The comparison of one recipe's runs image by image.

    Attributes
    ----------
    images, resamples : int
        Test images, and how often they were drawn again.
    intervals : dict of Cell to list of Interval
        t - gauss within each seed, the interval over images.
    outliers : Outliers or None
        None where one seed leaves none to score them.
    """

    images: int
    resamples: int
    intervals: Mapping[Cell, list[Interval]]
    outliers: Outliers | None


def load_images(
    path: str | Path, recipes: Sequence[str], seeds: Sequence[int]
) -> dict[str, Images]:
    """Read the comparison over images of `recipes` and `seeds`.

    Raises
    ------
    InputError
        When the file is missing, or lacks a number of one of them.
    """
    content = load_json(path)
    try:
        return {recipe: _images(content[recipe], seeds) for recipe in recipes}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: no comparison over images of recipes {', '.join(recipes)} and seeds "
            f"{', '.join(map(str, seeds))} in it; `dvc repro` makes it"
        ) from error


def intervals(results: Mapping[str, Results], images: Mapping[str, Images]) -> str:
    """Say what the two kinds of intervals are, and set them beside each other, as Markdown."""
    part, n_seeds = next(iter(images.values())), len(next(iter(results.values())).seeds)
    over_seeds = (
        "With one seed there is none: a spread needs at least two."
        if n_seeds == 1
        else f"It is a Student-t interval on the {n_seeds} differences, one per seed."
    )
    return (
        "- **Over seeds**: what another training would change, on the same test images. "
        f"{over_seeds} The words better and worse in this report rest on it alone.\n"
        "- **Over images**: what other test images would change, for the two trained models of one "
        f"seed. It is a bootstrap interval within that seed: the {part.images:,} images drawn "
        f"again with replacement, {part.resamples:,} times. The table shows half of its width "
        "(the median over seeds), and in how many seeds it excludes 0, with the t prior ahead and "
        "with the t prior behind. It says which of two trained models is better, not which prior: "
        "where both columns count seeds, the seed decided.\n\n"
        f"{_intervals_table(results, images)}"
    )


def outliers(images: Mapping[str, Images]) -> str:
    """Say which images are the outliers, and what the models make of them, as Markdown."""
    found = {recipe: part.outliers for recipe, part in images.items() if part.outliers}
    if not found:
        return (
            "The images that one Gaussian model finds least likely are to be scored by the models "
            "of other seeds, and there is one seed."
        )
    first = next(iter(found.values()))
    return (
        f"The {first.images:,} test images with the lowest ELBO under the Gaussian model of seed "
        f"{first.chosen_on}, per recipe, scored by the models of {seed_names(first.seeds)}: the "
        "noise of the run that chose them does not count. Intervals are over these seeds"
        f"{'' if len(first.seeds) > 1 else ', and one gives none'}.\n\n{_outliers_table(found)}"
    )


def _intervals_table(results: Mapping[str, Results], images: Mapping[str, Images]) -> str:
    several = any(len(runs.seeds) > 1 for runs in results.values())
    header = ["recipe", *NAMES, f"over seeds: {difference_header(several)}"]
    header += ["over images: ±", "over images: t better", "t worse"]
    rows = []
    for recipe, runs in results.items():
        for cell in ROWS:
            score = elbo_score("elbo") if cell == ELBO else image_score(*cell)
            over_seeds = difference(cell.metric, rounded(compare(*runs.paired(score))))
            found = images[recipe].intervals[cell]
            words = [verdict(cell.metric, low, high) for _, low, high in found]
            half = float(np.median([(high - low) / 2 for _, low, high in found]))
            counts = [f"{words.count(word)} of {len(found)}" for word in ("better", "worse")]
            columns = [over_seeds, number(cell.metric, half), *counts]
            rows.append([f"`{recipe}`", *cell_names(cell), *columns])
    return markdown(header, rows, names=4)


def _outliers_table(found: Mapping[str, Outliers]) -> str:
    several = any(len(part.seeds) > 1 for part in found.values())
    header = ["recipe", *NAMES, *COLUMN_NAMES.values(), difference_header(several), "t prior is"]
    rows = [
        [
            f"`{recipe}`",
            *cell_names(cell),
            *comparison_columns(cell.metric, compare(*part.values[cell])),
        ]
        for recipe, part in found.items()
        for cell in ROWS
    ]
    return markdown(header, rows, names=4)


def _images(content: Mapping[str, Any], seeds: Sequence[int]) -> Images:
    bootstrap, chosen = content["bootstrap"], content["outliers"]
    intervals = {}
    for cell in ROWS:
        entries = bootstrap["elbo"]["elbo"] if cell == ELBO else _cell(bootstrap, cell)
        intervals[cell] = [
            Interval(*(_number(entries[str(seed)][key]) for key in ("diff", "low", "high")))
            for seed in seeds
        ]
    return Images(
        images=int(content["images"]),
        resamples=int(content["resamples"]),
        intervals=intervals,
        outliers=None if chosen is None else _outliers(chosen, seeds),
    )


def _outliers(content: Mapping[str, Any], seeds: Sequence[int]) -> Outliers:
    others = tuple(seed for seed in seeds if seed != content["chosen_on"])
    values = {}
    for cell in ROWS:
        models = content["elbo"] if cell == ELBO else _cell(content["scores"], cell)
        gauss, t = ([float(models[model][str(seed)]) for seed in others] for model in MODELS)
        values[cell] = (gauss, t)
    return Outliers(int(content["chosen_on"]), int(content["images"]), others, values)


def _cell(table: Mapping[str, Any], cell: Cell) -> Any:
    return table[cell.mechanism][cell.output][cell.metric]


def _number(value: float | None) -> float:
    """Read an end, which is null where there is one image: it has no interval."""
    return float("nan") if value is None else float(value)
