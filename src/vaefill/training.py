"""Training: Adam on the negative ELBO, resumable at every epoch.

Data order and draws come from one generator, so that the run is determined by the initial
weights, the data and that generator's state.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from vaefill.elbo import elbo
from vaefill.errors import InputError
from vaefill.vae import VAE


class Epoch(NamedTuple):
    """Means over one epoch, in nats per image; loss = reconstruction + kl = -ELBO.

    The training terms are running means over the batches while the weights change, the
    validation terms belong to the weights at the end of the epoch.
    """

    epoch: int
    train_loss: float
    train_reconstruction: float
    train_kl: float
    valid_loss: float
    valid_reconstruction: float
    valid_kl: float


class Checkpoint(Protocol):
    """Keeps the state of an unfinished run."""

    def load(self) -> dict[str, Any] | None:
        """Return the last state saved, if there is one."""
        ...

    def save(self, state: dict[str, Any]) -> None:
        """Replace the state."""
        ...


def fit(
    vae: VAE,
    train: Tensor,
    valid: Tensor,
    *,
    epochs: int,
    batch_size: int,
    lr: float,
    generator: torch.Generator,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[Epoch], None] | None = None,
) -> list[Epoch]:
    """Minimise the mean negative ELBO, one draw per image, with Adam at a constant rate.

    Parameters
    ----------
    vae : VAE
        Trained in place.
    train, valid : Tensor of shape (n, pixels)
        Images in [0, 1], on the model's device; the last batch may be smaller.
    epochs : int
        Passes over `train`.
    batch_size : int
        Images per step.
    lr : float
        Learning rate of Adam.
    generator : torch.Generator
        Source of data order and draws, on the model's device.
    checkpoint : Checkpoint, optional
        Asked for a state to go on from; given the state after each epoch.
    progress : callable, optional
        Called with each finished epoch.

    Returns
    -------
    list of Epoch
        The history, that of a resumed run included.

    Raises
    ------
    InputError
        When a term of the loss is not finite; the message names epoch, batch and term.
    """
    optimizer = torch.optim.Adam(vae.parameters(), lr=lr, fused=True)
    # Validation draws start from the same state each epoch: the curve shows the model, not them.
    valid_state = generator.get_state()
    history: list[Epoch] = []
    state = checkpoint.load() if checkpoint else None
    if state is not None:
        vae.load_state_dict(state["vae"])
        optimizer.load_state_dict(state["optimizer"])
        generator.set_state(state["generator"])
        valid_state = state["valid_generator"]
        history = [Epoch(*row) for row in state["history"]]

    for epoch in range(len(history) + 1, epochs + 1):
        order = torch.randperm(len(train), generator=generator, device=train.device)
        terms = []
        for batch in order.split(batch_size):
            bound = elbo(vae, train.index_select(0, batch), generator)
            reconstruction, divergence = -bound.reconstruction.mean(), bound.kl.mean()
            optimizer.zero_grad()
            (reconstruction + divergence).backward()
            optimizer.step()
            terms.append(torch.stack([reconstruction.detach(), divergence.detach()]))
        train_terms = _mean_terms(terms, order.split(batch_size), f"epoch {epoch}")
        valid_terms = _validate(vae, valid, batch_size, valid_state, f"epoch {epoch}, validation")
        history.append(Epoch(epoch, sum(train_terms), *train_terms, sum(valid_terms), *valid_terms))
        if checkpoint:
            checkpoint.save(
                {
                    "vae": vae.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "generator": generator.get_state(),
                    "valid_generator": valid_state,
                    "history": [tuple(row) for row in history],
                }
            )
        if progress:
            progress(history[-1])
    return history


@torch.no_grad()
def _validate(
    vae: VAE, valid: Tensor, batch_size: int, state: Tensor, where: str
) -> tuple[float, float]:
    generator = torch.Generator(valid.device)
    generator.set_state(state)
    batches = valid.split(batch_size)
    terms = []
    for x in batches:
        bound = elbo(vae, x, generator)
        terms.append(torch.stack([-bound.reconstruction.mean(), bound.kl.mean()]))
    return _mean_terms(terms, batches, where)


def _mean_terms(
    terms: list[Tensor], batches: tuple[Tensor, ...], where: str
) -> tuple[float, float]:
    """Average over images; looked at once per epoch, so that a GPU need not wait each step."""
    table = torch.stack(terms).double().cpu()
    for number, row in enumerate(table.tolist(), start=1):
        for name, value in zip(("reconstruction", "kl"), row, strict=True):
            if not math.isfinite(value):
                raise InputError(
                    f"training diverged: {where}, batch {number}: {name} = {value}; "
                    "a finite loss is needed: lower train.lr, or raise df if it is small"
                )
    weights = torch.tensor([len(batch) for batch in batches], dtype=torch.float64)
    reconstruction, divergence = (weights @ table / weights.sum()).tolist()
    return reconstruction, divergence
