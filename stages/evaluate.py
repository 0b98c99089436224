"""Stage `evaluate`: score one model's predictions and imputations, image by image."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from vaefill import metrics, storage
from vaefill.devices import Device, pick_device
from vaefill.evaluation import (
    as_grey,
    bound_per_image,
    example_sheet,
    nested_means,
    prior_samples,
)
from vaefill.pipeline import Params, parse_paths, read_params, run
from vaefill.tiles import save_tiles
from vaefill.vae import load_vae

METHOD = "single_pass"
SHEET = 8  # samples per side


class Evaluation(Params):
    """Section `evaluate`."""

    seed: Annotated[int, Field(ge=0)]
    n_draws: Annotated[int, Field(ge=1)]


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
    vae = load_vae(args.model, device=device)
    split = storage.load_arrays(args.split)
    missing = storage.load_arrays(args.missing)
    images = split["test_images"] / np.float32(255)
    predictions = {
        mechanism: storage.load_array(args.imputed / f"{mechanism}.npy")
        for mechanism in ("none", *missing)
    }

    scores = {
        "/".join((mechanism, METHOD, *key)): values
        for mechanism, prediction in predictions.items()
        for key, values in metrics.score(images, prediction, missing.get(mechanism)).items()
    }
    bound = bound_per_image(
        vae, torch.from_numpy(images), n_draws=params.evaluate.n_draws, generator=generator
    )
    samples = prior_samples(vae, n=SHEET**2, generator=generator)
    sheet = example_sheet(split["test_images"], split["test_labels"], predictions, missing)

    bound_scores = {f"none///image/{term}": values for term, values in bound.items()}
    storage.save_arrays(args.scores, scores | bound_scores)
    storage.save_json(args.metrics, {"scores": nested_means(scores), "elbo": nested_means(bound)})
    save_tiles(args.examples, sheet)
    save_tiles(args.samples, as_grey(samples).reshape(SHEET, SHEET, *images.shape[1:]))


if __name__ == "__main__":
    run(main)
