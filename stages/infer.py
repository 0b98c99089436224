"""Stages `infer`, `infer_mlp` and `infer_conv`: the missing pixels, by one method and model."""

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from pydantic import Field

from study.params import Count, Params, Seed, Seeds, parse_paths, read_params, run
from study.trials.imputers import load_imputer
from study.trials.trial import draws_sheet, hard_cases, headline, load_trials, try_imputer
from vaefill import storage
from vaefill.training.devices import Device, pick_device


class Section(Params):
    """Section `infer`."""

    recipe: str
    seeds: Seeds
    methods: list[str]
    settings: dict[str, dict[str, Any]]
    seed: Seed
    n_draws: Annotated[int, Field(ge=39)]  # fewer have no central 95 %
    images: Count
    valid_images: Count


class InferParams(Params):
    """What the stages read."""

    device: Device
    infer: Section
    mask: dict[str, Any]
    threads: Count


def main(argv: Sequence[str] | None = None) -> None:
    """Write per mechanism the expected pixels, scores of uncertainty, and draws to look at."""
    args = parse_paths(argv, "--model", "--split", "--missing", "--out", method=str)
    params = read_params(InferParams)
    section = params.infer
    imputer = load_imputer(
        args.model,
        method=args.method,
        n_draws=section.n_draws,
        generator=torch.Generator(pick_device(params.device)).manual_seed(section.seed),
        settings=section.settings.get(args.method, {}),
    )
    trials = load_trials(
        args.split, args.missing, params.mask,
        n_test=section.images, n_valid=section.valid_images, seed=section.seed,
    )  # fmt: skip
    labels = storage.load_arrays(args.split)["test_labels"][: section.images]
    arrays: dict[str, Any] = {}
    for mechanism, trial in trials.items():
        inferred, found = try_imputer(imputer, trial, n_draws=section.n_draws, seed=section.seed)
        found["sheet"] = draws_sheet(imputer, inferred, trial.test, hard_cases(trial.test, labels))
        said = (f"{name} {value:.6g}" for name, value in headline(trial.test, found).items())
        print(f"{mechanism}: missing pixels: {', '.join(said)}")
        arrays |= {f"{mechanism}/{name}": array for name, array in found.items()}
    storage.save_arrays(args.out, arrays)


if __name__ == "__main__":
    run(main)
