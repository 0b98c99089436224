"""Stages `train_masked_gauss`, `train_masked_t` and `train_budget`: train a VAE to impute."""

import os
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal

# cuBLAS reads this when it starts; without it, its sums differ from run to run.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from study.params import (
    Count,
    NetworkSeeds,
    Params,
    Seed,
    parse_paths,
    positive,
    read_params,
    run,
)
from vaefill import storage
from vaefill.missingness.mixture import draw_mixture
from vaefill.models.conditional import ConditionalVAE, conditional_elbo
from vaefill.training.checkpoint import run_key
from vaefill.training.devices import Device, check_bfloat16, deterministic, pick_device
from vaefill.training.session import begin
from vaefill.training.session import train as train_run

Rate = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]


class Architecture(Params):
    """Section `masked.mlp` or `masked.conv`: widths of the layers, and how they are trained."""

    widths: Annotated[list[Count], Field(min_length=2)]
    latent: Count
    epochs: Count
    batch_size: Count
    lr: Rate
    optimizer: Literal["adam", "momentum", "muon", "sgd"]
    mixed_precision: bool


class Budgets(Params):
    """Section `masked.budgets`, which stage `budget` reads."""

    epochs: list[Count]
    seeds: list[Seed]
    seed: Seed
    images: Count
    curves: dict[str, dict[str, list[int | float]]]


class Masked(Params):
    """Section `masked`."""

    networks: list[Literal["mlp", "conv"]]
    seeds: NetworkSeeds
    methods: list[Literal["single_pass", "draws"]]
    warmup: Rate
    mixture: dict[str, dict[str, Any]]
    mlp: Architecture
    conv: Architecture
    budgets: Budgets


class MaskedGaussParams(Params):
    """What `train_masked_gauss` reads."""

    device: Device
    likelihood: Literal["bernoulli", "continuous_bernoulli"]
    masked: Masked
    threads: Count


class MaskedTParams(MaskedGaussParams):
    """What `train_masked_t` reads."""

    df: Annotated[float, AfterValidator(positive)]
    joint: Literal["product", "multivariate"]


PARAMS: dict[str, type[MaskedGaussParams]] = {"gauss": MaskedGaussParams, "t": MaskedTParams}


def main(argv: Sequence[str] | None = None) -> None:
    """Train, with progress and a checkpoint; write model and history."""
    args = parse_paths(
        argv, "--split", "--out", "--history",
        model=tuple(PARAMS), networks=("mlp", "conv"), seed=int, optional={"epochs": int},
    )  # fmt: skip
    params = read_params(PARAMS[args.model]).model_dump()
    masked = params["masked"]
    architecture, mixture = dict(masked[args.networks]), masked["mixture"]
    device = pick_device(params["device"])
    if architecture["mixed_precision"]:
        check_bfloat16(device)
    deterministic()

    split = storage.load_arrays(args.split)
    shape = split["train_images"].shape[1:]

    def hide(n: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        return draw_mixture(n, *shape, parts=mixture, rng=rng)

    hide(1, np.random.default_rng(0))  # refused early, or never
    train, valid = (
        torch.from_numpy(split[f"{part}_images"]).flatten(1).to(device).float() / 255
        for part in ("train", "valid")
    )
    model = {key: architecture.pop(key) for key in ("widths", "latent")}
    mixed = architecture.pop("mixed_precision")
    architecture["epochs"] = args.epochs or architecture["epochs"]
    vae, generator = begin(
        ConditionalVAE,
        args.model,
        seed=args.seed,
        device=device,
        df=params.get("df"),
        joint=params.get("joint"),
        likelihood=params["likelihood"],
        networks=args.networks,
        shape=shape,
        **model,
    )
    train_run(
        vae,
        train,
        valid,
        key=run_key({**params, "family": args.model, "seed": args.seed, **vars(args)}, args.split),
        generator=generator,
        out=args.out,
        history=args.history,
        # Copies of the repository in which experiments run share the checkpoints of its root.
        checkpoints=f"{os.environ.get('DVC_ROOT', '.')}/.checkpoints",
        schedule="one_cycle",
        precision="bfloat16" if mixed else "float32",
        warmup=masked["warmup"],
        bound=partial(conditional_elbo, hide=hide, mixed_precision=mixed),
        **architecture,
    )


if __name__ == "__main__":
    run(main)
