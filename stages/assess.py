"""Stages `assess` and `assess_masked`: score the imputers of one recipe."""

from collections.abc import Sequence
from functools import partial
from itertools import product

import numpy as np

from study.params import Count, NetworkSeeds, Params, Seeds, parse_paths, read_params, run
from study.trials.assessment import COLUMNS, Row, Source, in_order, source_rows
from study.trials.comparison import MODELS
from study.trials.recognition import accuracy, load_classifier
from study.trials.tiles import save_tiles
from vaefill import storage

PICTURED = "square"  # what is missing in the sheets of draws: there is more than one way to go on


class AssessSection(Params):
    """Section `assess`."""

    shown: list[str]
    pooled: str


class InferSection(Params, extra="ignore"):
    """What is read of section `infer`."""

    recipe: str
    seeds: Seeds
    methods: list[str]
    images: Count


class MaskedSection(Params, extra="ignore"):
    """What is read of section `masked`."""

    seeds: NetworkSeeds
    methods: list[str]


class AssessParams(Params):
    """What the stages read."""

    assess: AssessSection
    infer: InferSection
    masked: MaskedSection
    threads: Count


def sources(recipe: str, params: AssessParams) -> list[Source]:
    """Name every method with every model that it was used with."""
    infer, masked = params.infer, params.masked
    if recipe == infer.recipe:
        seeds, methods = infer.seeds, infer.methods
    else:
        seeds, methods = masked.seeds[recipe], masked.methods
    return [Source(recipe, *run) for run in product(MODELS, seeds, methods)]


def main(argv: Sequence[str] | None = None) -> None:
    """Write the scores, and sheets of draws."""
    args = parse_paths(
        argv, "--split", "--missing", "--classifier", "--inferred", "--scores", "--draws",
        recipe=str,
    )  # fmt: skip
    params = read_params(AssessParams)
    split = storage.load_arrays(args.split)
    missing = storage.load_arrays(args.missing)
    classifier = load_classifier(args.classifier)
    images = split["test_images"] / np.float32(255)
    labels = split["test_labels"][: params.infer.images]
    recognised = partial(accuracy, classifier, labels=labels)
    rows: list[Row] = []
    for source in sources(args.recipe, params):
        name = f"{source.model}-{source.seed}"
        found = storage.load_arrays(args.inferred / f"{name}-{source.method}.npz")
        rows += source_rows(source, found, images, missing, recognised=recognised)
        if source.method in params.assess.shown:
            save_tiles(args.draws / f"{name}.png", found[f"{PICTURED}/sheet"])
    storage.save_table(args.scores, COLUMNS, in_order(rows))


if __name__ == "__main__":
    run(main)
