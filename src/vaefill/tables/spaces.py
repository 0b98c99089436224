r"""The two scales on which the imputer works: standardised values, and normal scores.

Both are fitted to observed cells alone and take a column at a time. A column without observed
cells, or with one value only, becomes 0.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

#: Quartiles of a normal distribution lie so many standard deviations apart.
IQR = 1.3489795003921634
#: Standardised values are cut off here, so that they and their squares stay finite.
FURTHEST = 1e9
#: A column of normal scores has at most so many knots.
KNOTS = 1000
#: `NormalScores.expected` is tabulated for means up to REACH and deviations up to WIDEST.
REACH, WIDEST, STEP = 7.0, 1.5, 1 / 16
FINER = 4  # the map that is averaged is taken at so many points per step


@dataclass(frozen=True)
class Standard:
    """Columns moved and scaled: (value - mu) / scale.

    Parameters
    ----------
    mu, scale : float64 Tensor of shape (n_slots,)
        In the unit of the column; `scale` is positive.
    """

    mu: Tensor
    scale: Tensor

    def transform(self, values: Tensor, observed: Tensor) -> Tensor:
        """Standardise the observed cells of `values`, up to `FURTHEST`; the others become 0."""
        # Halves, because the difference of two finite numbers may be infinite.
        standard = 2 * ((0.5 * values - 0.5 * self.mu) / self.scale)
        return standard.clamp(-FURTHEST, FURTHEST).where(observed, 0)

    def inverse(self, values: Tensor) -> Tensor:
        """Give standardised values back in the unit of the column."""
        return self.mu + self.scale * values


def fit_standard(values: Tensor, observed: Tensor, *, robust: bool = False) -> Standard:
    """Find the centre and the scale of the observed cells of each column.

    Parameters
    ----------
    values : Tensor of shape (n_samples, n_slots)
        Finite where observed; of any magnitude. Sums are taken in float64.
    observed : bool Tensor of shape (n_samples, n_slots)
    robust : bool, default=False
        Take the median and the distance of the quartiles over 1.349, which outliers hardly move,
        instead of the mean and the standard deviation. Where the quartiles are equal, as in a
        column that is mostly zeros, the scale is the standard deviation all the same.

    Returns
    -------
    Standard
        The scale of a constant column is 1; a column without observed cells has centre 0.
    """
    cells = [x[seen].double() for x, seen in zip(values.T, observed.T, strict=True)]
    fits = torch.stack([_centre_and_scale(x, robust) for x in cells])
    return Standard(*fits.T.contiguous())


def _centre_and_scale(x: Tensor, robust: bool) -> Tensor:
    if not len(x):
        return x.new_tensor([0.0, 1.0])
    low, high = x.aminmax()
    half = 0.5 * high - 0.5 * low
    if not half > 0:
        return torch.stack([low, torch.ones_like(low)])
    # In units of the range nothing overflows or vanishes.
    unit = (0.5 * x - 0.5 * low) / half
    centre, scale = unit.mean(), unit.std(correction=0)
    if robust:
        ordered = unit.sort().values
        lower, centre, upper = (_quantile(ordered, level) for level in (0.25, 0.5, 0.75))
        scale = torch.where(upper > lower, (upper - lower) / IQR, scale)
    spread = (half * (2 * scale)).clamp(max=torch.finfo(torch.float64).max)
    return torch.stack([low + half * centre + half * centre, spread])


def _quantile(ordered: Tensor, level: float) -> Tensor:
    # torch.quantile refuses more than 2^24 numbers.
    below, part = divmod(level * (len(ordered) - 1), 1)
    left = int(below)
    return torch.lerp(ordered[left], ordered[min(left + 1, len(ordered) - 1)], part)


@dataclass(frozen=True)
class NormalScores:
    r"""Columns mapped to the normal scores of their mid-ranks, and expectations mapped back.

    A value of mid-rank r among n becomes :math:`\Phi^{-1}((r - 1/2) / n)`: 0 is the median, and
    equal values have one score. Between knots the map is linear, beyond them it is constant.

    Parameters
    ----------
    values, scores : float64 Tensor of shape (n_slots, n_knots)
        Knots, ascending along both. A column that has fewer repeats its last one.
    smoothed : float64 Tensor of shape (n_slots, n_means, n_deviations)
        What `expected` interpolates.
    """

    values: Tensor
    scores: Tensor
    smoothed: Tensor

    def transform(self, values: Tensor, observed: Tensor) -> Tensor:
        """Scores of the observed cells of `values`; the others become 0."""
        return _interpolate(values, self.values, self.scores).where(observed, 0)

    def expected(self, mean: Tensor, variance: Tensor) -> Tensor:
        r"""Average the values of a cell whose score is normal.

        .. math:: E[f(m + s \epsilon)], \qquad \epsilon \sim N(0, 1)

        with f the map from scores back to values. Instead of a quadrature for every cell, which is
        slow and errs where f is steep, as between the values of a binary column, f is smoothed once
        on a grid of m and s, and interpolated there. That errs, where f is steep and s below a
        step of the grid, by as much as if m were moved by a step; elsewhere by some thousandths.

        Parameters
        ----------
        mean, variance : float64 Tensor of shape (..., n_slots)
            Of the scores. Beyond the grid, |m| <= 7 and s <= 1.5, its edge counts.

        Returns
        -------
        float64 Tensor of shape (..., n_slots)
            Within the observed range of each column.
        """
        n_slots, n_means, n_deviations = self.smoothed.shape
        x = (mean.clamp(-REACH, REACH) + REACH) / STEP
        y = variance.clamp(0, WIDEST**2).sqrt() / STEP
        left, below = x.long().clamp(max=n_means - 2), y.long().clamp(max=n_deviations - 2)
        slot = torch.arange(n_slots, device=mean.device)
        corner = (slot * n_means + left) * n_deviations + below
        table = self.smoothed.flatten()

        def at(corner: Tensor) -> Tensor:
            return torch.lerp(table[corner], table[corner + 1], y - below)

        return torch.lerp(at(corner), at(corner + n_deviations), x - left)


def fit_normal_scores(values: Tensor, observed: Tensor, *, n_knots: int = KNOTS) -> NormalScores:
    """Fit normal scores to the observed cells of each column.

    Parameters
    ----------
    values : Tensor of shape (n_samples, n_slots)
        Standardised, or of that magnitude.
    observed : bool Tensor of shape (n_samples, n_slots)
    n_knots : int, default=1000
        At most so many per column. Where there are more distinct values, their scores are cut into
        half as many classes of equal width, and the two ends of each class are knots: no score is
        off by more than that width.

    Returns
    -------
    NormalScores
    """
    cells = [x[seen].double() for x, seen in zip(values.T, observed.T, strict=True)]
    knots = [_knots(x, n_knots) for x in cells]
    most = max(2, *(len(x) for x, _ in knots))
    value, score = (
        torch.stack([torch.cat([x, x[-1:].expand(most - len(x))]) for x in side])
        for side in zip(*knots, strict=True)
    )
    return NormalScores(value, score, _smooth(value, score))


def _knots(x: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Distinct values and their scores."""
    if not len(x):
        return x.new_zeros(1), x.new_zeros(1)
    values, counts = torch.unique(x, return_counts=True)
    midranks = counts.cumsum(0).double() - counts.double() / 2
    scores = torch.special.ndtri(midranks / len(x))
    if len(values) > most:
        classes = ((scores - scores[0]) / (scores[-1] - scores[0]) * (most // 2 - 1)).floor()
        last = torch.cat([classes.diff() > 0, classes.new_ones(1, dtype=torch.bool)])
        ends = last | last.roll(1)
        values, scores = values[ends], scores[ends]
    return values, scores


def _smooth(values: Tensor, scores: Tensor) -> Tensor:
    """Tabulate expected values by means (second axis) and standard deviations (third axis)."""
    tail = 5 * WIDEST
    offset = _grid(-tail, tail, STEP / FINER, scores.device)
    deviation = _grid(0, WIDEST, STEP, scores.device).clamp(min=1e-3)
    density = torch.exp(-0.5 * (offset[:, None] / deviation).square())
    weight = density / density.sum(0)
    score = _grid(-REACH - tail, REACH + tail, STEP / FINER, scores.device)
    curves = _interpolate(score[:, None].expand(-1, len(scores)), scores, values).T
    return torch.stack([curve.unfold(0, len(offset), FINER) @ weight for curve in curves])


def _grid(low: float, high: float, step: float, device: torch.device) -> Tensor:
    """All multiples of `step` from `low` to `high`: exact, where it is a power of 2."""
    return torch.arange(low, high + step, step, dtype=torch.float64, device=device)


def _interpolate(x: Tensor, knots: Tensor, heights: Tensor) -> Tensor:
    """Interpolate each slot between its knots; constant beyond them."""
    points = x.reshape(-1, x.shape[-1]).T.contiguous()
    right = torch.searchsorted(knots, points).clamp_(1, knots.shape[1] - 1)
    left = right - 1
    start, width = knots.gather(1, left), knots.diff().gather(1, left)
    part = ((points - start) / width.where(width > 0, 1)).clamp_(0, 1)
    low, rise = heights.gather(1, left), heights.diff().gather(1, left)
    return (low + part * rise).T.reshape(x.shape)
