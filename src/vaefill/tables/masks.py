"""Observed cells hidden on purpose: held out to judge a fit by, or hidden to learn from.

A cell here is one of an original column: all slots of a categorical column go together. Every
observed cell gets a number from U(0, 1) and is drawn where that lies below a share. The cell with
the largest number of its row is never drawn, so that no row loses all of its cells.
"""

import torch
from torch import Tensor

#: So many cells of a column are never held out.
KEPT = 3


def hold_out(observed: Tensor, column: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Draw cells for a fit to be judged by.

    Parameters
    ----------
    observed : bool Tensor of shape (n_samples, n_slots)
        The slots of one column are observed together.
    column : int64 Tensor of shape (n_slots,)
        The column of every slot, counted from 0.
    share : float
        Probability that a cell is drawn, in [0, 1].
    generator : torch.Generator
        On the device of `observed`.

    Returns
    -------
    bool Tensor of shape (n_samples, n_slots)
        True in some of the observed cells, never in all of a row. What is left of a column has at
        least three cells; a column that has no more is left alone.
    """
    number = _numbers(observed, column, generator)
    spared = number.topk(min(KEPT, len(number)), dim=0).values[-1:]
    return (_below(share, number) & (number < spared))[:, column]


def hide(
    observed: Tensor, column: Tensor, low: float, high: float, generator: torch.Generator
) -> Tensor:
    """Draw cells for a network to learn from: of every row another share.

    Parameters
    ----------
    observed : bool Tensor of shape (n_samples, n_slots)
        The slots of one column are observed together.
    column : int64 Tensor of shape (n_slots,)
        The column of every slot, counted from 0.
    low, high : float
        In [0, 1]. A row's share is drawn from U(low, high): the probability of each of its cells.
    generator : torch.Generator
        On the device of `observed`.

    Returns
    -------
    bool Tensor of shape (n_samples, n_slots)
        True in some of the observed cells, never in all of a row.
    """
    number = _numbers(observed, column, generator)
    uniform = torch.rand(len(number), 1, generator=generator, device=number.device)
    return _below(low + (high - low) * uniform, number)[:, column]


def _numbers(observed: Tensor, column: Tensor, generator: torch.Generator) -> Tensor:
    """Numbers from U(0, 1) of the observed cells, -1 elsewhere."""
    shape = len(observed), int(column.max()) + 1
    cells = observed.new_zeros(shape)
    cells[:, column] = observed
    return torch.rand(shape, generator=generator, device=observed.device).where(cells, -1)


def _below(share: float | Tensor, number: Tensor) -> Tensor:
    """Which observed cells are drawn: those below the share, but never the row's largest."""
    return (number >= 0) & (number < share) & (number < number.amax(1, keepdim=True))
