"""One way to impute, tried on images whose missing pixels are known.

Draws of the pixels follow from codes in two steps: the decoder
gives what a code expects of a pixel, and a table learned on validation images gives the grey
levels that such pixels have (`vaefill.models.greylevels`). For draws of codes the table is
p(grey|z): learned at codes that explain the complete image, because the spread of codes that are
inferred from the observed pixels is in the draws already. A method with one code per image has no
such draws; all of its uncertainty must be in the table, learned at what it infers.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from study.trials.imputers import Imputer
from vaefill.errors import InputError
from vaefill.inference.target import Inferred
from vaefill.metrics import images as metrics
from vaefill.metrics.calibration import CURVE, pixel_means, score_draws
from vaefill.missingness.mechanisms import draw
from vaefill.models.greylevels import GreyLevels, fit_grey_levels
from vaefill.storage import load_arrays

BATCH = 250  # images whose draws are held at a time


class Known(NamedTuple):
    """Images whose missing pixels are known: uint8 and bool arrays of shape (n, height, width)."""

    images: NDArray[np.uint8]
    missing: NDArray[np.bool_]

    def tensors(self) -> tuple[Tensor, Tensor]:
        """Pixels in [0, 1], and where they are missing."""
        return torch.from_numpy(self.images / np.float32(255)), torch.from_numpy(self.missing)


def learn_grey_levels(imputer: Imputer, known: Known, *, has_draws: bool) -> GreyLevels:
    """Learn which grey levels missing pixels have, given what a single code expects of them."""
    images, missing = known.tensors()
    infer = imputer.explain if has_draws else lambda *images: imputer.infer(*images).codes
    (expected,) = imputer.decode(infer(images, missing), images, missing)
    return fit_grey_levels(expected, torch.from_numpy(known.images), missing)


def draw_pixels(
    imputer: Imputer,
    codes: Tensor,
    known: Known,
    grey_levels: GreyLevels,
    *,
    n_draws: int,
    generator: torch.Generator,
) -> NDArray[np.uint8]:
    """Draw completed images: observed pixels as they are, missing ones from the imputer.

    Parameters
    ----------
    imputer : Imputer
        Decodes the codes.
    codes : Tensor of shape (J, n, latent)
        Of the images. A method that has one code per image, J = 1, gives draws that differ in
        the grey levels alone.
    known : Known
        The n images.
    grey_levels : GreyLevels
        Of `learn_grey_levels`.
    n_draws : int
        Imputations per image.
    generator : torch.Generator
        Source of the grey levels, on the CPU.

    Returns
    -------
    uint8 array of shape (n_draws, n, height, width)
    """
    images, missing = known.tensors()
    expected = imputer.decode(codes[:n_draws], images, missing)[:, missing]
    expected = expected.expand(n_draws, -1) if len(codes) == 1 else expected
    draws = np.repeat(known.images[None], n_draws, axis=0)
    draws[:, known.missing] = grey_levels.sample(expected, generator).numpy()
    return draws


def score_uncertainty(
    imputer: Imputer,
    codes: Tensor,
    known: Known,
    grey_levels: GreyLevels,
    *,
    n_draws: int,
    generator: torch.Generator,
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.float32]]:
    """Score draws of the missing pixels, a batch of images at a time.

    Parameters
    ----------
    imputer, codes, known, grey_levels, n_draws, generator
        As for `draw_pixels`.

    Returns
    -------
    scores : dict of str to float64 array of shape (n,)
        Of `vaefill.metrics.calibration.score_draws`, at the levels of its calibration curve.
    ink : float32 array of shape (n_draws, n)
        Mean intensity of every completed image.
    """
    scores: list[dict[str, NDArray[np.float64]]] = []
    ink = []
    for start in range(0, len(known.images), BATCH):
        some = Known(*(array[start : start + BATCH] for array in known))  # type: ignore[arg-type]
        draws = draw_pixels(
            imputer, codes[:, start : start + BATCH], some, grey_levels,
            n_draws=n_draws, generator=generator,
        )  # fmt: skip
        scores.append(score_draws(draws, some.images, some.missing, CURVE))
        ink.append(draws.mean((-2, -1), dtype=np.float64) / 255)
    joined = {key: np.concatenate([part[key] for part in scores]) for key in scores[0]}
    return joined, np.concatenate(ink, axis=1).astype(np.float32)


def hard_cases(known: Known, labels: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """Choose of each digit the image of which most ink is missing."""
    hidden = np.where(known.missing, known.images, 0).sum((1, 2), dtype=np.int64)
    return np.array(
        [
            max(np.flatnonzero(labels == digit), key=lambda row: hidden[row])
            for digit in np.unique(labels)
        ]
    )


def draws_sheet(
    imputer: Imputer, inferred: Inferred, known: Known, rows: NDArray[np.intp], *, n_shown: int = 6
) -> NDArray[np.uint8]:
    """Lay out what is drawn for some images; shown is what each code expects, without grain.

    Returns
    -------
    uint8 array of shape (len(rows), 3 + n_shown, height, width)
        Columns: image, missing (255), imputation, then imputations of single draws.
    """
    some = Known(known.images[rows], known.missing[rows])
    images, missing = some.tensors()
    spread = np.linspace(0, len(inferred.codes) - 1, n_shown).astype(int)
    codes = inferred.codes[spread][:, rows]
    expected = imputer.decode(codes, images, missing)
    filled = torch.cat([inferred.mean[rows][None], expected]).where(missing, images)
    columns = [some.images, some.missing * np.uint8(255)]
    columns += list((filled * 255).round().to(torch.uint8).numpy())
    return np.stack(columns, axis=1)


class Trial(NamedTuple):
    """Test images under one mechanism, and validation images under the same."""

    test: Known
    valid: Known


def load_trials(
    split: str | Path,
    missing: str | Path,
    settings: Mapping[str, Any],
    *,
    n_test: int,
    n_valid: int,
    seed: int,
) -> dict[str, Trial]:
    """Read the first test images, and hide pixels of validation images in the same ways.

    Parameters
    ----------
    split, missing : path-like
        What the stages `split` and `mask` wrote.
    settings : dict
        Section `mask`: ``seed``, and per mechanism its settings.
    n_test, n_valid : int
        Test and validation images, the first ones.
    seed : int
        Of the missing pixels of the validation images.

    Returns
    -------
    dict of str to Trial
        Per mechanism.

    Raises
    ------
    InputError
        When there are fewer images.
    """
    arrays = load_arrays(split)
    for part, n in (("test", n_test), ("valid", n_valid)):
        if n > (size := len(arrays[f"{part}_images"])):
            raise InputError(f"{n} {part} images: {split} has {size}; ask for at most so many")
    valid = arrays["valid_images"][:n_valid]
    mechanisms = {name: value for name, value in settings.items() if name != "seed"}
    hidden = draw(valid / np.float32(255), seed=seed, settings=mechanisms)
    return {
        mechanism: Trial(
            Known(arrays["test_images"][:n_test], gaps[:n_test]), Known(valid, hidden[mechanism])
        )
        for mechanism, gaps in load_arrays(missing).items()
    }


def try_imputer(
    imputer: Imputer, trial: Trial, *, n_draws: int, seed: int
) -> tuple[Inferred, dict[str, NDArray[Any]]]:
    """Impute test images under one mechanism, and score the uncertainty.

    Parameters
    ----------
    imputer : Imputer
        What is tried.
    trial : Trial
        Grey levels are learned on its validation images.
    n_draws : int
        Imputations per image.
    seed : int
        Of the grey levels.

    Returns
    -------
    inferred : Inferred
        Of the test images.
    arrays : dict of str to array
        ``mean`` (float16), ``ink``, ``diagnostics/...`` and ``uncertainty/...``.
    """
    inferred = imputer.infer(*trial.test.tensors())
    grey_levels = learn_grey_levels(imputer, trial.valid, has_draws=len(inferred.codes) > 1)
    scores, ink = score_uncertainty(
        imputer, inferred.codes, trial.test, grey_levels,
        n_draws=n_draws, generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip
    # Half precision: its rounding is far below a grey level.
    arrays: dict[str, NDArray[Any]] = {"mean": inferred.mean.numpy().astype(np.float16), "ink": ink}
    arrays |= {f"diagnostics/{k}": v.numpy() for k, v in inferred.diagnostics.items()}
    arrays |= {f"uncertainty/{k}": v for k, v in scores.items()}
    return inferred, arrays


def headline(known: Known, found: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Say in three numbers how an imputer did on missing pixels; ``scores.csv`` has them too.

    Parameters
    ----------
    known : Known
        The test images.
    found : dict of str to array
        From `try_imputer`.

    Returns
    -------
    dict of str to float
        ``mse``, ``crps`` and ``coverage_0.95``.
    """
    scores = metrics.score(
        known.images / np.float32(255), found["mean"].astype(np.float32), known.missing
    )
    start = "uncertainty/"
    means = pixel_means({k.removeprefix(start): v for k, v in found.items() if start in k})
    return {
        "mse": float(np.nanmean(scores["imputation", "missing", "mse"])),
        "crps": means["crps"],
        "coverage_0.95": means["pit_95"],
    }
