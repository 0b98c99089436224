r"""The linear-Gaussian answer: the best guess of a multivariate normal, in two spaces.

One normal describes the standardised values x, another their normal scores s(x): a Gaussian
copula, whose guess is mapped back as an expectation over the conditional law of the score. Columns
differ in which of the two they follow, and get a mixture of their own, weighed on held-out cells:

.. math:: g_j = w_j \operatorname{E}(x_j \mid x_o) + (1 - w_j)
    \operatorname{E}\big(s_j^{-1}(u) \mid u \sim N(m_j, v_j)\big)

with m and v the conditional mean and variance of the missing score given the scores of the
observed cells o.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vaefill.tables.blend import blend_weights
from vaefill.tables.normal import (
    Conditional,
    MultivariateNormal,
    condition,
    fit_normal,
    leave_one_out,
)
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
        plain, scored, mapped = self._both(condition, values, observed)
        mean = values.where(observed, torch.lerp(mapped, plain.mean, self.weight))
        return Answer(mean, plain.variance, scored.mean)

    def leave_one_out(self, values: Tensor, observed: Tensor) -> Tensor:
        """Give the conditional mean of each observed cell, had it been missing alone."""
        plain, _, mapped = self._both(leave_one_out, values, observed)
        return torch.lerp(mapped, plain.mean, self.weight)

    def _both(
        self,
        given: Callable[[MultivariateNormal, Tensor, Tensor], Conditional],
        values: Tensor,
        observed: Tensor,
    ) -> tuple[Conditional, Conditional, Tensor]:
        """Ask both normals, by `condition` or `leave_one_out`; map the scores' answer to values."""
        plain = given(self.plain, values, observed)
        scored = given(self.scored, self.scores.transform(values, observed), observed)
        return plain, scored, self.scores.expected(scored.mean, scored.variance)

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
    best: tuple[MultivariateNormal, float, Tensor] | None = None
    for ridge in (share * len(values) for share in RIDGES):
        normal = fit_normal(values, observed, ridge=ridge)
        guess = condition(normal, values, observed).mean[held_out]
        # A held-out outlier alone must not choose the ridge.
        error = (guess - truth).square().clamp(max=25.0)
        if best is not None and not _clearly_positive(best[2] - error):
            break
        best = normal, ridge, error
    assert best is not None
    plain, ridge, _ = best
    scored = fit_normal(scores.transform(values, observed), observed, ridge=ridge)
    linear = Linear(plain, scored, scores, weight=torch.ones_like(plain.mu))
    values_say, _, scores_say = linear._both(condition, values, observed)
    guesses = torch.stack([values_say.mean[held_out], scores_say[held_out]], dim=-1)
    cells = column[held_out.nonzero()[:, 1]]
    weights = blend_weights(guesses, truth, cells, int(column.max()) + 1, pseudo_count=30.0)
    return replace(linear, weight=weights[column, 0]), ridge


def _clearly_positive(gain: Tensor) -> bool:
    """Whether a mean is above 0 by more than its standard error; that of one number is unknown."""
    n = len(gain)
    return n > 1 and bool(gain.mean() > gain.std() / n**0.5)
