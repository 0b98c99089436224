r"""The law of a missing cell: its mean, its scale, and the quantiles of held-out residuals.

A residual is the error of a held-out cell over the scale that was predicted for it. With Q the
quantile function of the residuals of a column, the value of a cell is

.. math:: x = \mu + \sigma Q(\Phi(e)), \qquad e \sim N(0, 1)

so that quantiles, central intervals, draws and CRPS are those of one law: draws lie beyond an
interval exactly as often as its level says.

**The quantiles.** Of n residuals the i-th in order stands for the level i / (n + 1): a new one is
below it with that probability, as all its ranks are equally likely. Here the residuals of a column
count 1 each, and those of all other columns together as many as a few: a residual of weight w
stands for the level (c + (1 - w) / 2) / (W + 1), where c is the weight up to it and with it, W that
of all. In between, Q is linear in the normal score :math:`\Phi^{-1}` of the level. It is so
beyond the first and the last residual too, on the line through them and the median: normal
residuals get a normal tail, others one as long in proportion. Where there is no residual at all,
Q is the normal's.

**Small tables.** The few cells held out of a small table say little about its tails, and have
already served to choose what made the errors. Below `SMALL_TABLE` rows Q is therefore nowhere
closer to 0 than the normal's: an interval is the wider of both, on either side.

References
----------
.. [1] T. Gneiting, A. E. Raftery, "Strictly proper scoring rules, prediction, and estimation",
   Journal of the American Statistical Association 102 (2007), 359-378.
.. [2] F. Laio, S. Tamea, "Verification tools for probabilistic forecasts of continuous
   hydrological variables", Hydrology and Earth System Sciences 11 (2007), 1267-1277.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.special import ndtr, ndtri

from vaefill.errors import InputError

#: Normal scores at which Q is kept: levels from .00003 to .99997, densest in the tails.
GRID = torch.linspace(-4, 4, 201, dtype=torch.float64)
_STEP = 8 / 200

#: Tables with fewer rows get no quantile that is closer to 0 than the normal's.
SMALL_TABLE = 800

_POOL = 1000  # residuals that stand for all of the other columns
_BEYOND = 9.0  # a score that no residual reaches


@dataclass(frozen=True)
class ResidualQuantiles:
    """The quantile function Q of each column; `fit_residual_quantiles` makes one.

    Parameters
    ----------
    knots : float64 Tensor of shape (n_columns, 201)
        Q at the normal scores of `GRID`, ascending.
    """

    knots: Tensor

    def at(self, score: Tensor) -> Tensor:
        """Q at normal scores of levels: -1.645 stands for 5 %.

        Parameters
        ----------
        score : Tensor of shape (..., n_columns)
            Finite.

        Returns
        -------
        float64 Tensor of the same shape
            Finite, in units of the predicted scale; a higher score gives no lower one.
        """
        n_columns, n_knots = self.knots.shape
        position = (score.double() - GRID[0].item()) / _STEP
        below = position.floor().clamp_(0, n_knots - 2)
        index = below.long().add_(n_knots * torch.arange(n_columns, device=score.device))
        flat = self.knots.flatten()
        return torch.lerp(flat[index], flat[index + 1], position.sub_(below))

    def draw(self, mean: Tensor, scale: Tensor, noise: Tensor) -> Tensor:
        """Value of every cell at given noise: the quantile whose level has that normal score.

        Parameters
        ----------
        mean, scale : Tensor of shape (n, n_columns)
            Prediction of each cell.
        noise : Tensor of shape (..., n, n_columns)
            Standard normal in each cell, dependent between cells as the draws are to be; see
            `dependent_noise`.

        Returns
        -------
        float64 Tensor of the shape of `noise`
        """
        return mean + scale * self.at(noise)

    def interval(self, mean: Tensor, scale: Tensor, level: float) -> tuple[Tensor, Tensor]:
        """Central interval: from the quantile (1 - level) / 2 to the quantile (1 + level) / 2.

        Parameters
        ----------
        mean, scale : Tensor of shape (n, n_columns)
            Prediction of each cell.
        level : float
            In (0, 1).

        Returns
        -------
        low, high : float64 Tensor of shape (n, n_columns)

        Raises
        ------
        InputError
            When `level` is out of range.
        """
        if not 0 < level < 1:
            raise InputError(f"level = {level}: must lie between 0 and 1, such as 0.9")
        edge = ndtri(torch.full_like(self.knots[:, 0], (1 - level) / 2))
        return self.draw(mean, scale, edge), self.draw(mean, scale, -edge)

    def crps(self, mean: Tensor, scale: Tensor, truth: Tensor) -> Tensor:
        r"""Continuous ranked probability score of each cell's law, at least 0.

        .. math:: 2 \int_0^1 (1\{x_u > y\} - u) (x_u - y) \, du, \qquad x_u = \mu + \sigma Q(u)

        [2]_, the integral a sum over `GRID`. It is that of [1]_, in the unit of the values; of a
        law that is one number it is the absolute error.

        Parameters
        ----------
        mean, scale, truth : Tensor of shape (n, n_columns)
            Prediction and true value of each cell; scales above 0.

        Returns
        -------
        float64 Tensor of shape (n, n_columns)
        """
        grid = GRID.to(self.knots.device)
        edges = ndtr(grid[:-1] + _STEP / 2)
        mass = torch.cat([edges, edges.new_ones(1)]).diff(prepend=edges.new_zeros(1))
        parts = torch.stack([mass.expand_as(self.knots), mass * self.knots])
        # Sums over the knots from each one on; from beyond the last, nothing.
        rest = torch.nn.functional.pad(parts.flip(-1).cumsum(-1).flip(-1), (0, 1))
        total = (parts * ndtr(grid)).sum(-1, keepdim=True)
        residual = ((truth - mean) / scale).double().T.contiguous()
        first = torch.searchsorted(self.knots, residual, right=True)
        weight, weighted = rest.gather(-1, first.expand(2, -1, -1)) - total
        score: Tensor = scale * 2 * (weighted - residual * weight).T
        return score


def fit_residual_quantiles(
    residual: Tensor,
    column: Tensor,
    n_columns: int,
    *,
    n_rows: int,
    pooled_count: float = 30.0,
) -> ResidualQuantiles:
    """Find the quantile functions of held-out residuals; the module says how.

    Parameters
    ----------
    residual : Tensor of shape (m,)
        (truth - mean) / scale of the held-out cells.
    column : integer Tensor of shape (m,)
        The column that each is of, from 0 to ``n_columns - 1``.
    n_columns : int
        Number of columns.
    n_rows : int
        Of the table: decides whether it is a small one.
    pooled_count : float, default=30.0
        How many residuals those of the other columns count for; at most 1 each.

    Returns
    -------
    ResidualQuantiles
    """
    r, cells = residual.double().cpu().numpy(), column.cpu().numpy()
    rows = [_knots(r[cells == j], r[cells != j], pooled_count) for j in range(n_columns)]
    knots = torch.from_numpy(np.stack(rows)).to(residual.device)
    if n_rows < SMALL_TABLE:
        grid = GRID.to(knots.device)
        wider = torch.where(grid < 0, torch.minimum(knots, grid), torch.maximum(knots, grid))
        knots = torch.where(grid == 0, knots, wider)
    return ResidualQuantiles(knots)


def _knots(
    own: NDArray[np.float64], others: NDArray[np.float64], pooled_count: float
) -> NDArray[np.float64]:
    if not len(own) + len(others):
        return GRID.numpy()
    pooled_count = min(pooled_count, len(others))
    if len(others) > _POOL:
        middles = (np.arange(_POOL) + 0.5) * (len(others) / _POOL)
        others = np.sort(others)[middles.astype(np.int64)]
    residual = np.concatenate([own, others])
    weight = np.ones(len(residual))
    weight[len(own) :] = pooled_count / max(1, len(others))
    order = np.argsort(residual, kind="stable")
    residual, weight = residual[order], weight[order]
    level = (weight.cumsum() + (1 - weight) / 2) / (weight.sum() + 1)
    score = ndtri(torch.from_numpy(level)).numpy()
    median = np.interp(0, score, residual)
    first, last = (
        median + (residual[end] - median) * _BEYOND / max(abs(score[end]), 1e-9) for end in (0, -1)
    )
    scores, residuals = np.r_[-_BEYOND, score, _BEYOND], np.r_[first, residual, last]
    knots: NDArray[np.float64] = np.interp(GRID.numpy(), scores, residuals)
    return knots


def dependent_noise(noise: Tensor, codes: Tensor, scale: Tensor) -> Tensor:
    r"""Noise for `ResidualQuantiles.draw` in which the cells of a row vary together.

    .. math:: e = \frac{d + \sigma \epsilon}{\sqrt{\operatorname{var} d + \sigma^2}}

    where d is what a drawn latent code changes in the location of a cell, its departure from the
    mean of all draws, and :math:`\epsilon` noise with the correlations of the linear model. Each
    cell keeps mean 0 and variance 1; what moves it more, the code or the noise, decides what it
    moves along with.

    Parameters
    ----------
    noise : Tensor of shape (n_draws, n, n_columns)
        Standard normal in each cell.
    codes : Tensor of shape (n_codes, n, n_columns)
        Location of each cell under each of n_codes >= n_draws codes: all of them give mean and
        variance, the first n_draws the noise. All equal, or a single one, they change nothing.
    scale : Tensor of shape (n, n_columns)
        Predicted scale of each cell.

    Returns
    -------
    float64 Tensor of shape (n_draws, n, n_columns)
    """
    codes = codes.double()
    departure = codes[: len(noise)] - codes.mean(0)
    variance = codes.var(0, correction=0) + scale.square()
    # Where nothing varies, nothing is divided by nothing.
    return (departure + scale * noise) / variance.sqrt().clamp(min=torch.finfo(torch.float64).tiny)
