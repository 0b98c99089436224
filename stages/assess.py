"""Stage `assess`: score every imputer on the test images."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from study.params import Params, parse_paths, read_params, run
from study.report.runs import SCORE_COLUMNS
from study.trials.assessment import Row, Source, accuracy_rows, in_order, ink_rows, uncertainty_rows
from study.trials.recognition import accuracy, train_classifier
from study.trials.tiles import save_tiles
from vaefill import storage

MODELS = ("gauss", "t")
PICTURED = "square"  # what is missing in the sheets of draws: there is more than one way to go on


class Section(Params):
    """Section `assess`."""

    seed: Annotated[int, Field(ge=0)]
    shown: list[str]
    pooled: str


class AssessParams(Params):
    """What `assess` reads."""

    assess: Section
    infer: dict[str, Any]
    masked: dict[str, Any]


def sources(params: AssessParams) -> Iterator[Source]:
    """Name every method with every model that it was used with."""
    infer, masked = params.infer, params.masked
    methods = {infer["recipe"]: infer["methods"]}
    methods |= {networks: masked["methods"] for networks in masked["networks"]}
    for recipe, names in methods.items():
        for model in MODELS:
            for seed in infer["seeds"]:
                yield from (Source(recipe, model, seed, name) for name in names)


def main(argv: Sequence[str] | None = None) -> None:
    """Write the scores, the worked example of Rubin's rules, and sheets of draws."""
    args = parse_paths(
        argv, "--split", "--missing", "--baselines", "--inferred",
        "--scores", "--rubin", "--draws",
    )  # fmt: skip
    params = read_params(AssessParams)
    section = params.assess
    split = storage.load_arrays(args.split)
    missing = storage.load_arrays(args.missing)
    images, labels = split["test_images"] / np.float32(255), split["test_labels"]
    classifier = train_classifier(split["train_images"], split["train_labels"], seed=section.seed)

    def recognised(filled: Any) -> float:
        return accuracy(classifier, filled, labels)

    rows: list[Row] = [
        ("", "complete", "", "none", "", "", "image", "accuracy", recognised(images))
    ]
    for name, prediction in storage.load_arrays(args.baselines).items():
        mechanism, model = name.split("/")
        rows += accuracy_rows(
            Source("", model, "", ""), mechanism, prediction, images, missing[mechanism],
            recognised=recognised,
        )  # fmt: skip
    pooled = Source(section.pooled, "gauss", params.infer["seeds"][0], "draws")
    for source in sources(params):
        found = storage.load_arrays(_path(args.inferred, source))
        for mechanism, gaps in missing.items():
            start = f"{mechanism}/"
            part = {k.removeprefix(start): v for k, v in found.items() if k.startswith(start)}
            rows += accuracy_rows(
                source, mechanism, part["mean"], images, gaps, recognised=recognised
            )
            rows += uncertainty_rows(source, mechanism, part)
        if source.method in section.shown:
            name = f"{source.recipe}-{source.model}-{source.seed}.png"
            save_tiles(args.draws / name, found[f"{PICTURED}/sheet"])
        if source == pooled:
            ink = found[f"{PICTURED}/ink"]
            some = slice(ink.shape[1])
            table = ink_rows(
                split["test_images"][some], missing[PICTURED][some],
                found[f"{PICTURED}/mean"][some], ink, labels[some],
            )  # fmt: skip
            columns = ("digit", "source", "estimate", "low", "high", "fmi")
            storage.save_table(args.rubin, columns, table)
    storage.save_table(args.scores, SCORE_COLUMNS, in_order(rows))


def _path(inferred: Path, source: Source) -> Path:
    return inferred / source.recipe / f"{source.model}-{source.seed}-{source.method}.npz"


if __name__ == "__main__":
    run(main)
