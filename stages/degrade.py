"""Stage `degrade`: imputers under other mechanisms, and with more and less missing."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from study.params import Count, Params, Seed, parse_paths, read_params, run
from study.trials.degradation import grid, missing_mse
from study.trials.imputers import Imputer, load_imputer
from vaefill import storage
from vaefill.baselines import BASELINES
from vaefill.training.devices import Device, pick_device

MODELS = ("gauss", "t")
COLUMNS = ("recipe", "model", "method", "mechanism", "setting", "value")

Predict = Callable[[Tensor, Tensor], Tensor]


class Section(Params):
    """Section `degrade`."""

    seed: Seed
    images: Count
    baselines: list[str]
    methods: list[str]
    curves: dict[str, dict[str, list[int | float]]]
    others: dict[str, dict[str, Any]]


class DegradeParams(Params):
    """What `degrade` reads."""

    device: Device
    degrade: Section
    infer: dict[str, Any]
    masked: dict[str, Any]
    threads: Count


def expect(imputer: Imputer, images: Tensor, missing: Tensor) -> Tensor:
    """Predict the pixels of images."""
    return imputer.infer(images, missing).mean


def imputers(
    params: DegradeParams, models: Path, train: Tensor
) -> Iterator[tuple[tuple[str, str, str], Predict]]:
    """Yield recipe, model and method of each imputer, and what predicts."""
    for name in params.degrade.baselines:
        yield ("", name, ""), partial(BASELINES[name], train)
    infer = params.infer
    methods = {infer["recipe"]: params.degrade.methods}
    methods |= {networks: ["draws"] for networks in params.masked["networks"]}
    for recipe, names in methods.items():
        for model in MODELS:
            for method in names:
                imputer = load_imputer(
                    models / recipe / model / f"{infer['seeds'][0]}.safetensors",
                    method=method,
                    n_draws=infer["n_draws"],
                    generator=torch.Generator(pick_device(params.device)).manual_seed(
                        infer["seed"]
                    ),
                    settings=infer["settings"].get(method, {}),
                )
                yield (recipe, model, method), partial(expect, imputer)


def main(argv: Sequence[str] | None = None) -> None:
    """Write the error over missing pixels, per imputer and case."""
    args = parse_paths(argv, "--split", "--models", "--out")
    params = read_params(DegradeParams)
    section = params.degrade
    split = storage.load_arrays(args.split)
    images = split["test_images"][: section.images] / np.float32(255)
    train = torch.from_numpy(split["train_images"] / np.float32(255))
    cases = list(grid(section.curves, section.others))
    rows = [
        (*names, case.name, "" if case.setting is None else case.setting,
         missing_mse(predict, images, case, seed=section.seed))
        for names, predict in imputers(params, args.models, train)
        for case in tqdm(cases, desc="/".join(filter(None, names)), unit="case")
    ]  # fmt: skip
    storage.save_table(args.out, COLUMNS, rows)


if __name__ == "__main__":
    run(main)
