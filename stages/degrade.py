"""Stages `degrade` and `degrade_masked`: imputers of one recipe where other pixels are missing."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import torch

from study.params import Count, NetworkSeeds, Params, Seed, Seeds, parse_paths, read_params, run
from study.trials.degradation import COLUMNS, degradation_rows, grid
from study.trials.imputers import load_imputer
from vaefill import storage
from vaefill.models.vae import FAMILIES
from vaefill.training.devices import Device, pick_device


class DegradeSection(Params):
    """Section `degrade`."""

    seed: Seed
    images: Count
    baselines: list[str]
    methods: list[str]
    curves: dict[str, dict[str, list[int | float]]]
    others: dict[str, dict[str, Any]]


class InferSection(Params, extra="ignore"):
    """What is read of section `infer`."""

    recipe: str
    seeds: Seeds
    seed: Seed
    n_draws: Count
    settings: dict[str, dict[str, Any]]


class MaskedSection(Params, extra="ignore"):
    """What is read of section `masked`."""

    methods: list[str]
    seeds: NetworkSeeds


class DegradeParams(Params):
    """What the stages read."""

    degrade: DegradeSection
    device: Device
    infer: InferSection
    masked: MaskedSection
    threads: Count


def main(argv: Sequence[str] | None = None) -> None:
    """Write the error over missing pixels, per model of the first seed, method and case."""
    args = parse_paths(argv, "--split", "--models", "--out", recipe=str)
    params = read_params(DegradeParams)
    section, infer = params.degrade, params.infer
    images = storage.load_arrays(args.split)["test_images"][: section.images] / np.float32(255)
    cases = list(grid(section.curves, section.others))
    if args.recipe == infer.recipe:
        seeds, methods = infer.seeds, section.methods
    else:
        seeds, methods = params.masked.seeds[args.recipe], params.masked.methods
    rows = []
    for model, method in product(FAMILIES, methods):
        imputer = load_imputer(
            args.models / model / f"{seeds[0]}.safetensors",
            method=method,
            n_draws=infer.n_draws,
            generator=torch.Generator(pick_device(params.device)).manual_seed(infer.seed),
            settings=infer.settings.get(method, {}),
        )
        names = (args.recipe, model, method)
        rows += degradation_rows(names, imputer.predict, images, cases, seed=section.seed)
    storage.save_table(args.out, COLUMNS, rows)


if __name__ == "__main__":
    run(main)
