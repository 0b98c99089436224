"""What training work buys: the errors of one trained model under several masks."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from study.trials.degradation import Case
from vaefill.inference import infer
from vaefill.metrics.images import score
from vaefill.missingness.mechanisms import draw
from vaefill.models import VAE, ConditionalVAE

#: What is known of a model, then of a score.
COLUMNS = (
    "networks", "epochs", "tflop", "images", "mechanism", "setting", "region", "metric", "value",
)  # fmt: skip
#: Region and metric: whole images, and how far off what was missing is.
SCORES = (("image", "mse"), ("image", "ssim"), ("missing", "mse"))


def scores(
    model: VAE | ConditionalVAE,
    images: NDArray[np.floating[Any]],
    cases: Iterable[Case],
    *,
    seed: int,
    generator: torch.Generator,
) -> Iterator[tuple[str, float | str, str, str, float]]:
    """Fill images in by a single pass, case by case, and score them.

    Parameters
    ----------
    model : VAE or ConditionalVAE
        A trained one.
    images : array of shape (n, height, width)
        Complete, in [0, 1].
    cases : iterable of Case
        How pixels are hidden, see `study.trials.degradation.grid`.
    seed : int
        Of what is hidden: the same hides the same pixels from every model.
    generator : torch.Generator
        On the model's device; a single pass draws nothing from it.

    Yields
    ------
    tuple
        Mechanism, setting, region, metric and the mean over images.
    """
    for case in cases:
        (missing,) = draw(images, seed=seed, settings={case.mechanism: case.keywords}).values()
        found = infer(model, images, missing, method="single_pass", generator=generator)
        values = score(images, found.mean.numpy(), missing)
        for region, metric in SCORES:
            mean = float(np.nanmean(values["imputation", region, metric]))
            yield case.name, "" if case.setting is None else case.setting, region, metric, mean
