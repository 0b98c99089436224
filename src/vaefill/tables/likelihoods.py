r"""Distributions of the cells of a table: one likelihood for each kind of column.

All work cell by cell, in standardised units. A numeric cell has a location :math:`\mu` and a log
variance :math:`\ln \sigma^2`; what a kind adds to the normal density is what its values can be:

==============  =================  ==========================================================
kind            likelihood         values
==============  =================  ==========================================================
``continuous``  `StudentT`         all real numbers; normal where ``df`` is ``inf``
``bounded``     `CensoredNormal`   an interval; its ends have a probability of their own
``count``       `RoundedNormal`    lower, lower + step, ..., upper
``ordered``     `RoundedNormal`    the same: ranks of ordered categories
``binary``      `Bernoulli`        lower and upper
``categorical`` `Categorical`      one indicator slot per category, one of which is 1
==============  =================  ==========================================================

`Mixed` is all of them over the slots of a table.

References
----------
.. [1] J. Tobin, "Estimation of relationships for limited dependent variables", Econometrica 26
   (1958), 24-36; with two limits: R. N. Rosett, F. D. Nelson, Econometrica 43 (1975), 141-146.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.nn.functional import pad
from torch.special import log_ndtr

from vaefill.errors import InputError
from vaefill.models import distributions

#: Probabilities of what is seen are at least this, so that their logarithms stay finite.
SMALLEST_PROBABILITY = 0.01


class Likelihood(Protocol):
    """A distribution of single cells, in the way of `torch.distributions`.

    `arg_constraints` says which values each parameter may have, `support` which the cells.
    """

    arg_constraints: ClassVar[Mapping[str, constraints.Constraint]]

    @property
    def support(self) -> constraints.Constraint: ...  # noqa: D102

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density or log probability of each cell, in nats."""
        ...


@dataclass(frozen=True)
class StudentT:
    r"""Student-t cells: `vaefill.models.distributions.StudentT`, one coordinate each.

    .. math:: \ln p(x) = \ln \Gamma(\tfrac{\nu + 1}{2}) - \ln \Gamma(\tfrac \nu 2)
        - \tfrac12 \ln (\nu \pi \sigma^2)
        - \tfrac{\nu + 1}{2} \ln \Big(1 + \frac{(x - \mu)^2}{\nu \sigma^2}\Big)

    Parameters
    ----------
    mu, logvar : Tensor of shape (...)
        Location, and log of the squared scale.
    df : float
        Degrees of freedom :math:`\nu`; ``inf`` is the normal distribution.
    """

    mu: Tensor
    logvar: Tensor
    df: float

    arg_constraints: ClassVar = {
        "mu": constraints.real,
        "logvar": constraints.real,
        "df": constraints.positive,
    }

    @property
    def support(self) -> constraints.Constraint:
        """All real numbers."""
        return constraints.real

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density at `x`."""
        cells = distributions.StudentT(self.mu.unsqueeze(-1), self.logvar.unsqueeze(-1), self.df)
        return cells.log_prob(x.unsqueeze(-1))


@dataclass(frozen=True)
class CensoredNormal:
    r"""Normal cells that are seen within limits alone: a tobit with two limits [1]_.

    .. math:: P(x = a) = \Phi\Big(\frac{a - \mu}{\sigma}\Big), \qquad
        P(x = b) = \Phi\Big(\frac{\mu - b}{\sigma}\Big), \qquad
        p(x) = \frac1\sigma \phi\Big(\frac{x - \mu}{\sigma}\Big) \quad \text{between}

    Parameters
    ----------
    mu, logvar : Tensor of shape (...)
        Mean and log variance of the normal, before it is censored.
    lower, upper : Tensor of shape (...)
        The limits a and b, or -inf and inf where there is none. Values beyond count as on them.
    """

    mu: Tensor
    logvar: Tensor
    lower: Tensor
    upper: Tensor

    arg_constraints: ClassVar = {
        "mu": constraints.real,
        "logvar": constraints.real,
        "lower": constraints.less_than(math.inf),
        "upper": constraints.greater_than(-math.inf),
    }

    @property
    def support(self) -> constraints.Constraint:
        """Values from `lower` to `upper`."""
        return constraints.interval(self.lower, self.upper)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density of `x` between the limits, log probability on them."""
        x = x.clamp(self.lower, self.upper)
        z = (x - self.mu) * torch.exp(-0.5 * self.logvar)
        between = StudentT(self.mu, self.logvar, math.inf).log_prob(x)
        below, above = log_ndtr(z), log_ndtr(-z)
        return torch.where(x <= self.lower, below, torch.where(x >= self.upper, above, between))


@dataclass(frozen=True)
class RoundedNormal:
    r"""Normal cells that are seen rounded to a grid, whose ends take the tails.

    .. math:: P(x) = \Phi\Big(\frac{x + \frac s2 - \mu}{\sigma}\Big)
        - \Phi\Big(\frac{x - \frac s2 - \mu}{\sigma}\Big), \qquad
        P(a) = \Phi\Big(\frac{a + \frac s2 - \mu}{\sigma}\Big), \qquad
        P(b) = \Phi\Big(\frac{\mu - b + \frac s2}{\sigma}\Big)

    Parameters
    ----------
    mu, logvar : Tensor of shape (...)
        Mean and log variance of the normal, before it is rounded.
    lower, upper : Tensor of shape (...)
        The ends a < b of the grid, or -inf and inf where there is none. Values beyond count as on
        them.
    step : Tensor of shape (...)
        Distance s of neighbouring values, above 0. Below 1e-12 :math:`\sigma` digits are lost.
    """

    mu: Tensor
    logvar: Tensor
    lower: Tensor
    upper: Tensor
    step: Tensor

    arg_constraints: ClassVar = {
        "mu": constraints.real,
        "logvar": constraints.real,
        "lower": constraints.less_than(math.inf),
        "upper": constraints.greater_than(-math.inf),
        "step": constraints.positive,
    }

    @property
    def support(self) -> constraints.Constraint:
        """Values from `lower` to `upper`."""
        return constraints.interval(self.lower, self.upper)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log probability of `x`; computed in float64."""
        x = x.clamp(self.lower, self.upper)
        scale = torch.exp(-0.5 * self.logvar.double())
        z, half = (x.double() - self.mu) * scale, 0.5 * self.step * scale
        # Of |z|, where both ends of the interval lie in the lower tail or near it.
        far, near = log_ndtr(-half - z.abs()), log_ndtr(half - z.abs())
        inside = near + torch.log(-torch.expm1((far - near).clamp(max=-1e-15)))
        below, above = log_ndtr(z + half), log_ndtr(half - z)
        log_mass = torch.where(x <= self.lower, below, torch.where(x >= self.upper, above, inside))
        return log_mass.to(self.mu.dtype)


@dataclass(frozen=True)
class _TwoValues:
    """What cells that are one of two values have in common."""

    mu: Tensor
    lower: Tensor
    upper: Tensor

    arg_constraints: ClassVar = {
        "mu": constraints.real,
        "lower": constraints.real,
        "upper": constraints.real,
    }

    @property
    def support(self) -> constraints.Constraint:
        """Values from `lower` to `upper`."""
        return constraints.interval(self.lower, self.upper)


@dataclass(frozen=True)
class Bernoulli(_TwoValues):
    r"""Cells with two values, whose mean is the location: :math:`P(b) = (\mu - a) / (b - a)`.

    Parameters
    ----------
    mu : Tensor of shape (...)
        Mean. The probability is kept `SMALLEST_PROBABILITY` away from 0 and 1.
    lower, upper : Tensor of shape (...)
        The values a and b.
    """

    def log_prob(self, x: Tensor) -> Tensor:
        """Log probability of `x`; between the values, the cross-entropy."""
        p = _part(self.mu, self.lower, self.upper)
        p = p.clamp(SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
        seen = _part(x, self.lower, self.upper)
        return seen * p.log() + (1 - seen) * torch.log1p(-p)


@dataclass(frozen=True)
class Categorical(_TwoValues):
    """Indicator cells of categories: log p(category) in the slot that is 1, and 0 in the others.

    Summed over the slots of a column it is the log probability of its category.

    Parameters
    ----------
    mu : Tensor of shape (...)
        Log probability of the slot's category.
    lower, upper : Tensor of shape (...)
        What stands for 0 and 1.
    """

    def log_prob(self, x: Tensor) -> Tensor:
        """Log probability where `x` is 1, 0 where it is 0."""
        return _part(x, self.lower, self.upper) * self.mu


LIKELIHOODS: dict[str, type[Any]] = {
    "continuous": StudentT,
    "bounded": CensoredNormal,
    "count": RoundedNormal,
    "ordered": RoundedNormal,
    "binary": Bernoulli,
    "categorical": Categorical,
}


@dataclass(frozen=True)
class Mixed:
    """The likelihoods of all slots of a table, by their kinds.

    Parameters
    ----------
    kind : tuple of str
        Kind of each of the p slots: a key of `LIKELIHOODS`.
    column : int64 Tensor of shape (p,)
        Which slots belong together: the column that each comes from.
    lower, upper : Tensor of shape (p,)
        Least and greatest value, in standardised units; -inf and inf where there is none.
    step : Tensor of shape (p,)
        Distance of neighbouring values of ``count`` and ``ordered`` slots; else 0.
    df : float, default=inf
        Degrees of freedom of numeric cells' errors. Below ``inf``, outliers have little weight.

    Raises
    ------
    InputError
        When a kind is unknown, or a parameter does not suit it.
    """

    kind: tuple[str, ...]
    column: Tensor
    lower: Tensor
    upper: Tensor
    step: Tensor
    df: float = math.inf

    def __post_init__(self) -> None:
        """Refuse what the likelihoods have no use for."""
        for slot, kind in enumerate(self.kind):
            if kind not in LIKELIHOODS:
                raise InputError(f"slot {slot}: kind {kind!r}; must be in {', '.join(LIKELIHOODS)}")
        for likelihood, index in self._groups:
            for name, domain in likelihood.arg_constraints.items():
                value = torch.as_tensor(getattr(self, name, 0.0))
                if name != "mu" and not domain.check(_take(value, index)).all():
                    raise InputError(f"{name} = {value} of {likelihood.__name__}: must be {domain}")

    @cached_property
    def discrete(self) -> Tensor:
        """Slots whose values are a probability's: ``binary`` and ``categorical``; bool (p,)."""
        return self._where("binary", "categorical")

    @cached_property
    def share(self) -> Tensor:
        """What part of its column's cell a slot is: one over the column's slots, (p,)."""
        return 1 / self.column.bincount()[self.column].to(self.lower.dtype)

    def moved(self, location: Tensor, residual: Tensor) -> Tensor:
        r"""Location parameter :math:`\eta`: a location in standardised units, and a step from it.

        :math:`\eta = m + r` in numeric slots. In those of a categorical column, where m is a
        probability p in standardised units, :math:`\eta = \ln \mathrm{softmax}(\ln p + r)` over
        the column, with p clipped to at least `SMALLEST_PROBABILITY`.

        Parameters
        ----------
        location, residual : Tensor of shape (..., p)

        Returns
        -------
        Tensor of shape (..., p)
        """
        eta = location + residual
        index = self._categorical
        if not len(index):
            return eta
        p = _part(_take(location, index), self.lower[index], self.upper[index])
        logits = p.clamp(min=SMALLEST_PROBABILITY).log() + _take(residual, index)
        grid, place = self._columns
        columns = pad(logits, (0, 1), value=-math.inf).index_select(-1, grid.flatten())
        normalised = columns.unflatten(-1, grid.shape).log_softmax(-1).flatten(-2)
        return eta.index_copy(-1, index, normalised.index_select(-1, place))

    def mean(self, eta: Tensor) -> Tensor:
        """Location in standardised units that `eta` stands for: the inverse of `moved`."""
        index = self._categorical
        if not len(index):
            return eta
        lower, upper = self.lower[index], self.upper[index]
        return eta.index_copy(-1, index, lower + (upper - lower) * _take(eta, index).exp())

    def variance(self, eta: Tensor, logvar: Tensor) -> Tensor:
        """Variance of cells: p (1 - p) between the two values where discrete, else exp(logvar)."""
        p = _part(self.mean(eta), self.lower, self.upper)
        p = p.clamp(SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
        bernoulli = p * (1 - p) * (self.upper - self.lower).square()
        return torch.where(self.discrete, bernoulli, logvar.exp())

    def log_prob(self, x: Tensor, eta: Tensor, logvar: Tensor) -> Tensor:
        """Log density or probability of each cell.

        Parameters
        ----------
        x : Tensor of shape (..., p)
            Values in standardised units.
        eta : Tensor of shape (..., p)
            What `moved` gives.
        logvar : Tensor of shape (..., p)
            Log variance of numeric cells.

        Returns
        -------
        Tensor of shape (..., p)
            In nats. That of a category is in the slot which is 1.
        """
        parameters = {**vars(self), "mu": eta, "logvar": logvar}
        parts = []
        for likelihood, index in self._groups:
            own = {name: _take(parameters[name], index) for name in likelihood.arg_constraints}
            parts.append(likelihood(**own).log_prob(_take(x, index)))
        return parts[0] if len(parts) == 1 else torch.cat(parts, -1).index_select(-1, self._order)

    def squared_error(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        r"""Squared error of numeric cells that the t distribution weighs down, and of others as is.

        .. math:: (\nu + 1) \sigma^2 \ln \Big(1 + \frac{(x - m)^2}{\nu \sigma^2}\Big)

        is :math:`2 \sigma^2` times the negative log density of `StudentT`, up to a constant. Its
        derivative is that of the squared error, with the weight (nu + 1) / (nu + r^2) for an
        error of r scales; at ``df = inf`` it is the squared error.

        Parameters
        ----------
        x, mean : Tensor of shape (..., p)
            Values and their locations, in standardised units.
        variance : Tensor of shape (..., p)
            Squared scales.

        Returns
        -------
        Tensor of shape (..., p)
        """
        squared = (x - mean).square()
        if math.isinf(self.df):
            return squared
        weighed = (self.df + 1) * variance * torch.log1p(squared / (self.df * variance))
        return torch.where(self.discrete, squared, weighed)

    def _where(self, *kinds: str) -> Tensor:
        return torch.tensor([kind in kinds for kind in self.kind], device=self.column.device)

    @cached_property
    def _groups(self) -> list[tuple[type[Any], Tensor]]:
        """Likelihoods that occur, and their slots."""
        groups = {}
        for likelihood in dict.fromkeys(LIKELIHOODS.values()):
            kinds = [kind for kind, its in LIKELIHOODS.items() if its is likelihood]
            groups[likelihood] = self._where(*kinds).nonzero().squeeze(1)
        return [(likelihood, index) for likelihood, index in groups.items() if len(index)]

    @cached_property
    def _order(self) -> Tensor:
        """Where each slot's value is, after those of the groups one after the other."""
        return torch.cat([index for _, index in self._groups]).argsort()

    @cached_property
    def _categorical(self) -> Tensor:
        return self._where("categorical").nonzero().squeeze(1)

    @cached_property
    def _columns(self) -> tuple[Tensor, Tensor]:
        """Categorical slots, a row per column and padded, and where each of them stands."""
        _, row, width = self.column[self._categorical].unique(
            return_inverse=True, return_counts=True
        )
        n = len(row)
        order = row.argsort(stable=True)
        starts = width.cumsum(0) - width
        position = torch.empty_like(row)
        position[order] = torch.arange(n, device=row.device) - starts[row[order]]
        grid = torch.full((len(width), int(width.max())), n, device=row.device)
        grid[row, position] = torch.arange(n, device=row.device)
        return grid, row * grid.shape[1] + position


def _part(x: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Which part of the way from `lower` to `upper`; 0 where they are one and x too."""
    return (x - lower) / (upper - lower).clamp(min=1e-6)


def _take(values: Any, index: Tensor) -> Any:
    """Slots of a tensor, or the number that holds for all."""
    if not isinstance(values, Tensor) or values.ndim == 0 or values.shape[-1] == len(index):
        return values
    return values.index_select(-1, index)
