"""Stage `evaluate`: score predictions and imputations of the models of all seeds, per image."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from study.params import Count, Params, Seed, Seeds, parse_paths, read_params, run
from study.trials.evaluation import (
    as_grey,
    bound_per_image,
    example_sheet,
    flatten,
    means,
    prior_samples,
)
from study.trials.tiles import save_tiles
from vaefill import storage
from vaefill.inference.diagnostics import diagnose
from vaefill.metrics import images as metrics
from vaefill.models import VAE, load
from vaefill.models.importance import importance_bound, summarize
from vaefill.training.devices import Device, pick_device

METHOD = "single_pass"
SHEET = 8  # samples per side


class Importance(Params):
    """Section `evaluate.importance`."""

    images: Count
    n_draws: Count


class Evaluation(Params):
    """Section `evaluate`."""

    seed: Seed
    n_draws: Count
    importance: Importance


class EvaluateParams(Params):
    """What `evaluate` reads."""

    device: Device
    evaluate: Evaluation
    seeds: Seeds
    threads: Count


def main(argv: Sequence[str] | None = None) -> None:
    """Write per seed the scores of each image, their means, and sheets of examples and samples."""
    args = parse_paths(
        argv, "--models", "--split", "--missing", "--imputed",
        "--metrics", "--scores", "--examples", "--samples",
    )  # fmt: skip
    params = read_params(EvaluateParams)
    device = pick_device(params.device)
    split = storage.load_arrays(args.split)
    missing = storage.load_arrays(args.missing)
    images = split["test_images"] / np.float32(255)
    runs, kept = [], dict[str, NDArray[Any]]()
    for seed in params.seeds:
        vae = load(args.models / f"{seed}.safetensors", device=device)
        assert isinstance(vae, VAE)
        predictions = {
            mechanism: storage.load_array(args.imputed / str(seed) / f"{mechanism}.npy")
            for mechanism in ("none", *missing)
        }
        scores = {
            "/".join((mechanism, METHOD, *key)): values
            for mechanism, prediction in predictions.items()
            for key, values in metrics.score(images, prediction, missing.get(mechanism)).items()
        }
        model = ask(vae, torch.from_numpy(images), params.evaluate, device)
        # Under `importance/` are the first test images only, elsewhere all.
        scored = (
            scores
            | {f"none///image/{term}": values for term, values in model.bound.items()}
            | {f"importance/{name}": values for name, values in model.importance.items()}
        )
        kept |= {f"{seed}/{name}": values for name, values in scored.items()}
        found = {
            "elbo": means(model.bound),
            "latent": model.latent,
            "likelihood": summarize(model.importance),
            "scores": means(scores),
        }
        runs.append({"seed": seed, **dict(sorted(flatten(found)))})
        sheet = example_sheet(split["test_images"], split["test_labels"], predictions, missing)
        save_tiles(args.examples / f"{seed}.png", sheet)
        tiles = as_grey(model.samples).reshape(SHEET, SHEET, *images.shape[1:])
        save_tiles(args.samples / f"{seed}.png", tiles)
    storage.save_arrays(args.scores, kept)
    columns = list(dict.fromkeys(name for run in runs for name in run))
    storage.save_table(
        args.metrics, columns, [[run.get(name, "") for name in columns] for run in runs]
    )


class Answers(NamedTuple):
    """What one model says of the test images: what needs its draws."""

    bound: dict[str, NDArray[np.float64]]
    importance: dict[str, NDArray[np.float64]]
    latent: dict[str, Any]
    samples: NDArray[np.float32]


def ask(vae: VAE, images: torch.Tensor, section: Evaluation, device: torch.device) -> Answers:
    """Ask a model, with the same draws for every one: what differs is the model."""
    generator = torch.Generator(device).manual_seed(section.seed)
    # Streams of their own: how much one part draws does not change what another sees.
    importance_generator, latent_generator = (
        torch.Generator(device).manual_seed(seed)
        for seed in np.random.SeedSequence(section.seed).generate_state(2).tolist()
    )
    some = images[: section.importance.images]
    return Answers(
        bound=bound_per_image(vae, images, n_draws=section.n_draws, generator=generator),
        samples=prior_samples(vae, n=SHEET**2, generator=generator),
        importance=importance_bound(
            vae, some, n_draws=section.importance.n_draws, generator=importance_generator
        ),
        latent=diagnose(vae, images, generator=latent_generator),
    )


if __name__ == "__main__":
    run(main)
