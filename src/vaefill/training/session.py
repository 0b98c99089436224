"""One training run, from a fresh or interrupted start to its files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from vaefill import storage
from vaefill.models.files import Model, save
from vaefill.training.checkpoint import checkpointed
from vaefill.training.devices import environment
from vaefill.training.fit import Epoch, fit

M = TypeVar("M", bound=nn.Module)


def begin(
    kind: Callable[..., M], family: str, *, seed: int, device: torch.device, **settings: Any
) -> tuple[M, torch.Generator]:
    """Make a fresh model, and the generator that its training is to draw from.

    Initial weights and training draw from independent streams of the one seed.

    Parameters
    ----------
    kind : type
        `vaefill.models.vae.VAE` or `vaefill.models.conditional.ConditionalVAE`.
    family, **settings
        As for `kind`.
    seed : int
        0 or above.
    device : torch.device
        Where both are to be.
    """
    of_weights, of_training = np.random.SeedSequence(seed).generate_state(2).tolist()
    model = kind(family, **settings, generator=torch.Generator().manual_seed(of_weights))
    return model.to(device), torch.Generator(device).manual_seed(of_training)


def train(
    vae: Model,
    train: Tensor,
    valid: Tensor,
    *,
    key: str,
    epochs: int,
    generator: torch.Generator,
    out: str | Path,
    history: str | Path,
    checkpoints: str | Path,
    precision: str = "float32",
    **settings: Any,
) -> None:
    """Train with progress and a checkpoint; write model and history at the end.

    The checkpoint is gone once the files are there.

    Parameters
    ----------
    vae : VAE or ConditionalVAE
        Trained in place.
    train, valid : Tensor of shape (n, pixels)
        Images in [0, 1], on the model's device.
    key : str
        Of everything that determines the result, see `vaefill.training.checkpoint.run_key`.
    epochs : int
        Passes over `train`.
    generator : torch.Generator
        Source of data order and draws, on the model's device.
    out, history : path-like
        The model; the losses per epoch, beside device, versions and `precision`.
    checkpoints : path-like
        Directory of unfinished runs.
    precision : str, default="float32"
        What the networks compute in, for the history.
    **settings
        Further keywords of `vaefill.training.fit.fit`.

    Raises
    ------
    InputError
        When another process is at work on the same run, and as for `vaefill.training.fit.fit`.
    """
    with (
        checkpointed(checkpoints, key) as checkpoint,
        tqdm(total=epochs, unit="epoch", mininterval=2) as bar,
    ):

        def show(row: Epoch) -> None:
            bar.set_postfix_str(f"loss {row.train_loss:.2f}, valid {row.valid_loss:.2f}", False)
            bar.update(row.epoch - bar.n)

        rows = fit(
            vae,
            train,
            valid,
            epochs=epochs,
            generator=generator,
            checkpoint=checkpoint,
            progress=show,
            **settings,
        )
        save(out, vae)
        facts = {**environment(generator.device), "precision": precision}
        storage.save_table(
            history, (*Epoch._fields, *facts), [(*row, *facts.values()) for row in rows]
        )
