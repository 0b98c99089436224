"""Stages `train_gauss` and `train_t`: train one VAE by one recipe from one seed."""

import math
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Literal

# cuBLAS reads this when it starts; without it, its sums differ from run to run.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import numpy as np
import torch
from pydantic import AfterValidator, Field

from study.params import Count, Params, parse_paths, positive, read_params, run
from vaefill import storage
from vaefill.errors import InputError
from vaefill.models.divergences import exact_kl
from vaefill.models.vae import VAE
from vaefill.training.checkpoint import run_key
from vaefill.training.devices import Device, pick_device
from vaefill.training.session import train as train_run


class Model(Params):
    """Section `model`."""

    hidden: list[Count]
    latent: Count


Rate = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]


class Recipe(Params):
    """What all recipes have; how weights begin and what makes the steps need not be said."""

    epochs: Count
    batch_size: Count
    lr: Rate
    init: Literal["torch", "he", "xavier", "normal"] = "torch"
    optimizer: Literal["adam", "sgd", "momentum"] = "adam"


class Constant(Recipe):
    """A recipe with one learning rate throughout."""

    schedule: Literal["constant"]


class OneCycle(Recipe):
    """A recipe whose rate rises to `lr` over the share `warmup` of the steps, then falls to 0."""

    schedule: Literal["one_cycle"]
    warmup: Rate


class GaussParams(Params):
    """What `train_gauss` reads."""

    device: Device
    kl_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    likelihood: Literal["bernoulli", "continuous_bernoulli"]
    model: Model
    threads: Count
    train: dict[str, Annotated[Constant | OneCycle, Field(discriminator="schedule")]]


class TParams(GaussParams):
    """What `train_t` reads."""

    df: Annotated[float, AfterValidator(positive)]
    joint: Literal["product", "multivariate"]
    kl: Literal["monte_carlo", "quadrature"]


PARAMS: dict[str, type[GaussParams]] = {"gauss": GaussParams, "t": TParams}


def main(argv: Sequence[str] | None = None) -> None:
    """Train, with progress and a checkpoint; write model and history."""
    args = parse_paths(
        argv, "--split", "--out", "--history", model=tuple(PARAMS), recipe=str, seed=int
    )
    params = read_params(PARAMS[args.model]).model_dump()
    recipe = _recipe(args.recipe, params.pop("train"))
    df = params.get("df", math.inf)
    if df <= 2:
        print(
            f"warning: df = {df:g}: a t distribution with df <= 2 has no variance", file=sys.stderr
        )
    device = pick_device(params["device"])
    torch.use_deterministic_algorithms(True)
    if args.seed < 0:
        raise InputError(f"params.yaml: seeds has {args.seed}: a seed is 0 or above")
    # Initial weights and training draw from independent streams of the one seed.
    init_seed, training_seed = np.random.SeedSequence(args.seed).generate_state(2).tolist()

    split = storage.load_arrays(args.split)
    train, valid = (
        torch.from_numpy(split[f"{part}_images"]).flatten(1).to(device).float() / 255
        for part in ("train", "valid")
    )
    vae = VAE(
        args.model,
        df=params.get("df"),
        joint=params.get("joint"),
        likelihood=params["likelihood"],
        pixels=train.shape[1],
        **params["model"],
        init=recipe.pop("init"),
        generator=torch.Generator().manual_seed(init_seed),
    ).to(device)
    exact_kl(vae.prior, vae.prior)  # what evaluation would refuse is refused before training
    key = run_key({**params, **recipe, "family": args.model, "seed": args.seed}, args.split)
    train_run(
        vae,
        train,
        valid,
        key=key,
        generator=torch.Generator(device).manual_seed(training_seed),
        out=args.out,
        history=args.history,
        # Copies of the repository in which experiments run share the checkpoints of its root.
        checkpoints=f"{os.environ.get('DVC_ROOT', '.')}/.checkpoints",
        **recipe,
        **{key: params[key] for key in ("kl", "kl_weight") if key in params},
    )


def _recipe(name: str, recipes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    if name not in recipes:
        known = ", ".join(recipes)
        raise InputError(
            f"params.yaml: recipes has {name!r}: train has no such recipe, only {known}"
        )
    return recipes[name]


if __name__ == "__main__":
    run(main)
