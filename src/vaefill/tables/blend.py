r"""How several guesses of the same cells are mixed: weights per column, from held-out cells.

For the held-out cells i of column j, with the guesses :math:`f_i` of k candidates and the truth
:math:`y_i`, the weights of the column lie on the simplex and are

.. math:: w_j = \arg\min_{w \ge 0,\; 1^\top w = 1} \; \sum_{i \in j} a_i (y_i - f_i^\top w)^2
        + \lambda s_j \|w - \bar w\|^2

where :math:`\lambda` is a number of pseudo-cells and :math:`s_j` how far the candidates differ in
a cell of the column: the mean of :math:`(f_{il} - \bar f_i)^2`, weighted by a. The common weights
:math:`\bar w` solve the same over all cells, each divided by the variance of its column, with ten
pseudo-cells that ask for equal weights. A column without held-out cells thus takes the common
weights, and a table without any takes equal ones: nothing speaks against any candidate, and a
mean of guesses is seldom worse than one of them.

**Outliers.** With `df` the errors are Student-t. Maximum likelihood by EM [1]_ repeats the above
with :math:`a_i = (1 + 1/\nu) / (1 + r_i^2 / \nu)`, where :math:`r_i` is the blend's error over
the scale of the errors in its column; with ``df = inf`` every :math:`a_i` is 1.

**The simplex.** As weights sum to 1, the whole objective is a squared length :math:`\|R w\|^2`,
with the errors of the single candidates as columns of R. The :math:`u \ge 0` that comes nearest to
:math:`R u = 0` and :math:`1^\top u = 1` is a multiple of its minimum: u = t w is best for
:math:`t = 1 / (1 + \|R w\|^2)`, and what then remains, 1 - t, grows with :math:`\|R w\|` [2]_.

References
----------
.. [1] K. L. Lange, R. J. A. Little, J. M. G. Taylor, "Robust statistical modeling using the t
   distribution", Journal of the American Statistical Association 84 (1989), 881-896.
.. [2] C. L. Lawson, R. J. Hanson, "Solving least squares problems", Prentice-Hall (1974),
   chapter 23.
"""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls
from torch import Tensor

Floats = NDArray[np.float64]

#: Pseudo-cells that ask for equal common weights, and for errors as large as in other columns.
_FEW = 10.0
#: A column that hardly varies among the held-out cells must not rule the common weights.
_LEAST_VARIANCE = 0.05
_EM_STEPS = 20


def blend_weights(
    candidates: Tensor,
    target: Tensor,
    column: Tensor,
    n_columns: int,
    *,
    pseudo_count: float = 400.0,
    df: float = math.inf,
) -> Tensor:
    """Weigh candidates per column by their errors in held-out cells; the module says how.

    Parameters
    ----------
    candidates : Tensor of shape (m, k)
        Guesses of the m cells, in standardised units.
    target : Tensor of shape (m,)
        Their true values.
    column : integer Tensor of shape (m,)
        The column that each cell is of, from 0 to ``n_columns - 1``.
    n_columns : int
        Number of columns.
    pseudo_count : float, default=400.0
        Cells that the common weights stand for, at least 0.
    df : float, default=inf
        Degrees of freedom of the errors, above 0: the fewer, the less an outlier counts.

    Returns
    -------
    float64 Tensor of shape (n_columns, k)
        At least 0; those of a column sum to 1.
    """
    f, y = (x.double().cpu().numpy() for x in (candidates, target))
    cells = column.cpu().numpy()
    error = f - y[:, None]
    equal = np.full(f.shape[1], 1 / f.shape[1])
    squared = np.median(error, 1) ** 2  # a start that no single wild candidate leads
    trust = np.ones(len(y))
    for _ in range(1 if math.isinf(df) else _EM_STEPS):
        trust = (1 + 1 / df) / (1 + squared / _scale(trust * squared, cells, n_columns) / df)
        deviation = np.sqrt(_variance(y, trust, cells, n_columns))[:, None]
        common = _shrunk(error / deviation, trust, _FEW, equal)
        weights = np.tile(common, (n_columns, 1))
        for j in np.unique(cells):
            own = cells == j
            weights[j] = _shrunk(error[own], trust[own], pseudo_count, common)
        squared = (error * weights[cells]).sum(1) ** 2
    return torch.from_numpy(weights).to(candidates.device)


def _shrunk(error: Floats, trust: Floats, pseudo_count: float, towards: Floats) -> Floats:
    """Weights of least trusted squared error on the simplex, shrunk towards given ones."""
    if not np.ptp(error, axis=1).any():  # also where there is no cell
        return towards
    spread = np.average(error.var(1), weights=trust)
    away = np.eye(len(towards)) - towards[:, None]  # away @ w is w - towards
    rows = np.vstack([np.sqrt(trust)[:, None] * error, math.sqrt(pseudo_count * spread) * away])
    factor = np.linalg.qr(rows / np.abs(rows).max(), mode="r")
    size, _ = nnls(np.vstack([factor, np.ones(len(towards))]), np.r_[np.zeros(len(factor)), 1.0])
    weights: Floats = size / size.sum()
    return weights


def _scale(squared: Floats, cells: NDArray[Any], n_columns: int) -> Floats:
    """Mean squared error of each cell's column, with a few cells of the others."""
    if not len(squared):
        return squared
    total, count = np.bincount(cells, squared, n_columns), np.bincount(cells, None, n_columns)
    mean = (total + _FEW * squared.mean()) / (count + _FEW)
    scale: Floats = np.maximum(mean, np.finfo(np.float64).tiny)[cells]
    return scale


def _variance(y: Floats, trust: Floats, cells: NDArray[Any], n_columns: int) -> Floats:
    """Variance of each cell's column among the cells; 1 where there are fewer than three."""
    weight = np.maximum(np.bincount(cells, trust, n_columns), np.finfo(np.float64).tiny)
    mean = np.bincount(cells, trust * y, n_columns) / weight
    variance = np.bincount(cells, trust * (y - mean[cells]) ** 2, n_columns) / weight
    few = np.bincount(cells, None, n_columns) < 3
    floored: Floats = np.where(few, 1.0, np.maximum(variance, _LEAST_VARIANCE))[cells]
    return floored
