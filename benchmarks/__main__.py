"""Time a training epoch and the scoring of 10,000 images, all rows in the same run.

Rows are measured in turn, round after round, so that whatever else the machine does meets all of
them; the table shows medians over rounds. Random images: the work does not depend on them.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.gradient_variance import bench_gradients
from benchmarks.numpy_vae import Adam, loss_and_gradients
from benchmarks.recipes import bench_recipes
from study.trials import comparison
from vaefill.metrics import images as metrics
from vaefill.models.elbo import KL_METHODS, elbo
from vaefill.models.vae import JOINTS, VAE
from vaefill.training.devices import environment, pick_device
from vaefill.training.fit import fit

PIXELS, HIDDEN, LATENT = 784, (400, 128), 10
BATCH, LR, EPOCH = 500, 0.005, 55_000
ROUNDS, STEPS = 9, 20
OURS = "vaefill, Gaussian"
WIDTHS = [(784, 400), (400, 128), (128, 20), (10, 128), (128, 400), (400, 784)]


def vaefill_epoch(train: torch.Tensor, kl: str, *family: Any) -> Callable[[], object]:
    """Our `fit`, for one pass over `train`: order, draws, history and all."""
    name, df, joint = family
    weights = torch.Generator().manual_seed(0)
    vae = VAE(name, df=df, joint=joint, generator=weights).to(train.device)
    generator = torch.Generator(train.device).manual_seed(0)
    bound = partial(elbo, kl=kl)
    return lambda: fit(
        vae, train, train[:1], epochs=1, batch_size=BATCH, lr=LR, bound=bound, generator=generator
    )


def floor_epoch(train: torch.Tensor) -> Callable[[], object]:
    """Only the products of a step: activations, weight gradients, input gradients."""
    device = train.device
    layers = [
        (torch.randn(BATCH, i, device=device), torch.randn(BATCH, o, device=device),
         torch.randn(o, i, device=device))
        for i, o in WIDTHS
    ]  # fmt: skip

    def run() -> None:
        for _ in range(len(train) // BATCH):
            for number, (inputs, gradient, weight) in enumerate(layers):
                torch.mm(inputs, weight.T)
                torch.mm(gradient.T, inputs)
                if number:  # images need no gradient
                    torch.mm(gradient, weight)

    return run


def plain_epoch(train: torch.Tensor) -> Callable[[], object]:
    """What a tutorial shows: DataLoader, nn.Sequential, torch's losses, Adam."""
    device = train.device
    encoder = nn.Sequential(
        nn.Linear(784, 400), nn.ReLU(), nn.Linear(400, 128), nn.ReLU(), nn.Linear(128, 20)
    ).to(device)
    decoder = nn.Sequential(
        nn.Linear(10, 128), nn.ReLU(), nn.Linear(128, 400), nn.ReLU(), nn.Linear(400, 784)
    ).to(device)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=LR)
    loader = DataLoader(TensorDataset(train.cpu()), batch_size=BATCH, shuffle=True)

    def run() -> None:
        for (images,) in loader:
            x = images.to(device)
            mu, logvar = encoder(x).chunk(2, dim=1)
            z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
            error = nn.functional.binary_cross_entropy_with_logits(decoder(z), x, reduction="sum")
            kl = 0.5 * (mu**2 + logvar.exp() - logvar - 1).sum()
            optimizer.zero_grad()
            ((error + kl) / len(x)).backward()
            optimizer.step()

    return run


def numpy_epoch(train: torch.Tensor) -> Callable[[], object]:
    """The slides' way: float64, gradients by hand."""
    rng = np.random.default_rng(0)
    x = train.cpu().double().numpy()
    weights = [a for i, o in WIDTHS for a in (rng.normal(0, i**-0.5, (o, i)), np.zeros(o))]
    optimizer = Adam(weights, LR)

    def run() -> None:
        order = rng.permutation(len(x))
        for start in range(0, len(x), BATCH):
            batch = x[order[start : start + BATCH]]
            eps = rng.normal(size=(len(batch), LATENT))
            optimizer.update(loss_and_gradients(weights, batch, eps)[2])

    return run


def seconds(run: Callable[[], object], device: torch.device) -> float:
    """Time one call, the device's queue included."""
    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def bench_training(device: torch.device) -> None:
    """Print one row per way to train, seconds scaled to an epoch of 55,000 images."""
    pixels = torch.rand(STEPS * BATCH, PIXELS, generator=torch.Generator().manual_seed(0))
    train = (pixels * (pixels < 0.2)).to(device)
    rows = {
        "floor: the matrix products alone, `torch.mm`": floor_epoch(train),
        OURS: vaefill_epoch(train, "monte_carlo", "gauss", None, None),
    }
    for joint in JOINTS:
        for kl in KL_METHODS:
            name = f"vaefill, t, {joint}, {kl}"
            rows[name] = vaefill_epoch(train, kl, "t", 21.0, joint)
    rows |= {
        "plain PyTorch, DataLoader": plain_epoch(train),
    }
    if device.type == "cpu":
        rows["NumPy float64, gradients by hand"] = numpy_epoch(train)
    times: dict[str, list[float]] = {name: [] for name in rows}
    for number in range(ROUNDS + 1):
        for name, run in rows.items():
            elapsed = seconds(run, device) * EPOCH / len(train)
            if number:  # the first round warms up
                times[name].append(elapsed)
    bases = times[next(iter(rows))], times[OURS]
    print("| training, 784-400-128-10, batch 500 | s per epoch | × floor | × Gaussian |")
    print("|---|---:|---:|---:|")
    for name, values in times.items():
        ratios = [
            f"{statistics.median(v / b for v, b in zip(values, base, strict=True)):.2f}"
            for base in bases
        ]
        print(f"| {name} | {statistics.median(values):.3f} | {' | '.join(ratios)} |")


def bench_scoring() -> None:
    """Print the time that all metrics of one model take: none, random and square."""
    rng = np.random.default_rng(0)
    image, prediction = rng.random((2, 10_000, 28, 28), dtype=np.float32)
    missing = rng.random(image.shape) < 0.3

    def run() -> None:
        metrics.score(image, prediction)
        metrics.score(image, prediction, missing)
        metrics.score(image, prediction, ~missing)

    values = [seconds(run, torch.device("cpu")) for _ in range(3)]
    print("\n| scoring, 10,000 images | s |\n|---|---:|")
    print(f"| all metrics, three mechanisms | {statistics.median(values):.2f} |")


def bench_comparison() -> None:
    """Print the time that the statistics over images take for 5 seeds of both models."""
    rng = np.random.default_rng(0)
    scores = rng.random((len(comparison.CELLS), 2, 5, 10_000))

    def run() -> None:
        comparison.over_images(scores, n_resamples=2000, rng=np.random.default_rng(0))

    values = [seconds(run, torch.device("cpu")) for _ in range(3)]
    print("\n| statistics, 5 seeds × 10,000 images × 2 models | s |\n|---|---:|")
    print(f"| bootstrap over images, all cells | {statistics.median(values):.2f} |")


def main() -> None:
    """Say what it was measured on, then print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--recipes", action="store_true", help="train by each recipe: minutes")
    args = parser.parse_args()
    device = pick_device(args.device)
    facts = {**environment(device), "numpy": np.__version__, "threads": torch.get_num_threads()}
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    print(f"{platform.machine()}, medians of {ROUNDS} rounds of {STEPS} steps\n", flush=True)
    bench_training(device)
    bench_scoring()
    bench_comparison()
    bench_gradients(device)
    if args.recipes:
        bench_recipes(device)


if __name__ == "__main__":
    main()
