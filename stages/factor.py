"""One run of ``factors.yaml``; not part of ``dvc.yaml``: ``python -m tools.sweep`` runs it."""

import os
from collections.abc import Sequence
from functools import partial
from typing import Any

# cuBLAS reads this when it starts; without it, its sums differ from run to run.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import numpy as np
import torch

from study.params import Count, Params, Seed, parse_paths, read_params, run
from study.trials.retraining import retrain
from study.trials.sweep import TrainingParams, load_trainings
from vaefill import storage
from vaefill.errors import InputError
from vaefill.models.elbo import elbo
from vaefill.models.vae import VAE
from vaefill.training.checkpoint import checkpointed, run_key
from vaefill.training.devices import Device, deterministic, pick_device
from vaefill.training.session import begin


class Model(Params):
    """Section `model`."""

    hidden: list[Count]
    latent: Count


class Evaluation(Params):
    """Section `evaluate`."""

    seed: Seed
    n_draws: Count
    importance: dict[str, Any]  # not used here


class FactorParams(TrainingParams):
    """What a run reads."""

    device: Device
    threads: Count
    model: Model
    evaluate: Evaluation


def main(argv: Sequence[str] | None = None) -> None:
    """Train, with a checkpoint, and write the scores."""
    args = parse_paths(argv, "--plan", "--split", "--missing", "--out", name=str)
    params = read_params(FactorParams)
    plan = load_trainings(args.plan, params)
    runs = {e.name(seed): (e, seed) for e in plan.experiments for seed in params.seeds}
    if args.name not in runs:
        raise InputError(f"{args.plan}: no run is called {args.name!r}")
    chosen, seed = runs[args.name]
    values = chosen.applied(params.model_dump(), plan.recipe)
    recipe = values.pop("train")[plan.recipe]
    key = run_key({**values, "recipe": recipe, "run": args.name}, args.split)
    device = pick_device(params.device)
    deterministic()
    split = storage.load_arrays(args.split)
    train, valid = (
        torch.from_numpy(split[f"{part}_images"]).flatten(1).to(device).float() / 255
        for part in ("train", "valid")
    )
    is_t = chosen.model == "t"
    vae, generator = begin(
        VAE,
        chosen.model,
        seed=seed,
        device=device,
        df=params.df if is_t else None,
        joint=params.joint if is_t else None,
        likelihood=params.likelihood,
        pixels=train.shape[1],
        **params.model.model_dump(),
        init=recipe.pop("init"),
    )
    with checkpointed(".checkpoints", key) as checkpoint:
        scores = retrain(
            vae,
            train,
            valid,
            images=split["test_images"].astype(np.float32) / np.float32(255),
            missing=storage.load_arrays(args.missing),
            n_draws=params.evaluate.n_draws,
            seed=params.evaluate.seed,
            generator=generator,
            checkpoint=checkpoint,
            bound=partial(elbo, kl=params.kl if is_t else "quadrature"),
            kl_weight=params.kl_weight,
            **recipe,
        )
        storage.save_table(args.out, ("name", "value"), scores)


if __name__ == "__main__":
    run(main)
