r"""The completed table: every part of the imputer, fitted and applied in turn.

Of a missing cell, the linear-Gaussian answer g and the nearest rows are known first. A conditional
VAE, trained on cells that were hidden from it, corrects them; the guess is a mixture of these
*experts*, and what lies around the guess follows the errors in cells that were held out:

.. math::
    \hat x_{ij} = \sum_e w_{c(j) e}\, f_{ije}, \qquad
    x_{ij} = \hat x_{ij} + \sigma_{ij}\, Q_j(\Phi(e_{ij})), \quad e_{ij} \sim N(0, 1)

The parts, each a module, in the order in which `fit_completion` fits them to the visible cells:

1. `spaces`: columns are standardised; their normal scores are the second space of g.
   `masks`: cells are *held out* of all that follows, for the choices of 2, 4, 6 and 7.
   `robust`: with outliers, cells that their row does not expect are pulled in.
2. `linear`: g, from a normal fitted by EM in each space. The first expert, :math:`f_{ij1}`.
3. `neighbours`: two answers of the rows nearest to the row as completed by g.
4. `network`, `learning`: trained on rows seen through masks that *hide* further cells, 2 and 3 made
   anew for each mask: the network is to know these answers as they are where a cell is missing.
   Its mean is the second expert; it predicts :math:`\sigma` too.
5. `forest`: the third expert, if asked for.
6. `blend`: weights w of the experts, those of the column c(j) that slot j belongs to.
7. `intervals`: quantile functions Q of the held-out residuals :math:`(x - \hat x) / \sigma`.

Then 2, 3 and 5 are fitted once more, with the held-out cells. New rows take the same way: 1 to 3
(`Looking`), then the experts, w and Q. Nothing is learned from them.

**Draws** have the quantiles of Q, and the noise e of the missing cells of a row varies together:
as they do under the normal, and as a draw of the network's latent code moves them (`intervals`).
What is fitted stays as it is in all draws: imputations differ by what one table leaves open about a
cell, the error of its fit included as far as held-out cells showed it, but that error is drawn anew
in each row. They are not "proper" in Rubin's sense: the pooled variance of what rests on many
imputed cells, such as the mean of a column, is somewhat too small where a table is small or hardly
observed. One of two values is drawn with its probability; so is one of several categories, but
independently of the other cells of the row.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class View:
    """Rows as the experts see them: what is visible, and what the simpler parts make of it.

    Parameters
    ----------
    values : Tensor of shape (n, p)
        Standardised, outliers pulled in; 0 where not visible.
    observed : bool Tensor of shape (n, p)
        What is visible.
    linear : Tensor of shape (n, p)
        The linear answer; visible cells as they are.
    batch : Batch
        What the network is told. Its features are, slot by slot and cut off at `CLIP`: values,
        their normal scores, visible or not, the linear answer, its score, and both answers of the
        nearest rows.
    """

    values: Tensor
    observed: Tensor
    linear: Tensor
    batch: Batch

    def rows(self, index: Tensor) -> "View":
        """Take some of the rows."""
        batch = self.batch.rows(index)
        return View(self.values[index], self.observed[index], self.linear[index], batch)


@dataclass(frozen=True)
class Looking:
    """The parts that come before the experts: outliers pulled in, linear answer, nearest rows.

    Parameters
    ----------
    guard : MultivariateNormal or None
        What `pull_in` judges cells by; None where they are taken as they are.
    guard_df : Tensor of shape (p,)
        Its degrees of freedom.
    linear : Linear
        The linear answer.
    references : References
        The rows of the fitted table that the nearest ones are found among.
    """

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

        Returns
        -------
        View
        """
        z = _clean(z.where(visible, 0.0), visible, self.guard, self.guard_df)
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

    def complete(
        self,
        values: Tensor,
        observed: Tensor,
        *,
        n_draws: int = 0,
        level: float | None = None,
        seed: int = 0,
        first_block: int = 0,
        part: int = 0,
    ) -> Tensor:
        """Guess or draw what is missing, and bound it: all with one look at each row.

        Parameters
        ----------
        values : float64 Tensor of shape (n, p)
            Encoded rows; what is missing is not looked at.
        observed : bool Tensor of shape (n, p)
            False where a cell is missing.
        n_draws : int, default=0
            Number of draws; 0 for the guess.
        level : float, optional
            Share of the missing cells that shall lie between the bounds, in (0, 1).
        seed : int, default=0
            At least 0. A row's draws depend on it, on `n_draws`, on the rows of its block and on
            which block of which part that is.
        first_block, part : int, default=0
            Numbers of the first block in its part, and of the part, of a table that is cut.

        Returns
        -------
        Tensor of shape (n_results, n, p)
            The draws, or the guess; then, with a `level`, lower and upper bound. Observed cells are
            as they were. Of a categorical column, guess and bounds are the probabilities; of a
            draw, the slot of the category drawn is 1 and the others 0.
        """

        def results(view: View, number: int) -> Tensor:
            mean, scale = self._predict(view)
            found = [self._own_units(mean).unsqueeze(0)]
            if n_draws:
                # SeedSequence pads with zeros: part 0 has the draws of [seed, number].
                sequence = np.random.SeedSequence([seed, first_block + number, part])
                state = int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))
                generator = torch.Generator(values.device).manual_seed(state)
                found = [self._draw(view, mean, scale, n_draws, generator)]
            if level is not None:
                found.append(self._bound(mean, scale, level))
            return torch.cat(found)

        n_results = max(n_draws, 1) + 2 * (level is not None)
        return self._by_blocks(results, n_results, values, observed)

    def predict(self, values: Tensor, observed: Tensor) -> Tensor:
        """Guess what is missing: the guess alone of what `complete` gives, of shape (n, p)."""
        return self.complete(values, observed)[0]

    def interval(self, values: Tensor, observed: Tensor, level: float) -> Tensor:
        """Bound what is missing: the bounds alone of what `complete` gives."""
        return self.complete(values, observed, level=level)[1:]

    def draw(self, values: Tensor, observed: Tensor, n_draws: int, seed: int) -> Tensor:
        """Draw what is missing, as `complete` does."""
        return self.complete(values, observed, n_draws=n_draws, seed=seed)

    def log_likelihood(self, values: Tensor, observed: Tensor) -> Tensor:
        r"""Log density of each row's observed cells under the normal fitted to the values.

        .. math:: \ln N(z_o; \mu_o, \Sigma_{oo}) - \sum_{j \in o} \ln s_j

        of the standardised values z, s being the scales of the columns.

        Parameters
        ----------
        values, observed
            As for `complete`.

        Returns
        -------
        Tensor of shape (n,)
            In nats; 0 for a row without an observed cell.
        """
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
                values, observed = block[rows], visible[rows]
                view = self.looking(self.standard.transform(values, observed), observed)
                part[:, rows] = values.where(observed, compute(view, number))
            parts.append(part)
        return torch.cat(parts, dim=1)

    def _predict(self, view: View) -> tuple[Tensor, Tensor]:
        guesses, scale = experts(view, self.network, self.forest)
        return mixture(self.weights, self.slots.column, guesses), scale

    def _bound(self, mean: Tensor, scale: Tensor, level: float) -> Tensor:
        ends = torch.stack(self.quantiles.interval(mean, scale, level))
        for slots in _categories(self.slots):
            ends[..., slots] = mean[:, slots]
        return self._own_units(ends)

    def _draw(
        self, view: View, mean: Tensor, scale: Tensor, n_draws: int, generator: torch.Generator
    ) -> Tensor:
        shape = (n_draws, *mean.shape)
        noise = torch.randn(shape, generator=generator, device=mean.device, dtype=mean.dtype)
        correlated = correlated_noise(self.looking.linear.plain, view.observed, noise)
        if self.network is not None:
            n_codes = max(n_draws, LEAST_CODES)
            codes = self.network.draw(view.batch, n_codes, generator)
            correlated = dependent_noise(correlated, codes, scale)
        drawn = self._own_units(self.quantiles.draw(mean, scale, correlated))
        chance = self._own_units(mean)
        # A binary cell is one of two values, with the probability that its mean stands for.
        lower, upper = self.slots.lower, self.slots.upper
        high = torch.special.ndtr(-correlated) * (upper - lower) < chance - lower
        drawn = drawn.where(~_where(self.slots, "binary"), torch.where(high, upper, lower))
        for slots in _categories(self.slots):
            weight = chance[:, slots].cumsum(1)
            edge = torch.special.ndtr(noise[..., slots[:1]]) * weight[:, -1:]
            chosen = (edge > weight).sum(-1).clamp(max=len(slots) - 1)
            drawn[..., slots] = one_hot(chosen, len(slots)).to(drawn.dtype)
        return drawn

    def _own_units(self, z: Tensor) -> Tensor:
        return self.standard.inverse(z).clamp(self.slots.lower, self.slots.upper)


def experts(view: View, network: Ensemble | None, forest: Forest | None) -> tuple[Tensor, Tensor]:
    """Ask every expert for a guess of each cell, standardised.

    Parameters
    ----------
    view : View
        The rows.
    network, forest
        The experts beside the linear answer that there are.

    Returns
    -------
    guesses : float64 Tensor of shape (n_experts, n, p)
        Of the linear answer, the network and the forest, in this order.
    scale : float64 Tensor of shape (n, p)
        Predictive standard deviation: the network's, without one the linear model's.
    """
    guesses = [view.linear]
    scale = view.batch.base_variance.double().sqrt()
    if network is not None:
        mean, variance = network.predict(view.batch)
        guesses.append(mean.double())
        # A binary column with one value has none, and residuals are divided by it.
        scale = variance.double().sqrt().clamp(min=1e-6)
    if forest is not None:
        guesses.append(forest.complete(view.values, view.observed, view.linear))
    return torch.stack(guesses), scale


def mixture(weights: Tensor, column: Tensor, guesses: Tensor) -> Tensor:
    """Mix guesses (n_experts, n, p) of slots by the weights (n_columns, n_experts) of columns."""
    return (weights.T[:, column].unsqueeze(1) * guesses).sum(0)


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

    Returns
    -------
    Completion

    Raises
    ------
    InputError
        As `fit_network` does.
    """
    error_df = ROBUST_DF if robust else math.inf
    slot_df = _slot_df(slots, error_df)
    standard = fit_standard(values, observed, robust=robust)
    z = standard.transform(values, observed)
    held_out = hold_out(observed, slots.column, validation_fraction, generator)
    train = observed & ~held_out

    guard = fit_normal_robust(z, train, df=slot_df, ridge=RIDGES[0] * len(z)) if robust else None
    clean, all_clean = (_clean(z, visible, guard, slot_df) for visible in (train, observed))
    # The map of scores keeps no held-out outliers: they would be among its values for good.
    scores = fit_normal_scores(all_clean, observed)
    linear, ridge = fit_linear(clean, train, held_out, scores, slots.column)
    rows = torch.arange(len(z), device=z.device)
    looking = Looking(guard, slot_df, linear, _references(linear, clean, train, generator))

    checked = looking(z, train, rows)
    network = None
    if held_out.any():
        masks = _masks(train, slots.column, generator)
        network = fit_network(
            [_example(looking(z, train & ~more, rows), more) for more in masks],
            _example(checked, held_out),
            z.float(),
            _likelihood(slots, standard, error_df),
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
    weights = blend_weights(
        guesses[:, cells].T,
        truth[cells],
        slots.column.expand_as(cells)[cells],
        int(slots.column.max()) + 1,
        df=error_df,
    )
    residual = (truth - mixture(weights, slots.column, guesses)) / scale
    numeric = cells & _where(slots, "categorical").logical_not()
    n_slots = len(slots.kind)
    slot = torch.arange(n_slots, device=z.device).expand_as(cells)
    quantiles = fit_residual_quantiles(residual[numeric], slot[numeric], n_slots, n_rows=len(z))

    # What was held out has done its duty: the cheap parts see it too.
    linear = linear.refit(all_clean, observed, ridge=ridge)
    looking = Looking(guard, slot_df, linear, _references(linear, all_clean, observed, generator))
    if thorough:
        start = linear.answer(all_clean, observed).mean
        forest = fit_forest(all_clean, observed, slots.column, start, generator)
    return Completion(slots, standard, looking, network, forest, weights, quantiles)


def _slot_df(slots: Slots, df: float) -> Tensor:
    """Degrees of freedom of the errors of each slot's cells: categories know no outliers."""
    numbers = _where(slots, "continuous", "bounded", "count")
    return torch.full_like(slots.lower, math.inf).where(~numbers, df)


def _where(slots: Slots, *kinds: str) -> Tensor:
    """Slots of these kinds; bool (p,)."""
    return torch.tensor([kind in kinds for kind in slots.kind], device=slots.column.device)


def _clean(z: Tensor, visible: Tensor, guard: MultivariateNormal | None, df: Tensor) -> Tensor:
    """Pull in the visible cells that their row does not expect, if there is a guard."""
    return z if guard is None else pull_in(guard, z, visible, df)


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
    return Example(**vars(view.batch), hidden=hidden)


def _likelihood(slots: Slots, standard: Standard, df: float) -> Mixed:
    """Likelihoods in standardised units."""
    edges = torch.stack([slots.lower, slots.upper])
    lower, upper = standard.transform(edges, torch.ones_like(edges, dtype=torch.bool)).float()
    step = (slots.step / standard.scale).float()
    return Mixed(slots.kind, slots.column, lower, upper, step, df=df)


def _categories(slots: Slots) -> list[Tensor]:
    """Slots of each categorical column."""
    columns = slots.column[_where(slots, "categorical")].unique()
    return [(slots.column == column).nonzero().flatten() for column in columns]
