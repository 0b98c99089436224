"""Time every imputer on the first test images, with the models and params of the working tree.

Writes ``reports/imputation/timings.csv`` (wall seconds for 10,000 images with one mask, the mean
of both) and ``timings.json`` (what they were measured with): an input of the report, not a stage of
the pipeline, whose results must be the same bytes each time. Run it while nothing else runs.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from stages.infer import InferParams
from study.params import read_params
from study.trials.comparison import MODELS
from study.trials.imputers import load_imputer
from vaefill import storage
from vaefill.baselines import BASELINES
from vaefill.training.devices import environment, pick_device

PER = 10_000
#: Cheaper ones are timed on more images, as a call has a fixed cost.
LEAST_S = 1.0


class TimingParams(InferParams):
    """What is read: the settings of `infer`, and which data and networks there are."""

    dataset: str
    masked: dict[str, Any]


def imputers(
    params: TimingParams, train: Tensor, device: torch.device
) -> Iterator[tuple[tuple[str, str, str], Callable[[Tensor, Tensor], Tensor]]]:
    """Yield recipe, model and method of each imputer, and what predicts."""
    for name, predict in BASELINES.items():
        jobs = {"n_jobs": -1} if name == "biharmonic" else {}
        yield ("", name, ""), partial(predict, train, **jobs)
    infer, masked = params.infer, params.masked
    methods = {infer.recipe: infer.methods}
    methods |= {networks: masked["methods"] for networks in masked["networks"]}
    seeds = masked["seeds"] | {infer.recipe: infer.seeds}
    for recipe, names in methods.items():
        for method in names:
            for model in MODELS:
                imputer = load_imputer(
                    f"models/{recipe}/{model}/{seeds[recipe][0]}.safetensors",
                    method=method,
                    n_draws=infer.n_draws,
                    generator=torch.Generator(device).manual_seed(infer.seed),
                    settings=infer.settings.get(method, {}),
                )
                yield (recipe, model, method), imputer.predict


def measure(
    predict: Callable[[Tensor, Tensor], Tensor], images: Tensor, missing: dict[str, Tensor], n: int
) -> float:
    """Wall seconds for `PER` images, mean over mechanisms; from `n`, or all if that is fast."""
    seconds = []
    for gaps in missing.values():
        for number in (n, len(images)):
            start = time.perf_counter()
            predict(images[:number], gaps[:number])
            spent = time.perf_counter() - start
            if spent >= LEAST_S:
                break
        seconds.append(spent * PER / number)
    return float(np.mean(seconds))


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=500, help="of the slow imputers")
    parser.add_argument("--out", type=Path, default=Path("reports/imputation"))
    args = parser.parse_args()
    params = read_params(TimingParams)
    device = pick_device(params.device)
    split = storage.load_arrays("data/split.npz")
    train, images = (
        torch.from_numpy(split[f"{part}_images"] / np.float32(255)) for part in ("train", "test")
    )
    missing = {
        name: torch.from_numpy(gaps)
        for name, gaps in storage.load_arrays("data/missing.npz").items()
    }
    rows = [
        (*names, measure(predict, images, missing, args.images))
        for names, predict in tqdm(list(imputers(params, train, device)), unit="imputer")
    ]
    columns = ("recipe", "model", "method", "seconds")
    storage.save_table(args.out / "timings.csv", columns, rows)
    storage.save_json(
        args.out / "timings.json",
        {
            "dataset": params.dataset,
            "environment": environment(device),
            "images": args.images,
            "threads": torch.get_num_threads(),
        },
    )


if __name__ == "__main__":
    main()
