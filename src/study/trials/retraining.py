"""One model trained anew by a recipe, and its scores beside the main comparison's: the lean ones.

What the slides' table shows, the ELBO, and the same table with the code drawn instead of at its
location: no importance sampling, no pictures, no models that are kept.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from study.trials.evaluation import bound_per_image
from study.trials.sweep import DIVERGED
from vaefill.inference import infer
from vaefill.metrics import images as metrics
from vaefill.models import VAE
from vaefill.training.fit import DivergedError, fit

#: Ways to impute: the code at its location, as the main comparison has it, and drawn once.
METHODS = ("single_pass", "single_draw")


def retrain(
    vae: VAE,
    train: Tensor,
    valid: Tensor,
    *,
    images: NDArray[np.float32],
    missing: Mapping[str, NDArray[np.bool_]],
    n_draws: int,
    seed: int,
    generator: torch.Generator,
    **settings: Any,
) -> Iterator[tuple[str, float]]:
    """Train a model and score it.

    Parameters
    ----------
    vae : VAE
        Trained in place.
    train, valid, generator, **settings
        As for `vaefill.training.fit.fit`.
    images : float32 array of shape (n, height, width)
        Test images, pixels in [0, 1].
    missing : dict of str to bool array of shape (n, height, width)
        Per mechanism, True where a pixel is missing.
    n_draws : int
        As for `study.trials.evaluation.bound_per_image`.
    seed : int
        Of the draws in evaluation: the same for all models.

    Yields
    ------
    str, float
        ``mechanism/method/output/region/metric`` and a mean over images: terms of the ELBO, then
        the scores of whole images by each of `METHODS`. Of a training that diverged there is
        `study.trials.sweep.DIVERGED` alone, the epoch in which it was stopped.
    """
    try:
        fit(vae, train, valid, generator=generator, **settings)
    except DivergedError as error:
        yield DIVERGED, error.epoch
        return
    device = generator.device
    generators = [torch.Generator(device).manual_seed(seed) for _ in range(1 + len(METHODS))]
    tensor = torch.from_numpy(images)
    bound = bound_per_image(vae, tensor, n_draws=n_draws, generator=generators.pop())
    for term, values in bound.items():
        yield f"none///image/{term}", values.mean()
    for method, draws in zip(METHODS, generators, strict=True):
        for mechanism, gaps in missing.items():
            found = infer(
                vae, tensor, torch.from_numpy(gaps), method=method, generator=draws, n_draws=1
            )
            scores = metrics.score(images, found.mean.numpy(), gaps)
            for (output, region, metric), values in scores.items():
                if region == "image":
                    yield f"{mechanism}/{method}/{output}/{region}/{metric}", values.mean()
