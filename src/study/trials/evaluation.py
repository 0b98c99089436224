"""What is reported of one trained model: test ELBO, scores, and pictures to look at."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vaefill.models.elbo import elbo
from vaefill.models.vae import VAE


@torch.no_grad()
def bound_per_image(
    vae: VAE,
    images: torch.Tensor,
    *,
    n_draws: int,
    generator: torch.Generator,
    batch_size: int = 1000,
) -> dict[str, NDArray[np.float64]]:
    """Compute both terms of the ELBO, and the bound itself, per image.

    The reconstruction is a mean over draws, the KL exact for every family.

    Parameters
    ----------
    vae : VAE
        Trained model.
    images : Tensor of shape (n, height, width)
        Pixels in [0, 1].
    n_draws : int
        Posterior draws per image, averaged.
    generator : torch.Generator
        Source of the draws, on the model's device.
    batch_size : int, default=1000
        Images at a time; bounds the memory.

    Returns
    -------
    dict of str to float64 array of shape (n,)
        ``elbo``, ``kl`` and ``reconstruction``, in nats.
    """
    batches = [x.flatten(1).to(generator.device) for x in images.split(batch_size)]
    bounds = [elbo(vae, x, generator, n_draws=n_draws, kl="quadrature") for x in batches]
    reconstruction, kl = (_column(parts) for parts in zip(*bounds, strict=True))
    return {"elbo": reconstruction - kl, "kl": kl, "reconstruction": reconstruction}


def _column(parts: Sequence[torch.Tensor]) -> NDArray[np.float64]:
    column: NDArray[np.float64] = torch.cat(tuple(parts)).double().cpu().numpy()
    return column


@torch.no_grad()
def prior_samples(vae: VAE, *, n: int, generator: torch.Generator) -> NDArray[np.float32]:
    """Decode `n` draws of the prior: expected pixels, of shape (n, pixels)."""
    z = vae.prior.rsample(generator, (n,))
    samples: NDArray[np.float32] = vae.likelihood(z).mean.cpu().numpy()
    return samples


def means(scores: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Average each score over the images in which it is defined.

    A score is nan where its region is empty, as ``observed`` is where everything is missing; one
    that is defined in no image is left out. The parts of a name are divided by ``/``, those of a
    column by dots.

    Parameters
    ----------
    scores : dict of str to float array of shape (n,)
        Under ``/``-separated names.

    Returns
    -------
    dict of str to float
        Under dotted names.
    """
    defined = {name: values[~np.isnan(values)] for name, values in scores.items()}
    return {
        name.replace("/", "."): float(np.mean(values))
        for name, values in defined.items()
        if len(values)
    }


def flatten(tree: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested dicts, each under its dotted path."""
    for name, branch in tree.items():
        if isinstance(branch, Mapping):
            yield from ((f"{name}.{path}", leaf) for path, leaf in flatten(branch))
        else:
            yield name, branch


def example_sheet(
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    predictions: Mapping[str, NDArray[np.float32]],
    missing: Mapping[str, NDArray[np.bool_]],
) -> NDArray[np.uint8]:
    """Choose the first test image of each digit, and lay out what was made of it.

    Parameters
    ----------
    images : uint8 array of shape (n, height, width)
        Test images.
    labels : uint8 array of shape (n,)
        Their digits.
    predictions : dict of str to float array of shape (n, height, width)
        Per mechanism, ``none`` included; pixels in [0, 1].
    missing : dict of str to bool array of shape (n, height, width)
        Per mechanism.

    Returns
    -------
    uint8 array of shape (digits, columns, height, width)
        Columns: image, reconstruction, then missing (255) and prediction per mechanism.
    """
    _, rows = np.unique(labels, return_index=True)
    columns = [images[rows], as_grey(predictions["none"][rows])]
    for mechanism, gaps in missing.items():
        columns += [gaps[rows] * np.uint8(255), as_grey(predictions[mechanism][rows])]
    return np.stack(columns, axis=1)


def as_grey(pixels: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Round pixels in [0, 1] to grey values 0 to 255."""
    grey: NDArray[np.uint8] = np.rint(pixels * 255).astype(np.uint8)
    return grey
