"""Stages `train_gauss` and `train_t`: train one VAE by one recipe from one seed."""

import math
import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal

# cuBLAS reads this when it starts; without it, its sums differ from run to run.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import torch
from pydantic import AfterValidator, Field

from study.params import Count, Params, parse_paths, positive, read_params, run
from study.trials.recipes import Recipe
from vaefill import storage
from vaefill.errors import InputError
from vaefill.models.divergences import exact_kl
from vaefill.models.elbo import elbo
from vaefill.models.vae import VAE
from vaefill.training.checkpoint import run_key
from vaefill.training.devices import Device, deterministic, pick_device
from vaefill.training.session import begin
from vaefill.training.session import train as train_run


class Model(Params):
    """Section `model`."""

    hidden: list[Count]
    latent: Count


class GaussParams(Params):
    """What `train_gauss` reads."""

    device: Device
    kl_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    likelihood: Literal["bernoulli", "continuous_bernoulli"]
    model: Model
    threads: Count
    train: dict[str, Recipe]


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
    deterministic()
    if args.seed < 0:
        raise InputError(f"params.yaml: seeds has {args.seed}: a seed is 0 or above")
    split = storage.load_arrays(args.split)
    train, valid = (
        torch.from_numpy(split[f"{part}_images"]).flatten(1).to(device).float() / 255
        for part in ("train", "valid")
    )
    key = run_key({**params, **recipe, "family": args.model, "seed": args.seed}, args.split)
    vae, generator = begin(
        VAE,
        args.model,
        seed=args.seed,
        device=device,
        df=params.get("df"),
        joint=params.get("joint"),
        likelihood=params["likelihood"],
        pixels=train.shape[1],
        **params["model"],
        init=recipe.pop("init"),
    )
    exact_kl(vae.prior, vae.prior)  # what evaluation would refuse is refused before training
    train_run(
        vae,
        train,
        valid,
        key=key,
        generator=generator,
        out=args.out,
        history=args.history,
        # Copies of the repository in which experiments run share the checkpoints of its root.
        checkpoints=f"{os.environ.get('DVC_ROOT', '.')}/.checkpoints",
        kl_weight=params["kl_weight"],
        bound=partial(elbo, kl=params.get("kl", "quadrature")),
        **recipe,
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
