r"""The linear-Gaussian answer: the best guess of a multivariate normal, in two spaces.

One normal describes the standardised values, another their normal scores (a Gaussian copula),
whose answer is mapped back to values as an expectation. Columns differ in which of the two they
follow, so that each gets its own mixture of both, weighed on held-out cells.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vaefill.tables.blend import blend_weights
from vaefill.tables.normal import MultivariateNormal, condition, fit_normal, leave_one_out
from vaefill.tables.spaces import NormalScores

#: Strengths of the ridge that are tried, in pseudo-rows per row of the table.
RIDGES = (0.001, 0.01, 0.1, 1.0)


@dataclass(frozen=True)
class Answer:
    """What the linear model says about every cell; observed ones as they are.

    Parameters
    ----------
    mean : Tensor of shape (n, p)
        The mixture of both spaces' conditional means.
    variance : Tensor of shape (n, p)
        Conditional variance in the space of values; 0 where observed.
    score : Tensor of shape (n, p)
        Conditional mean in the space of scores.
    """

    mean: Tensor
    variance: Tensor
    score: Tensor


@dataclass(frozen=True)
class Linear:
    """A normal in each space, and how much of each makes the answer.

    Parameters
    ----------
    plain, scored : MultivariateNormal
        Of standardised values, and of their normal scores.
    scores : NormalScores
        The map between the two spaces.
    weight : Tensor of shape (p,)
        Share of the space of values, from 0 to 1.
    """

    plain: MultivariateNormal
    scored: MultivariateNormal
    scores: NormalScores
    weight: Tensor

    def answer(self, values: Tensor, observed: Tensor) -> Answer:
        """Give the conditional mean of what is missing."""
        plain = condition(self.plain, values, observed)
        scored = condition(self.scored, self.scores.transform(values, observed), observed)
        mapped = self.scores.expected(scored.mean, scored.variance)
        mean = values.where(observed, torch.lerp(mapped, plain.mean, self.weight))
        return Answer(mean, plain.variance, scored.mean)

    def leave_one_out(self, values: Tensor, observed: Tensor) -> Tensor:
        """Give the conditional mean of each observed cell, had it been missing alone."""
        plain = leave_one_out(self.plain, values, observed)
        scored = leave_one_out(self.scored, self.scores.transform(values, observed), observed)
        mapped = self.scores.expected(scored.mean, scored.variance)
        return torch.lerp(mapped, plain.mean, self.weight)

    def refit(self, values: Tensor, observed: Tensor, *, ridge: float) -> "Linear":
        """Fit both normals anew, to more cells, and keep the mixture."""
        return replace(
            self,
            plain=fit_normal(values, observed, ridge=ridge, start=self.plain),
            scored=fit_normal(
                self.scores.transform(values, observed), observed, ridge=ridge, start=self.scored
            ),
        )


def fit_linear(
    values: Tensor, observed: Tensor, held_out: Tensor, scores: NormalScores, column: Tensor
) -> tuple[Linear, float]:
    """Fit both normals to the observed cells; choose ridge and mixture on those held out.

    A stronger ridge is taken only where it lowers the held-out error by more than one standard
    error: on small tables a free choice follows the noise.

    Parameters
    ----------
    values : Tensor of shape (n, p)
        Standardised.
    observed, held_out : bool Tensor of shape (n, p)
        Cells to fit to, and others to choose on.
    scores : NormalScores
        The map to the second space.
    column : Tensor of shape (p,)
        Original column of each slot.

    Returns
    -------
    Linear
        The fitted model.
    float
        The ridge chosen, in pseudo-rows.
    """
    truth = values[held_out]
    best: tuple[MultivariateNormal, Tensor, float] | None = None
    for ridge in (share * len(values) for share in RIDGES):
        normal = fit_normal(values, observed, ridge=ridge)
        guess = condition(normal, values, observed).mean[held_out]
        # A held-out outlier alone must not choose the ridge.
        error = (guess - truth).square().clamp(max=25.0)
        if best is None:
            best = normal, error, ridge
            continue
        gain = best[1] - error
        if len(gain) < 2 or not gain.mean() > gain.std() / len(gain) ** 0.5:
            break
        best = normal, error, ridge
    assert best is not None
    plain, _, ridge = best
    z = scores.transform(values, observed)
    found = condition(scored := fit_normal(z, observed, ridge=ridge), z, observed)
    guesses = [
        condition(plain, values, observed).mean[held_out],
        scores.expected(found.mean, found.variance)[held_out],
    ]
    slot = held_out.nonzero()[:, 1]
    weights = blend_weights(
        torch.stack(guesses, dim=-1), truth, column[slot], int(column.max()) + 1, pseudo_count=30.0
    )
    return Linear(plain, scored, scores, weights[column, 0]), ridge
