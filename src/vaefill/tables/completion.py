r"""The completed table: every part of the imputer, fitted and applied in turn.

A conditional VAE, trained on cells that were hidden from it, corrects the linear-Gaussian answer
with the help of the nearest rows; a blend of both is chosen per column on held-out cells, whose
residuals also give the intervals:

.. math:: \hat x_{ij} = \sum_e w_{c(j) e}\, \hat x_{ij}^{(e)}, \qquad
    q_{ij}(u) = \hat x_{ij} + \sigma_{ij} Q_j(u)

over the experts e (the linear answer, the network, and a forest if asked for), with the weights of
a slot's column, the network's predictive scale :math:`\sigma` and the quantiles Q of the held-out
residuals over it.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from vaefill.tables.blend import blend_weights
from vaefill.tables.columns import Slots
from vaefill.tables.forest import Forest, fit_forest
from vaefill.tables.intervals import ResidualQuantiles, dependent_noise, fit_residual_quantiles
from vaefill.tables.learning import Example, Report, fit_network
from vaefill.tables.likelihoods import Mixed
from vaefill.tables.linear import RIDGES, Linear, fit_linear
from vaefill.tables.masks import hide, hold_out
from vaefill.tables.neighbours import References, fit_references, nearest
from vaefill.tables.network import Batch, Ensemble
from vaefill.tables.normal import MultivariateNormal, correlated_noise, log_likelihood
from vaefill.tables.robust import fit_normal_robust, pull_in
from vaefill.tables.spaces import Standard, fit_normal_scores, fit_standard

#: Degrees of freedom of cells in a table with outliers (`likelihood="student_t"`).
ROBUST_DF = 4.0
#: Rows at a time, counted from the first: memory does not grow with the table, and neither
#: results nor draws depend on how many rows come after.
BLOCK = 1024
#: Codes over which the mean and spread of their locations are taken, at least.
LEAST_CODES = 32
#: Share of a row's visible cells to hide in training, from and to.
HIDDEN = (0.1, 0.5)
#: Rows with cells hidden that the network learns from, over all masks.
MASKED_ROWS = 120_000
#: Standardised values are cut off here for the network, which is not to extrapolate.
CLIP = 6.0

Experts = Literal["fast", "thorough"]


@dataclass(frozen=True)
class View:
    """Rows as the parts see them: what is visible, and what the simpler parts make of it."""

    values: Tensor
    observed: Tensor
    linear: Tensor
    batch: Batch

    def rows(self, index: Tensor) -> "View":
        """Take some of the rows."""
        batch = self.batch.rows(index)
        return View(self.values[index], self.observed[index], self.linear[index], batch)


@dataclass(frozen=True)
class Prediction:
    """What is known about every cell, in the units of the encoded table.

    Parameters
    ----------
    mean : Tensor of shape (n, p)
        Best guess of a missing cell; an observed one as it is, up to rounding.
    scale : Tensor of shape (n, p)
        Predictive standard deviation.
    """

    mean: Tensor
    scale: Tensor


@dataclass(frozen=True)
class Looking:
    """The parts that come before the network: outliers pulled in, linear answer, nearest rows."""

    guard: MultivariateNormal | None
    guard_df: Tensor
    linear: Linear
    references: References

    def __call__(self, z: Tensor, visible: Tensor, row: Tensor | None = None) -> View:
        """View standardised rows through what is visible of them.

        Parameters
        ----------
        z : Tensor of shape (n, p)
            Standardised values; what is not visible is not looked at.
        visible : bool Tensor of shape (n, p)
            Cells to look at.
        row : Tensor of shape (n,), optional
            Number of each row in the table that the references are of, so that none becomes its
            own neighbour; by default as for `nearest`.
        """
        z = z.where(visible, 0.0)
        if self.guard is not None:
            z = pull_in(self.guard, z, visible, self.guard_df)
        answer = self.linear.answer(z, visible)
        donors, residual = nearest(answer.mean, visible, self.references, row)
        corrected = answer.mean + residual
        scores = self.linear.scores.transform(z, visible)
        parts = (z, scores, visible, answer.mean, answer.score, donors, corrected)
        features = torch.cat([part.float().clamp(-CLIP, CLIP) for part in parts], dim=1)
        base = answer.mean.float()
        near = torch.stack([donors - answer.mean, residual], dim=1).float()
        batch = Batch(features, base, answer.variance.float(), near)
        return View(z, visible, answer.mean, batch)


@dataclass(frozen=True)
class Completion:
    """A fitted imputer of encoded tables: takes and gives float64 in the columns' own units.

    Parameters
    ----------
    slots : Slots
        What the columns of the encoded table are.
    standard : Standard
        Location and scale of each.
    looking : Looking
        Linear answer and nearest rows.
    network : Ensemble or None
        What corrects them; None where there was nothing to learn from.
    forest : Forest or None
        One more expert, if asked for.
    weights : Tensor of shape (n_columns, n_experts)
        The blend.
    quantiles : ResidualQuantiles
        Of held-out residuals over the predicted scale.
    """

    slots: Slots
    standard: Standard
    looking: Looking
    network: Ensemble | None
    forest: Forest | None
    weights: Tensor
    quantiles: ResidualQuantiles

    def predict(self, values: Tensor, observed: Tensor) -> Tensor:
        """Guess what is missing.

        Parameters
        ----------
        values : float64 Tensor of shape (n, p)
            Encoded rows; what is missing is not looked at.
        observed : bool Tensor of shape (n, p)
            False where a cell is missing.

        Returns
        -------
        Tensor of shape (n, p)
            The rows, completed. Those that were complete are as they were.
        """

        def guess(view: View, number: int) -> Tensor:
            return self._own_units(self._predict(view)[0]).unsqueeze(0)

        return self._by_blocks(guess, 1, values, observed)[0]

    def interval(self, values: Tensor, observed: Tensor, level: float) -> Tensor:
        """Bound what is missing, so that a share `level` lies between; shape (2, n, p)."""

        def bound(view: View, number: int) -> Tensor:
            ends = self.quantiles.interval(*self._predict(view), level)
            return self._own_units(torch.stack(ends))

        return self._by_blocks(bound, 2, values, observed)

    def draw(self, values: Tensor, observed: Tensor, n_draws: int, seed: int) -> Tensor:
        """Draw what is missing; shape (n_draws, n, p).

        A row's draws depend on the seed, on its number and on the rows of its block.
        """

        def draw(view: View, number: int) -> Tensor:
            state = np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)
            generator = torch.Generator(values.device).manual_seed(int(state[0] >> np.uint64(1)))
            return self._draw(view, n_draws, generator)

        return self._by_blocks(draw, n_draws, values, observed)

    def log_likelihood(self, values: Tensor, observed: Tensor) -> Tensor:
        """Log density of each row's observed cells under the fitted normal, in own units."""
        z = self.standard.transform(values, observed)
        jacobian = (self.standard.scale.log() * observed).sum(1)
        return log_likelihood(self.looking.linear.plain, z, observed) - jacobian

    def _by_blocks(
        self,
        compute: Callable[[View, int], Tensor],
        n_results: int,
        values: Tensor,
        observed: Tensor,
    ) -> Tensor:
        parts = []
        blocks = zip(values.split(BLOCK), observed.split(BLOCK), strict=True)
        for number, (block, visible) in enumerate(blocks):
            rows = (~visible).any(1).nonzero().flatten()
            part = block.repeat(n_results, 1, 1)
            if len(rows):
                z = self.standard.transform(block[rows], visible[rows])
                part[:, rows] = compute(self.looking(z, visible[rows]), number)
            parts.append(part)
        return torch.cat(parts, dim=1)

    def _predict(self, view: View) -> tuple[Tensor, Tensor]:
        guesses, scale = experts(view, self.network, self.forest)
        weights = self.weights.T[:, self.slots.column]
        return (weights.unsqueeze(1) * guesses).sum(0), scale

    def _draw(self, view: View, n_draws: int, generator: torch.Generator) -> Tensor:
        mean, scale = self._predict(view)
        shape = (n_draws, *mean.shape)
        noise = torch.randn(shape, generator=generator, device=mean.device, dtype=mean.dtype)
        correlated = correlated_noise(self.looking.linear.plain, view.observed, noise)
        if self.network is not None:
            n_codes = max(n_draws, LEAST_CODES)
            codes = self.network.draw(view.batch, n_codes, generator)
            correlated = dependent_noise(correlated, codes, scale)
        drawn = self._own_units(self.quantiles.draw(mean, scale, correlated))
        chance = self._own_units(mean)
        for slots in _categories(self.slots):
            weight = chance[:, slots].cumsum(1)
            edge = torch.special.ndtr(noise[..., slots[:1]]) * weight[:, -1:]
            chosen = (edge > weight).sum(-1).clamp(max=len(slots) - 1)
            drawn[..., slots] = one_hot(chosen, len(slots)).to(drawn.dtype)
        return drawn

    def _own_units(self, z: Tensor) -> Tensor:
        return self.standard.inverse(z).clamp(self.slots.lower, self.slots.upper)


def experts(view: View, network: Ensemble | None, forest: Forest | None) -> tuple[Tensor, Tensor]:
    """Ask every expert; shape (n_experts, n, p), and the predictive scale (n, p)."""
    guesses = [view.linear]
    scale = view.batch.base_variance.double().sqrt()
    if network is not None:
        mean, variance = network.predict(view.batch)
        guesses.append(mean.double())
        scale = variance.double().sqrt()
    if forest is not None:
        guesses.append(forest.complete(view.values, view.observed, view.linear))
    return torch.stack(guesses), scale


def fit_completion(
    values: Tensor,
    observed: Tensor,
    slots: Slots,
    *,
    thorough: bool,
    code_df: float,
    robust: bool,
    n_latents: int,
    hidden: Sequence[int],
    max_iter: int,
    validation_fraction: float,
    generator: torch.Generator,
    report: Report | None = None,
) -> Completion:
    """Fit every part to an encoded table with gaps.

    Parameters
    ----------
    values : float64 Tensor of shape (n, p)
        Encoded table, 0 where missing.
    observed : bool Tensor of shape (n, p)
        False where a cell is missing; every slot is observed somewhere.
    slots : Slots
        What the columns of the encoded table are.
    thorough : bool
        Whether a forest is one of the experts.
    code_df : float
        Degrees of freedom of the latent code; ``inf`` is the normal.
    robust : bool
        Whether numeric cells have Student-t errors, so that outliers do not rule.
    n_latents, hidden, max_iter
        Of the network: see `fit_network`.
    validation_fraction : float
        Share of the observed cells to hold out: they stop the training, and choose ridge, blend
        and intervals.
    generator : torch.Generator
        Source of all randomness, on the table's device.
    report : callable, optional
        See `fit_network`.
    """
    n_columns = int(slots.column.max()) + 1
    df = _degrees_of_freedom(slots, robust)
    standard = fit_standard(values, observed, robust=robust)
    z = standard.transform(values, observed)
    held_out = hold_out(observed, slots.column, validation_fraction, generator)
    train = observed & ~held_out

    guard = fit_normal_robust(z, train, df=df, ridge=RIDGES[0] * len(z)) if robust else None
    clean = z if guard is None else z.where(~train, pull_in(guard, z, train, df))
    scores = fit_normal_scores(clean, observed)
    linear, ridge = fit_linear(clean, train, held_out, scores, slots.column)
    rows = torch.arange(len(z), device=z.device)
    looking = Looking(guard, df, linear, _references(linear, clean, train, generator))

    checked = looking(z, train, rows)
    network = None
    if held_out.any():
        pool = [
            _example(looking(z, train & ~more, rows), more)
            for more in _masks(train, slots.column, generator)
        ]
        network = fit_network(
            pool,
            _example(checked, held_out),
            z.float(),
            _likelihood(slots, standard, ROBUST_DF if robust else math.inf),
            hidden=hidden,
            n_latents=n_latents,
            df=code_df,
            max_iter=max_iter,
            generator=generator,
            report=report,
        )
    forest = None
    if thorough:
        forest = fit_forest(clean, train, slots.column, checked.linear, generator)

    some = held_out.any(1).nonzero().flatten()
    guesses, scale = experts(checked.rows(some), network, forest)
    cells, truth = held_out[some], z[some]
    column = slots.column.expand_as(cells)[cells]
    weights = blend_weights(
        guesses[:, cells].T, truth[cells], column, n_columns, df=ROBUST_DF if robust else math.inf
    )
    mean = (weights.T[:, slots.column].unsqueeze(1) * guesses).sum(0)
    for indicators in _categories(slots):
        cells = cells.index_fill(1, indicators, False)
    slot = torch.arange(len(slots.kind), device=z.device).expand_as(cells)[cells]
    residual = (truth[cells] - mean[cells]) / scale[cells]
    quantiles = fit_residual_quantiles(residual, slot, len(slots.kind), n_rows=len(z))

    # What was held out has done its duty: the cheap parts see it too.
    if guard is not None:
        clean = pull_in(guard, z, observed, df)
    linear = linear.refit(clean, observed, ridge=ridge)
    looking = Looking(guard, df, linear, _references(linear, clean, observed, generator))
    if thorough:
        start = linear.answer(clean, observed).mean
        forest = fit_forest(clean, observed, slots.column, start, generator)
    return Completion(slots, standard, looking, network, forest, weights, quantiles)


def _degrees_of_freedom(slots: Slots, robust: bool) -> Tensor:
    """Of the errors of each slot's cells: categories know no outliers."""
    numbers = ("continuous", "bounded", "count")
    df = [ROBUST_DF if robust and kind in numbers else math.inf for kind in slots.kind]
    return torch.tensor(df, dtype=torch.float64, device=slots.column.device)


def _references(
    linear: Linear, values: Tensor, observed: Tensor, generator: torch.Generator
) -> References:
    completed = linear.answer(values, observed).mean
    residual = (values - linear.leave_one_out(values, observed)).where(observed, 0.0)
    return fit_references(completed, observed, residual, generator=generator)


def _masks(observed: Tensor, column: Tensor, generator: torch.Generator) -> Iterator[Tensor]:
    """Hide cells again and again: more often in small tables, which one mask does not exhaust."""
    for _ in range(min(max(MASKED_ROWS // len(observed), 3), 64)):
        yield hide(observed, column, *HIDDEN, generator)


def _example(view: View, hidden: Tensor) -> Example:
    batch = view.batch
    return Example(batch.features, batch.base, batch.base_variance, batch.near, hidden)


def _likelihood(slots: Slots, standard: Standard, df: float) -> Mixed:
    """Likelihoods in standardised units."""
    edges = torch.stack([slots.lower, slots.upper])
    lower, upper = standard.transform(edges, torch.ones_like(edges, dtype=torch.bool)).float()
    step = (slots.step / standard.scale).float()
    return Mixed(slots.kind, slots.column, lower, upper, step, df=df)


def _categories(slots: Slots) -> list[Tensor]:
    """Slots of each categorical column."""
    kind = dict(zip(slots.column.tolist(), slots.kind, strict=True))
    return [
        (slots.column == column).nonzero().flatten()
        for column, kind in kind.items()
        if kind == "categorical"
    ]
