r"""What the rows most like a row say about its cells.

Rows are compared as completed tables, in which an imputed cell counts less than an observed one.
With :math:`w_j` = 1 where cell j is observed and 0.2 where it is imputed, a reference x' lies at
the squared distance D from row x and has the weight k,

.. math:: D = \sum_j w_j w'_j (x_j - x'_j)^2, \qquad k = (D + 0.02 \, s)^{-2}

where s is the mean of the row's six smallest D. The donors of a cell are the 15 nearest references
that have its column observed, among the 5 + 24 / q nearest of all; q is the share of the cells of
all references that is observed, or 0.15 where that is more.

A row is not to be its own neighbour, which would tell it nothing but distort s. One that comes back
after the fit is recognised by its cells: a reference in which the same cells are observed, with the
same values, has nothing to say about the others, whether it is the row itself or a twin.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

#: A table has at most so many references, and a cell so many donors.
REFERENCES = 4000
DONORS = 15
#: What an imputed cell counts in a distance; an observed one counts 1.
IMPUTED = 0.2
#: So much of the mean of the `NEAREST` smallest distances is added to each.
FLOOR = 0.02
NEAREST = 6
#: Values further out are compared as if they lay here: float32 then holds small distances too.
BOUND = 30.0

_CHUNK = 128  # rows at a time: their distances fit the cache of one core
_GROUP = 8


@dataclass(frozen=True)
class References:
    """Rows of a table that other rows are compared with.

    Parameters
    ----------
    completed : float32 Tensor of shape (n_references, n_slots)
        Standardised values, observed or imputed.
    observed : bool Tensor of shape (n_references, n_slots)
    residual : float32 Tensor of shape (n_references, n_slots)
        Of observed cells: value minus what the other cells of the row predict. Not used elsewhere.
    index : int64 Tensor of shape (n_references,)
        Their rows in the table, ascending.
    """

    completed: Tensor
    observed: Tensor
    residual: Tensor
    index: Tensor

    @cached_property
    def places(self) -> dict[bytes, int]:
        """Where the reference with given observed cells stands, by their `_keys`."""
        keys = _keys(self.completed, self.observed)
        return {key: place for place, key in enumerate(keys)}


def fit_references(
    completed: Tensor,
    observed: Tensor,
    residual: Tensor,
    *,
    generator: torch.Generator,
    limit: int = REFERENCES,
) -> References:
    """Choose references among the rows of a table, all with the same probability.

    Parameters
    ----------
    completed, residual : Tensor of shape (n_samples, n_slots)
        As in `References`; all finite.
    observed : bool Tensor of shape (n_samples, n_slots)
    generator : torch.Generator
        On the device of the table.
    limit : int, default=4000
        A table of no more rows is taken whole.

    Returns
    -------
    `References`
    """
    order = torch.randperm(len(completed), generator=generator, device=completed.device)
    index = order[:limit].sort().values
    return References(completed[index].float(), observed[index], residual[index].float(), index)


def nearest(
    completed: Tensor, observed: Tensor, references: References, row: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Average over the donors of every cell, nearer ones counting more.

    Parameters
    ----------
    completed : Tensor of shape (n_samples, n_slots)
        Standardised values, observed or imputed.
    observed : bool Tensor of shape (n_samples, n_slots)
    references : References
    row : int64 Tensor of shape (n_samples,), optional
        Where each row stands in the table of the references, so that it is no donor of its own; by
        default it is recognised by its observed cells, if it is there.

    Returns
    -------
    mean, residual : float32 Tensor of shape (n_samples, n_slots)
        Weighted means of the donors' values and of their residuals, in observed cells too. A cell
        without donors gets its own completed value and residual 0: nothing is added to it.
    """
    n_references = len(references.index)
    share = references.observed.float().mean().item()
    n_nearest = min(n_references, 5 + int(1.6 * DONORS / max(share, 0.15)))
    if row is None:
        places = [references.places.get(key, -1) for key in _keys(completed, observed)]
        position = torch.tensor(places, dtype=torch.int64, device=completed.device)
        itself = position >= 0
    else:
        position = torch.searchsorted(references.index, row).clamp_(max=n_references - 1)
        itself = references.index[position] == row
    weight, first, second = _moments(references.completed, references.observed)
    terms = torch.cat([second, -2 * first, weight], 1).T.contiguous()

    means = completed.to(torch.float32, copy=True)
    residuals = torch.zeros_like(means)
    for start in range(0, len(completed), _CHUNK):
        some = slice(start, start + _CHUNK)
        distance = torch.cat(_moments(completed[some], observed[some]), 1) @ terms
        distance[itself[some], position[some][itself[some]]] = torch.inf
        distance, which = _smallest(distance.clamp_(min=0), n_nearest)
        scale = distance[:, :NEAREST].nan_to_num(posinf=0).mean(1, keepdim=True)
        kernel = (distance + FLOOR * scale.clamp(min=1e-3)).pow(-2)
        donor = _rows(references.observed, which)
        weight = kernel[:, :, None] * (donor & (donor.cumsum(1) <= DONORS))
        total = weight.sum(1)
        for result, known in (means, references.completed), (residuals, references.residual):
            mean = (weight * _rows(known, which)).sum(1) / total
            result[some] = mean.where(total > 0, result[some])
    return means, residuals


def _keys(completed: Tensor, observed: Tensor) -> list[bytes]:
    """Bytes that two rows have in common if the same cells with the same values are observed."""
    cells = completed.float().where(observed, 0.0).cpu().contiguous().numpy()
    parts = (cells.view(np.uint8), observed.cpu().numpy().view(np.uint8))
    together = np.ascontiguousarray(np.hstack(parts))
    keys: list[bytes] = together.view(f"V{together.shape[1]}").ravel().tolist()
    return keys


def _moments(x: Tensor, observed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """w, w x and w x^2."""
    x = x.float().clamp(-BOUND, BOUND)
    weight = torch.where(observed, 1.0, IMPUTED)
    return weight, weight * x, weight * x.square()


def _smallest(distance: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find the k smallest of each row, ascending, and where they stand.

    They lie in the k groups whose own smallest are smallest: to find these first saves a third of
    the time.
    """
    width = distance.shape[1] // _GROUP
    if width < k or distance.shape[1] % _GROUP:
        return distance.topk(k, largest=False)
    grouped = distance.unflatten(1, (_GROUP, width))
    groups = grouped.amin(1).topk(k, largest=False, sorted=False).indices
    candidates = grouped.gather(2, groups[:, None].expand(-1, _GROUP, -1)).flatten(1)
    smallest, which = candidates.topk(k, largest=False)
    return smallest, groups.gather(1, which % k) + which // k * width


def _rows(x: Tensor, which: Tensor) -> Tensor:
    """Take x[which], in a third of the time."""
    return x.index_select(0, which.flatten()).view(*which.shape, -1)
