"""Training: gradient steps on the negative ELBO, resumable at every epoch.

Data order and draws come from one generator, so that the run is determined by the initial
weights, the data and that generator's state.

References
----------
.. [1] L. N. Smith, N. Topin, "Super-convergence: very fast training of neural networks using
   large learning rates", arXiv:1708.07120 (2017).
.. [2] I. Higgins et al., "beta-VAE: learning basic visual concepts with a constrained
   variational framework", ICLR 2017.
"""

import copy
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR
from torch.utils.flop_counter import FlopCounterMode

from vaefill.errors import InputError
from vaefill.models.elbo import elbo
from vaefill.models.vae import one_of
from vaefill.training.optimizers import OPTIMIZERS


class DivergedError(InputError):
    """A training whose loss stopped being a finite number.

    Attributes
    ----------
    epoch : int
        In which that was found, from 1.
    """

    def __init__(self, message: str, epoch: int) -> None:
        super().__init__(message)
        self.epoch = epoch


class Epoch(NamedTuple):
    """Means over one epoch, in nats per image; loss = reconstruction + kl = -ELBO.

    The training terms are running means over the batches while the weights change, the
    validation terms belong to the weights at the end of the epoch. ``tflop`` is the work of all
    training steps so far, in 10^12 floating-point operations, see `work`.
    """

    epoch: int
    train_loss: float
    train_reconstruction: float
    train_kl: float
    valid_loss: float
    valid_reconstruction: float
    valid_kl: float
    tflop: float


class Bound(Protocol):
    """Terms of a bound per image, in nats, and what training makes of them."""

    @property
    def reconstruction(self) -> Tensor:
        """How well images come out, of shape (n,)."""
        ...

    @property
    def kl(self) -> Tensor:
        """What their codes cost, of shape (n,)."""
        ...

    def loss(self, kl_weight: float = 1.0) -> Tensor:
        """Return what is minimised."""
        ...


def constant(optimizer: Optimizer, *, lr: float, steps: int, warmup: float) -> LRScheduler:
    """Keep the rate that the optimizer has; the other arguments do not matter."""
    return LambdaLR(optimizer, lambda _: 1.0)


def one_cycle(optimizer: Optimizer, *, lr: float, steps: int, warmup: float) -> LRScheduler:
    """Raise the rate to `lr` over the share `warmup` of the steps, then lower it to 0 [1]_.

    Both ways along a cosine, from a twenty-fifth of `lr`. Adam's moments stay as they are.
    """
    if warmup * steps == 1:  # just less: OneCycleLR would divide by the way to the first step, 0
        warmup *= 1 - 1e-9
    return OneCycleLR(optimizer, lr, total_steps=steps, pct_start=warmup, cycle_momentum=False)


SCHEDULES: dict[str, Callable[..., LRScheduler]] = {"constant": constant, "one_cycle": one_cycle}


class Checkpoint(Protocol):
    """Keeps the state of an unfinished run."""

    def load(self) -> dict[str, Any] | None:
        """Return the last state saved, if there is one."""
        ...

    def save(self, state: dict[str, Any]) -> None:
        """Replace the state."""
        ...


def fit(
    vae: nn.Module,
    train: Tensor,
    valid: Tensor,
    *,
    epochs: int,
    batch_size: int,
    lr: float,
    optimizer: str = "adam",
    schedule: str = "constant",
    warmup: float = 0.1,
    kl_weight: float = 1.0,
    clip: float | None = None,
    bound: Callable[[Any, Tensor, torch.Generator], Bound] = elbo,
    generator: torch.Generator,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[Epoch], None] | None = None,
) -> list[Epoch]:
    r"""Minimise the mean negative ELBO, one draw per image.

    .. math:: -\mathbb E_{q(z|x)} \ln p(x|z) + \beta\, \mathrm{KL}(q(z|x) \| p(z))

    with :math:`\beta` = `kl_weight`, 1 for the ELBO itself; or another loss that `bound` has.

    Parameters
    ----------
    vae : nn.Module
        Trained in place.
    train, valid : Tensor of shape (n, pixels)
        Images in [0, 1], on the model's device; the last batch may be smaller.
    epochs : int
        Passes over `train`.
    batch_size : int
        Images per step.
    lr : float
        Learning rate: the highest, where the schedule moves it.
    optimizer : {"adam", "sgd", "momentum", "muon"}
        A key of `vaefill.training.optimizers.OPTIMIZERS`.
    schedule : {"constant", "one_cycle"}
        A key of `SCHEDULES`.
    warmup : float, default=0.1
        Share of the steps in which ``one_cycle`` raises the rate, in (0, 1).
    kl_weight : float, default=1
        :math:`\beta` of [2]_, 0 or above. The history's terms stay unweighted.
    clip : float, optional
        The longest gradient; one that is longer is shortened to it, as by a batch that holds a
        row from far out. Without it all stay as they are.
    bound : callable, default=elbo
        The terms of the objective per image: ``bound(vae, x, generator)``.
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
        When `schedule` or `optimizer` is unknown.
    DivergedError
        When a term of the loss is not finite; the message names epoch, batch and term.
    """
    schedule_of = SCHEDULES[one_of("schedule", schedule, SCHEDULES)]
    make = OPTIMIZERS[one_of("optimizer", optimizer, OPTIMIZERS)]
    stepper = make(vae, lr)
    steps_per_epoch = math.ceil(len(train) / batch_size)
    steps = epochs * steps_per_epoch
    scheduler = schedule_of(stepper, lr=lr, steps=steps, warmup=warmup)
    # Validation draws start from the same state each epoch: the curve shows the model, not them.
    valid_state = generator.get_state()
    history: list[Epoch] = []
    state = checkpoint.load() if checkpoint else None
    if state is not None:
        vae.load_state_dict(state["vae"])
        stepper.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
        generator.set_state(state["generator"])
        valid_state = state["valid_generator"]
        history = [Epoch(*row) for row in state["history"]]
    tflop = steps_per_epoch * 1e-12 * work(vae, train[:batch_size], make=make, bound=bound)

    for epoch in range(len(history) + 1, epochs + 1):
        order = torch.randperm(len(train), generator=generator, device=train.device)
        terms = []
        for batch in order.split(batch_size):
            value = bound(vae, train.index_select(0, batch), generator)
            stepper.zero_grad()
            value.loss(kl_weight).backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(vae.parameters(), clip)
            stepper.step()
            scheduler.step()
            terms.append(_terms(value))
        train_terms = _mean_terms(terms, order.split(batch_size), epoch)
        valid_terms = _validate(partial(bound, vae), valid, batch_size, valid_state, epoch)
        losses = sum(train_terms), *train_terms, sum(valid_terms), *valid_terms
        history.append(Epoch(epoch, *losses, epoch * tflop))
        if checkpoint:
            checkpoint.save(
                {
                    "vae": vae.state_dict(),
                    "optimizer": stepper.state_dict(),
                    "scheduler": scheduler.state_dict(),
                    "generator": generator.get_state(),
                    "valid_generator": valid_state,
                    "history": [tuple(row) for row in history],
                }
            )
        if progress:
            progress(history[-1])
    return history


def work(
    vae: nn.Module,
    x: Tensor,
    *,
    make: Callable[[nn.Module, float], Optimizer],
    bound: Callable[[Any, Tensor, torch.Generator], Bound],
) -> int:
    """Count the floating-point operations of one training step, on a copy of the model.

    Those of matrix products and convolutions, forwards, backwards and in the optimizer, a product
    and its sum as two: nearly all there are. Nothing is measured, so that the number is the same on
    every machine.

    Parameters
    ----------
    vae : nn.Module
        Left as it is.
    x : Tensor of shape (n, pixels)
        A batch.
    make : callable
        A value of `vaefill.training.optimizers.OPTIMIZERS`.
    bound : callable
        See `fit`.
    """
    vae = copy.deepcopy(vae)
    optimizer = make(vae, 0.0)
    with FlopCounterMode(display=False) as counter:
        bound(vae, x, torch.Generator(x.device)).loss().backward()
        optimizer.step()
    return int(counter.get_total_flops())


def _terms(value: Bound) -> Tensor:
    """Reconstruction and KL, means over a batch."""
    return torch.stack([-value.reconstruction.detach().mean(), value.kl.detach().mean()])


@torch.no_grad()
def _validate(
    bound: Callable[[Tensor, torch.Generator], Bound],
    valid: Tensor,
    batch_size: int,
    state: Tensor,
    epoch: int,
) -> tuple[float, float]:
    generator = torch.Generator(valid.device)
    generator.set_state(state)
    batches = valid.split(batch_size)
    terms = []
    for x in batches:
        terms.append(_terms(bound(x, generator)))
    return _mean_terms(terms, batches, epoch, ", validation")


def _mean_terms(
    terms: list[Tensor], batches: tuple[Tensor, ...], epoch: int, part: str = ""
) -> tuple[float, float]:
    """Average over images; looked at once per epoch, so that a GPU need not wait each step."""
    table = torch.stack(terms).double().cpu()
    for number, row in enumerate(table.tolist(), start=1):
        for name, value in zip(("reconstruction", "kl"), row, strict=True):
            if not math.isfinite(value):
                raise DivergedError(
                    f"training diverged: epoch {epoch}{part}, batch {number}: {name} = {value}; "
                    "a finite loss is needed: lower train.lr, or raise df if it is small",
                    epoch,
                )
    weights = torch.tensor([len(batch) for batch in batches], dtype=torch.float64)
    reconstruction, divergence = (weights @ table / weights.sum()).tolist()
    return reconstruction, divergence
