"""Stages `budget` and `budget_full`: what one model reaches for the work of its training."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from study.params import Count, Params, parse_paths, read_params, run
from study.trials.budgets import COLUMNS, scores
from study.trials.degradation import grid
from vaefill import storage
from vaefill.models import load
from vaefill.training.devices import Device, pick_device


class BudgetParams(Params):
    """What is read; `masked` is checked by the stages that train."""

    device: Device
    masked: dict[str, Any]
    threads: Count


def main(argv: Sequence[str] | None = None) -> None:
    """Write the scores, beside epochs and work of the training."""
    args = parse_paths(argv, "--model", "--history", "--split", "--out", networks=("mlp", "conv"))
    params = read_params(BudgetParams)
    section = params.masked["budgets"]
    device = pick_device(params.device)
    images = storage.load_arrays(args.split)["test_images"][: section["images"]] / np.float32(255)
    last = storage.load_table(args.history)[-1]
    facts = (args.networks, last["epoch"], last["tflop"], len(images))
    found = scores(
        load(args.model, device=device),
        images,
        grid(section["curves"], {}),
        seed=section["seed"],
        generator=torch.Generator(device),
    )
    storage.save_table(args.out, COLUMNS, [(*facts, *row) for row in found])


if __name__ == "__main__":
    run(main)
