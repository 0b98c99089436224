"""Stage `degrade_baselines`: imputers without a VAE where other pixels are missing."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from study.params import Count, Params, parse_paths, read_params, run
from study.trials.degradation import COLUMNS, degradation_rows, grid
from vaefill import storage
from vaefill.baselines import BASELINES


class DegradeBaselinesParams(Params):
    """What `degrade_baselines` reads; `degrade` checks it."""

    degrade: dict[str, Any]
    threads: Count


def main(argv: Sequence[str] | None = None) -> None:
    """Write the error over missing pixels, per imputer and case."""
    args = parse_paths(argv, "--split", "--out")
    section = read_params(DegradeBaselinesParams).degrade
    split = storage.load_arrays(args.split)
    train, test = (split[f"{part}_images"] / np.float32(255) for part in ("train", "test"))
    cases = list(grid(section["curves"], section["others"]))
    rows = []
    for name in section["baselines"]:
        predict = partial(BASELINES[name], torch.from_numpy(train))
        images = test[: section["images"]]
        rows += degradation_rows(("", name, ""), predict, images, cases, seed=section["seed"])
    storage.save_table(args.out, COLUMNS, rows)


if __name__ == "__main__":
    run(main)
