r"""Training of the ensemble: cells are hidden anew, and the members learn to fill them in.

The loss of a member is, per newly hidden cell of a batch of rows,

.. math:: (x - \mu)^2 - \ln p(x \mid [\mu], \sigma) + \beta \, \mathrm{KL}(q(z \mid \text{visible})
    \,\|\, p(z))

in standardised units, where every column's variance is about 1. The squared error is that of
`Mixed.squared_error`: outliers have little weight in it where `Mixed.df` is finite. In the second
term the location [mu] of numeric cells is held fixed: it trains the variance. Of a categorical
column's cell, the first term is the mean over its slots, a Brier score, and the second the
cross-entropy, which trains the location.

References
----------
.. [1] I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from vaefill.errors import InputError
from vaefill.models.distributions import Normal, StudentT
from vaefill.models.divergences import kl_normal, kl_student_t
from vaefill.tables.likelihoods import Mixed
from vaefill.tables.network import Batch, Ensemble, Output, make_ensemble

LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-3
BETAS = (0.9, 0.98)
WARM_UP = 50  # steps
LAST_RATE = 0.02  # part of the learning rate that is left at the end
KL_WEIGHT = 0.02
KL_NODES = 12  # of t codes: within 0.005 nats from `df` = 2
LARGEST_GRADIENT = 5.0  # norm, of a member
PATIENCE = 6  # evaluations without improvement
IMPROVEMENT = 5e-4  # part of the held-out loss by which it must fall
LARGEST = 1e4  # standardised values beyond lie there: their squares must stay finite
HELD_OUT_ROWS = 4096  # enough to tell when to stop

Report = Callable[[int, float, float], None]


@dataclass(frozen=True)
class Example(Batch):
    """Rows some of whose cells are hidden, to learn from.

    Parameters
    ----------
    hidden : bool Tensor of shape (n, p)
        Cells that are known, and hidden from the features. Of a column all slots or none.
    """

    hidden: Tensor


def fit_network(
    pool: Sequence[Example],
    held_out: Example,
    targets: Tensor,
    likelihood: Mixed,
    *,
    hidden: Sequence[int] = (96, 96, 96),
    n_latents: int = 16,
    df: float = math.inf,
    dropout: float = 0.1,
    n_members: int = 3,
    max_iter: int = 1200,
    batch_size: int = 128,
    generator: torch.Generator,
    report: Report | None = None,
) -> Ensemble:
    """Train an ensemble on hidden cells, until held-out ones are filled in no better.

    Parameters
    ----------
    pool : sequence of Example
        The same n rows several times, with other cells hidden each time.
    held_out : Example
        These rows once more: its hidden cells are visible nowhere in `pool`, and hidden nowhere.
    targets : float32 Tensor of shape (n, p)
        The table in standardised units; any finite number where it is missing.
    likelihood : Mixed
        Kinds of the slots.
    hidden, n_latents, df, dropout, n_members
        Those of `make_ensemble`.
    max_iter : int, default=1200
        Greatest number of optimiser steps.
    batch_size : int, default=128
        Rows of a step.
    generator : torch.Generator
        Source of all randomness, on the device of the tensors.
    report : callable, optional
        Called at every evaluation with the step, the mean loss and the mean held-out loss of the
        members.

    Returns
    -------
    Ensemble
        Each member as it was when it filled in the held-out cells best. Where no cell is hidden,
        as in a table of one column, the ensemble is as it starts.

    Raises
    ------
    InputError
        When a size is out of range, or the loss is not finite.
    """
    ensemble = make_ensemble(
        likelihood,
        held_out.features.shape[1],
        hidden=hidden,
        n_latents=n_latents,
        df=df,
        dropout=dropout,
        n_members=n_members,
        generator=generator,
    )
    rows = held_out.hidden.any(1).nonzero().squeeze(1)
    if not len(rows) or not any(example.hidden.any() for example in pool):
        return ensemble
    targets = targets.clamp(-LARGEST, LARGEST)
    shuffled = torch.randperm(len(rows), generator=generator, device=rows.device)
    rows = rows[shuffled[:HELD_OUT_ROWS]]
    held_out, held_out_targets = held_out.rows(rows), targets[rows]

    weights = ensemble.weights.clone().requires_grad_()
    optimizer = AdamW(weights)
    batches = _Batches(pool, targets, min(batch_size, len(targets)), n_members, generator)
    best, lowest = ensemble.weights, _held_out_loss(ensemble, held_out, held_out_targets)
    every, failures = max(20, max_iter // 40), 0
    for step in range(1, max_iter + 1):
        example, x = batches.draw()
        output = ensemble.forward(example, weights=weights, dropout=generator, codes=generator)
        terms = loss_terms(likelihood, output, example.hidden, x)
        loss = torch.stack(list(terms.values())).sum(0)
        if not loss.isfinite().all():
            name = next(name for name, term in terms.items() if not term.isfinite().all())
            raise InputError(
                f"step {step} of the network: the {name} is not finite; check for huge values"
            )
        (gradient,) = torch.autograd.grad(loss.sum(), weights)
        optimizer.step(gradient, learning_rate(step, max_iter))
        if step % every and step != max_iter:
            continue
        now = weights.detach()
        error = _held_out_loss(replace(ensemble, weights=now), held_out, held_out_targets)
        improved = error < lowest * (1 - IMPROVEMENT)
        best = now.where(improved.unsqueeze(1), best)
        lowest = error.where(improved, lowest)
        failures = 0 if improved.any() else failures + 1
        if report is not None:
            report(step, loss.mean().item(), error.mean().item())
        if failures == PATIENCE:
            break
    return replace(ensemble, weights=best)


def learning_rate(step: int, max_iter: int) -> float:
    """Rise linearly over the first steps, and fall as a cosine to the last one."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / max_iter))
    return LEARNING_RATE * min(1, step / WARM_UP) * (LAST_RATE + (1 - LAST_RATE) * cosine)


def loss_terms(
    likelihood: Mixed, output: Output, hidden: Tensor, targets: Tensor
) -> dict[str, Tensor]:
    """Terms of the loss per newly hidden cell, by their names; each of shape (members,).

    Parameters
    ----------
    likelihood : Mixed
        Kinds of the slots.
    output : Output
        Of members, for n rows.
    hidden : Tensor of shape (members, n, p)
        Newly hidden cells: 1, others 0.
    targets : Tensor of shape (n, p)
        Their values.
    """
    eta, logvar, posterior = output
    cells = (hidden * likelihood.share).sum((1, 2)).clamp(min=1)
    fixed = eta.where(likelihood.discrete, eta.detach())
    fit = -(hidden * likelihood.log_prob(targets, fixed, logvar)).sum((1, 2)) / cells
    terms = {"squared error": squared_error(likelihood, output, hidden, targets), "likelihood": fit}
    if posterior is not None:
        terms["KL divergence"] = KL_WEIGHT * divergence(posterior).sum(1) / cells
    return terms


def squared_error(likelihood: Mixed, output: Output, hidden: Tensor, targets: Tensor) -> Tensor:
    """First term of the loss, of shape (members,); arguments as those of `loss_terms`."""
    weights = hidden * likelihood.share
    variance = output.logvar.detach().exp()
    errors = likelihood.squared_error(targets, likelihood.mean(output.eta), variance)
    return (weights * errors).sum((1, 2)) / weights.sum((1, 2)).clamp(min=1)


def divergence(posterior: Normal | StudentT) -> Tensor:
    """KL(q(z | visible) || p(z)) of every row, in nats, p being standard; shape (members, n)."""
    if isinstance(posterior, StudentT):
        return kl_student_t(posterior.mu, posterior.logvar, posterior.df, n_nodes=KL_NODES)
    return kl_normal(posterior, Normal(*[torch.zeros_like(posterior.mu)] * 2))


@torch.no_grad()
def _held_out_loss(ensemble: Ensemble, held_out: Example, targets: Tensor) -> Tensor:
    """Squared error of the members, codes at their means."""
    output = ensemble.forward(held_out)
    hidden = held_out.hidden.expand_as(output.eta)
    return squared_error(ensemble.likelihood, output, hidden, targets)


class AdamW:
    """Adam with weight decay apart [1]_, the gradient of each member cut to `LARGEST_GRADIENT`.

    That of `torch.optim` on one tensor, without the seconds that its first use takes.
    """

    def __init__(self, weights: Tensor) -> None:
        self._weights = weights
        self._mean, self._square, self._scale = (torch.zeros_like(weights) for _ in range(3))
        self._t = 0

    @torch.no_grad()
    def step(self, gradient: Tensor, rate: float) -> None:
        """Move the weights against the gradient."""
        self._t += 1
        norm = gradient.norm(dim=1, keepdim=True)
        gradient.mul_(LARGEST_GRADIENT / norm.clamp(min=LARGEST_GRADIENT))
        (first, second), t = BETAS, self._t
        self._mean.lerp_(gradient, 1 - first)
        self._square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        unbias = math.sqrt(1 - second**t)
        scale = torch.sqrt(self._square, out=self._scale).add_(1e-8 * unbias)
        self._weights.mul_(1 - rate * WEIGHT_DECAY)
        self._weights.addcdiv_(self._mean, scale, value=-rate * unbias / (1 - first**t))


class _Batches:
    """Endless batches: the same rows for all members, each row with other cells hidden."""

    def __init__(
        self,
        pool: Sequence[Example],
        targets: Tensor,
        size: int,
        n_members: int,
        generator: torch.Generator,
    ) -> None:
        # One wide table: a batch is then gathered at once.
        self._packed = torch.cat([_pack(example) for example in pool])
        self._n_masks = len(pool)
        self._targets = targets
        self._size, self._members, self._generator = size, n_members, generator
        self._widths = [pool[0].features.shape[1], *[targets.shape[1]] * 5]
        self._order = torch.empty(0, dtype=torch.int64, device=targets.device)

    def draw(self) -> tuple[Example, Tensor]:
        """Rows, whose tensors begin with an axis of members, and their targets."""
        n, device = len(self._targets), self._targets.device
        if len(self._order) < self._size:
            self._order = torch.randperm(n, generator=self._generator, device=device)
        rows, self._order = self._order[: self._size], self._order[self._size :]
        masks = torch.randint(
            self._n_masks, (self._members, self._size), generator=self._generator, device=device
        )
        found = self._packed.index_select(0, (masks * n + rows).flatten())
        features, base, variance, first, second, hidden = found.unflatten(0, masks.shape).split(
            self._widths, -1
        )
        near = torch.stack([first, second], -2)
        return Example(features, base, variance, near, hidden), self._targets[rows]


def _pack(example: Example) -> Tensor:
    parts = (getattr(example, field.name).flatten(1) for field in fields(example))
    return torch.cat([part.to(example.base.dtype) for part in parts], 1)
