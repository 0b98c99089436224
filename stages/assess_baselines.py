"""Stage `assess_baselines`: score the imputers that need no VAE."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from study.params import Count, Params, parse_paths, read_params, run
from study.trials.assessment import COLUMNS, Source, complete_row, in_order, source_rows
from study.trials.recognition import accuracy, load_classifier
from vaefill import storage


class AssessBaselinesParams(Params):
    """What `assess_baselines` reads."""

    infer: dict[str, Any]
    threads: Count


def main(argv: Sequence[str] | None = None) -> None:
    """Write the scores, beside them how well complete images are read."""
    args = parse_paths(argv, "--split", "--missing", "--classifier", "--inferred", "--scores")
    n = read_params(AssessBaselinesParams).infer["images"]
    split = storage.load_arrays(args.split)
    missing = storage.load_arrays(args.missing)
    classifier = load_classifier(args.classifier)
    images, labels = split["test_images"][:n] / np.float32(255), split["test_labels"][:n]
    recognised = partial(accuracy, classifier, labels=labels)
    rows = [complete_row(recognised(images))]
    for path in args.inferred.glob("*.npz"):
        source, found = Source("", path.stem, "", ""), storage.load_arrays(path)
        rows += source_rows(source, found, images, missing, recognised=recognised)
    storage.save_table(args.scores, COLUMNS, in_order(rows))


if __name__ == "__main__":
    run(main)
