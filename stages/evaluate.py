"""Stage `evaluate`: score one model's predictions and imputations, image by image."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from study.params import Params, parse_paths, read_params, run
from study.trials.evaluation import (
    as_grey,
    bound_per_image,
    example_sheet,
    nested_means,
    prior_samples,
)
from study.trials.tiles import save_tiles
from vaefill import storage
from vaefill.inference.diagnostics import diagnose
from vaefill.metrics import images as metrics
from vaefill.models.importance import importance_bound, summarize
from vaefill.models.vae import load_vae
from vaefill.training.devices import Device, pick_device

METHOD = "single_pass"
SHEET = 8  # samples per side


Count = Annotated[int, Field(ge=1)]


class Importance(Params):
    """Section `evaluate.importance`."""

    images: Count
    n_draws: Count


class Evaluation(Params):
    """Section `evaluate`."""

    seed: Annotated[int, Field(ge=0)]
    n_draws: Count
    importance: Importance


class EvaluateParams(Params):
    """What `evaluate` reads."""

    device: Device
    evaluate: Evaluation


def main(argv: Sequence[str] | None = None) -> None:
    """Write per-image scores, their means, and sheets of examples and samples."""
    args = parse_paths(
        argv, "--model", "--split", "--missing", "--imputed",
        "--metrics", "--scores", "--examples", "--samples",
    )  # fmt: skip
    params = read_params(EvaluateParams)
    device = pick_device(params.device)
    # The same draws for every model: what differs is the model.
    generator = torch.Generator(device).manual_seed(params.evaluate.seed)
    # Streams of their own: how much one part draws does not change what another sees.
    importance_generator, latent_generator = (
        torch.Generator(device).manual_seed(seed)
        for seed in np.random.SeedSequence(params.evaluate.seed).generate_state(2).tolist()
    )
    vae = load_vae(args.model, device=device)
    split = storage.load_arrays(args.split)
    missing = storage.load_arrays(args.missing)
    images = split["test_images"] / np.float32(255)
    pixels = torch.from_numpy(images)
    predictions = {
        mechanism: storage.load_array(args.imputed / f"{mechanism}.npy")
        for mechanism in ("none", *missing)
    }

    scores = {
        "/".join((mechanism, METHOD, *key)): values
        for mechanism, prediction in predictions.items()
        for key, values in metrics.score(images, prediction, missing.get(mechanism)).items()
    }
    bound = bound_per_image(vae, pixels, n_draws=params.evaluate.n_draws, generator=generator)
    samples = prior_samples(vae, n=SHEET**2, generator=generator)
    sheet = example_sheet(split["test_images"], split["test_labels"], predictions, missing)
    importance = importance_bound(
        vae,
        pixels[: params.evaluate.importance.images],
        n_draws=params.evaluate.importance.n_draws,
        generator=importance_generator,
    )

    # Under `importance/` are the first test images only, elsewhere all.
    storage.save_arrays(
        args.scores,
        scores
        | {f"none///image/{term}": values for term, values in bound.items()}
        | {f"importance/{name}": values for name, values in importance.items()},
    )
    storage.save_json(
        args.metrics,
        {
            "elbo": nested_means(bound),
            "latent": diagnose(vae, pixels, generator=latent_generator),
            "likelihood": summarize(importance),
            "scores": nested_means(scores),
        },
    )
    save_tiles(args.examples, sheet)
    save_tiles(args.samples, as_grey(samples).reshape(SHEET, SHEET, *images.shape[1:]))


if __name__ == "__main__":
    run(main)
