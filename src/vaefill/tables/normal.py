r"""The exact answer where rows are draws of one multivariate normal distribution.

Everything here needs, of each row, the block of the precision :math:`K = \Sigma^{-1}` that belongs
to its missing cells :math:`m`, and no larger matrix: with the observed cells :math:`o`, centred
at :math:`\mu`,

.. math:: C = \operatorname{Cov}(x_m \mid x_o) = K_{mm}^{-1}, \quad \hat z_m = -C K_{mo} z_o, \quad
    \ln |\Sigma_{oo}| = \ln |\Sigma| + \ln |K_{mm}|

and with :math:`J = \Sigma_{oo}^{-1} = K_{oo} - K_{om} C K_{mo}` and the row completed to
:math:`\hat z`,

.. math:: J z_o = (K \hat z)_o, \qquad J_{jj} = K_{jj} - K_{jm} C K_{mj}

([1]_, sections A.2 and A.3). Rows that miss equally many cells are solved as one batch.

References
----------
.. [1] C. E. Rasmussen, C. K. I. Williams, "Gaussian Processes for Machine Learning", MIT Press
   (2006).
.. [2] R. J. A. Little, D. B. Rubin, "Statistical Analysis with Missing Data", Wiley, 3rd edition
   (2019), section 11.2.
.. [3] S. Sundararajan, S. S. Keerthi, "Predictive approaches for choosing hyperparameters in
   Gaussian processes", Neural Computation 13 (2001), 1103-1118.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

#: Least variance of a column of variance 1 given all others, and of a constant one.
FLOOR = 1e-6

_CHUNK = 2**18  # cells of the largest temporary array


@dataclass(frozen=True)
class MultivariateNormal:
    """N(mu, covariance) of a whole row.

    Parameters
    ----------
    mu : Tensor of shape (p,)
        Means.
    covariance : Tensor of shape (p, p)
        Positive definite.
    """

    mu: Tensor
    covariance: Tensor


@dataclass(frozen=True)
class Conditional:
    """Means and variances of cells, given other cells of their row.

    Parameters
    ----------
    mean, variance : Tensor of shape (n, p)
        In the unit of the values, and in its square.
    """

    mean: Tensor
    variance: Tensor


def condition(normal: MultivariateNormal, values: Tensor, observed: Tensor) -> Conditional:
    """Mean and variance of each missing cell given the observed cells of its row.

    Parameters
    ----------
    normal : MultivariateNormal
        Distribution of the rows.
    values : Tensor of shape (n, p)
        Finite everywhere; what stands in missing cells is not looked at.
    observed : bool Tensor of shape (n, p)
        True where a value is known.

    Returns
    -------
    Conditional
        Observed cells: their value and variance 0.
    """
    mean, variance = torch.where(observed, values, 0), torch.zeros_like(values)
    for part in _parts(normal, values, observed):
        mean[part.rows[:, None], part.missing] = part.mean + normal.mu[part.missing]
        variance[part.rows[:, None], part.missing] = part.variance
    return Conditional(mean, variance)


def leave_one_out(normal: MultivariateNormal, values: Tensor, observed: Tensor) -> Conditional:
    r"""Mean and variance of each cell given the observed cells of its row other than itself.

    Of an observed cell :math:`j`, with the matrices of the module [3]_,

    .. math:: x_j - \operatorname{E}(x_j \mid x_{o \setminus j}) = (K \hat z)_j / J_{jj}, \qquad
        \operatorname{Var}(x_j \mid x_{o \setminus j}) = 1 / J_{jj}

    Parameters
    ----------
    normal, values, observed
        As for `condition`.

    Returns
    -------
    Conditional
        Missing cells: as `condition` has them.
    """
    mean, variance = torch.empty_like(values), torch.empty_like(values)
    for part in _parts(normal, values, observed):
        explained = (part.root.mT @ part.precision[part.missing]).square().sum(1)
        spread = 1 / (part.precision.diagonal() - explained)
        spread.scatter_(1, part.missing, part.variance)
        residual = (part.completed @ part.precision * spread).scatter_(1, part.missing, 0)
        mean[part.rows] = normal.mu + part.completed - residual
        variance[part.rows] = spread
    return Conditional(mean, variance)


def correlated_noise(normal: MultivariateNormal, observed: Tensor, noise: Tensor) -> Tensor:
    """Correlate standard normal noise as the missing cells of a row are, given the observed ones.

    Parameters
    ----------
    normal, observed
        As for `condition`.
    noise : Tensor of shape (n_draws, n, p)
        Independent standard normal draws.

    Returns
    -------
    Tensor of shape (n_draws, n, p)
        In missing cells draws with unit variance and the correlations of the conditional
        covariance; in observed cells 0. Times the root of the variance of `condition`, they are
        draws around its mean.
    """
    correlated = torch.zeros_like(noise)
    for part in _parts(normal, torch.zeros_like(noise[0]), observed):
        unit = part.root / part.root.norm(dim=-1, keepdim=True)
        draws = noise[:, part.rows[:, None], part.missing]
        correlated[:, part.rows[:, None], part.missing] = (unit @ draws[..., None])[..., 0]
    return correlated


def log_likelihood(normal: MultivariateNormal, values: Tensor, observed: Tensor) -> Tensor:
    """Log density of the observed cells of each row.

    Parameters
    ----------
    normal, values, observed
        As for `condition`.

    Returns
    -------
    Tensor of shape (n,)
        In nats; 0 for a row without an observed cell.
    """
    log_densities = values.new_empty(len(values))
    log_determinant = 2 * torch.linalg.cholesky(normal.covariance).diagonal().log().sum()
    for part in _parts(normal, values, observed):
        # No missing cell adds to the quadratic form: (K z)_m is 0 at the conditional mean.
        squared = (part.completed @ part.precision * part.completed).sum(1)
        log_missing = 2 * part.root.diagonal(dim1=1, dim2=2).log().sum(1)
        n_observed = values.shape[1] - part.missing.shape[1]
        log_densities[part.rows] = -0.5 * (
            n_observed * math.log(2 * math.pi) + log_determinant - log_missing + squared
        )
    return log_densities


def fit_normal(
    values: Tensor,
    observed: Tensor,
    *,
    ridge: float,
    start: MultivariateNormal | None = None,
    max_rows: int | None = None,
    generator: torch.Generator | None = None,
    tol: float = 3e-3,
    max_iter: int = 100,
) -> MultivariateNormal:
    r"""Fit a normal distribution to incomplete rows by EM [2]_.

    The covariance is the maximum a posteriori estimate under an inverse Wishart prior of scale
    :math:`\Psi`, the mean has a flat prior:

    .. math:: \ln p(\mu, \Sigma \mid x_o) = \sum_i \ln N(x_{i,o}; \mu_o, \Sigma_{oo}) - \tfrac12
        \big(\kappa \ln |\Sigma| + \operatorname{tr} \Psi \Sigma^{-1}\big) + \text{const}, \qquad
        \Psi = \big(\kappa + (n + \kappa) \epsilon\big) D

    with :math:`D` the diagonal of the columns' observed variances, none below :math:`\epsilon`
    = `FLOOR`. The prior weighs as much as :math:`\kappa` rows with uncorrelated columns, and
    holds :math:`\Sigma - \epsilon D` positive semidefinite whatever the table: constant columns,
    collinear ones, ones that are never observed together.

    Parameters
    ----------
    values : Tensor of shape (n, p)
        Finite everywhere, of columns whose variances are near 1; what stands in missing cells is
        not looked at.
    observed : bool Tensor of shape (n, p)
        True where a value is known. Rows without any such cell do not count.
    ridge : float
        :math:`\kappa`, at least 0, in rows.
    start : MultivariateNormal, optional
        Where EM starts; if left out, at observed means and variances, uncorrelated.
    max_rows : int, optional
        Of more rows, fit so many that `generator` chooses, so that time is bounded.
    generator : torch.Generator, optional
        Needed with `max_rows`.
    tol : float, default=3e-3
        EM ends when no mean and no covariance changes by more than this, in units of D.
    max_iter : int, default=100
        EM ends after so many iterations in any case.

    Returns
    -------
    MultivariateNormal
        Columns without an observed cell: mean 0, variance `FLOOR`, uncorrelated.
    """
    count = observed.sum(0).clamp(min=1)
    mu = torch.where(observed, values, 0).sum(0) / count
    spread = torch.where(observed, values - mu, 0).square().sum(0) / count
    spread = spread.clamp(min=FLOOR)
    normal = start or MultivariateNormal(mu, spread.diag())
    rows = some_rows(observed, max_rows, generator)
    values, observed = values[rows], observed[rows]
    unit = spread.sqrt()
    for _ in range(max_iter if len(rows) else 0):
        last, normal = normal, _em_step(normal, values, observed, ridge, spread)
        moved = (
            (normal.mu - last.mu) / unit,
            (normal.covariance - last.covariance) / unit.outer(unit),
        )
        if all(change.abs().max() < tol for change in moved):
            break
    return normal


def some_rows(observed: Tensor, max_rows: int | None, generator: torch.Generator | None) -> Tensor:
    """Choose rows to fit to: those with an observed cell, or `max_rows` of them at random.

    Returns
    -------
    int Tensor of shape (m,)
        Their indices.
    """
    rows = observed.any(1).nonzero()[:, 0]
    if max_rows is None or len(rows) <= max_rows:
        return rows
    return rows[torch.randperm(len(rows), generator=generator, device=rows.device)[:max_rows]]


def _em_step(
    normal: MultivariateNormal, values: Tensor, observed: Tensor, ridge: float, spread: Tensor
) -> MultivariateNormal:
    p = len(normal.mu)
    first, second, within = (normal.mu.new_zeros(shape) for shape in ((p,), (p, p), (p * p,)))
    for part in _parts(normal, values, observed):
        first += part.completed.sum(0)
        second += part.completed.mT @ part.completed
        covariance = part.root @ part.root.mT
        within.scatter_add_(0, _blocks(part.missing, p).flatten(), covariance.flatten())
    n, shift = len(values), first / len(values)
    scatter = second - n * shift.outer(shift) + within.view(p, p)
    covariance = (scatter + ridge * spread.diag()) / (n + ridge) + FLOOR * spread.diag()
    return MultivariateNormal(normal.mu + shift, (covariance + covariance.mT) / 2)


@dataclass(frozen=True)
class _Part:
    """Rows that miss equally many cells, solved: r rows, k missing cells in each."""

    rows: Tensor  # (r,)
    missing: Tensor  # (r, k), their columns
    precision: Tensor  # (p, p), K
    root: Tensor  # (r, k, k), R with R R' = C
    mean: Tensor  # (r, k), of the missing cells, centred
    completed: Tensor  # (r, p), centred

    @property
    def variance(self) -> Tensor:
        """Of the missing cells, (r, k)."""
        return self.root.square().sum(2)


def _parts(normal: MultivariateNormal, values: Tensor, observed: Tensor) -> Iterator[_Part]:
    """Solve all rows, chunk by chunk: what this needs beyond its arguments is bounded in n."""
    p = observed.shape[1]
    precision = torch.cholesky_inverse(torch.linalg.cholesky(normal.covariance))
    n_missing = p - observed.sum(1)
    for k in n_missing.unique().tolist():
        for rows in (n_missing == k).nonzero()[:, 0].split(max(1, _CHUNK // (p * max(k, 1)))):
            seen = observed[rows]
            missing = (~seen).nonzero()[:, 1].view(len(rows), k)
            centred = torch.where(seen, values[rows] - normal.mu, 0)
            factor = torch.linalg.cholesky(precision.take(_blocks(missing, p)))
            identity = torch.eye(k, dtype=factor.dtype, device=factor.device)
            root = torch.linalg.solve_triangular(factor, identity, upper=False).mT
            pull = (centred @ precision).gather(1, missing)[..., None]
            mean = -(root @ (root.mT @ pull))[..., 0]
            yield _Part(rows, missing, precision, root, mean, centred.scatter(1, missing, mean))


def _blocks(missing: Tensor, p: int) -> Tensor:
    """Flat indices of the blocks of a (p, p) matrix that belong to the missing cells, (r, k, k)."""
    return missing[:, :, None] * p + missing[:, None, :]
