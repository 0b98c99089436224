"""Quality against time: what each recipe of params.yaml reaches, and in how many seconds.

Needs ``data/split.npz`` (``dvc repro split``). The short recipes are run whole, one Gaussian and
one t model each; an epoch of the slides' recipe is timed between their epochs and stands for its
300, and what it reaches is read from the tracked runs.
"""

import statistics
import time
from pathlib import Path
from typing import Any

import torch

from stages.train import TParams
from study.params import read_params
from vaefill.models.vae import VAE
from vaefill.storage import load_arrays, load_table
from vaefill.training.fit import Epoch, fit

MODELS: dict[str, dict[str, Any]] = {"gauss": {}, "t": {"df": 21.0}}


def bench_recipes(device: torch.device) -> None:
    """Print one row per recipe and model; all are timed in turn, epoch by epoch."""
    if not Path("data/split.npz").exists():
        print("\nRecipes: no data/split.npz; `dvc repro split` makes it")
        return
    split = load_arrays("data/split.npz")
    train, valid = (
        torch.from_numpy(split[f"{part}_images"]).flatten(1).to(device).float() / 255
        for part in ("train", "valid")
    )
    recipes = read_params(TParams).model_dump()["train"]
    inits = {name: recipe.pop("init") for name, recipe in recipes.items()}
    slides = recipes.pop("slides")
    print("\n| recipe | model | epochs | s per epoch | s | of the slides' time | validation loss |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for model in MODELS:
        per_slides_epoch: list[float] = []
        rows = {}
        for name, recipe in recipes.items():
            clock = _Clock(train, valid, model, slides, per_slides_epoch)
            history = fit(
                _vae(model, train, inits[name]), train, valid, **recipe,
                generator=torch.Generator(device).manual_seed(0), progress=clock,
            )  # fmt: skip
            rows[name] = (recipe["epochs"], clock.seconds, history[-1].valid_loss)
        total = statistics.median(per_slides_epoch) * slides["epochs"]
        tracked = sorted(Path("reports/training/slides").glob(f"{model}-*.csv"))
        losses = [float(load_table(path)[-1]["valid_loss"]) for path in tracked]
        reached = f"{statistics.mean(losses):.2f} (mean of {len(losses)} tracked runs)"
        rows_slides = (slides["epochs"], [total / slides["epochs"]] * slides["epochs"], reached)
        for name, (epochs, seconds, loss) in ({"slides": rows_slides} | rows).items():
            reached = loss if isinstance(loss, str) else f"{loss:.2f}"
            print(
                f"| {name} | {model} | {epochs} | {statistics.median(seconds):.2f} "
                f"| {sum(seconds):.0f} | 1/{total / sum(seconds):.1f} | {reached} |"
            )


class _Clock:
    """Times the epochs of a run, and now and then an epoch of the slides' recipe between them."""

    def __init__(
        self,
        train: torch.Tensor,
        valid: torch.Tensor,
        model: str,
        slides: dict[str, Any],
        slides_seconds: list[float],
    ) -> None:
        self.seconds: list[float] = []
        self._slides_seconds = slides_seconds
        self._slides = {**slides, "epochs": 1}
        self._model, self._train, self._valid = model, train, valid
        self._start = time.perf_counter()

    def __call__(self, row: Epoch) -> None:
        self.seconds.append(time.perf_counter() - self._start)
        if row.epoch % 4 == 1:
            vae, generator = _vae(self._model, self._train), torch.Generator(self._train.device)
            start = time.perf_counter()
            fit(vae, self._train, self._valid, **self._slides, generator=generator)
            self._slides_seconds.append(time.perf_counter() - start)
        self._start = time.perf_counter()


def _vae(model: str, train: torch.Tensor, init: str = "torch") -> VAE:
    generator = torch.Generator().manual_seed(0)
    return VAE(model, **MODELS[model], init=init, generator=generator).to(train.device)
