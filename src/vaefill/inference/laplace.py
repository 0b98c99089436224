r"""Importance sampling around the modes of the code given the observed pixels.

Each mode that `vaefill.inference.modes` finds gets a multivariate t with the inverse curvature
there as its scale matrix; its share follows Laplace's approximation of the mass around it,
:math:`p(x_o, \hat z) \, |H|^{-1/2}`. A t, because its tails must be no lighter than the target's
for the weights to stay bounded [1]_; what their tails leave open, the prior's share guards. A mode
often lies on a kink of the decoder, where the curvature tells little and is too large more often
than too small. So the climb is short and the first t's are wider than it says; the mixture then
learns from rounds of its own draws, of which the estimate uses all (`vaefill.inference.recycling`).

References
----------
.. [1] J. Geweke, "Bayesian inference in econometric models using Monte Carlo integration",
   Econometrica 57 (1989), 1317-1339.
"""

import math

import torch
from torch import Tensor

from vaefill.inference.adaptive import FLOOR
from vaefill.inference.mixtures import FullT, Mixture, cholesky
from vaefill.inference.modes import Modes, find_modes
from vaefill.inference.recycling import weigh_rounds
from vaefill.inference.target import Inferred, at_least, between_0_and_1
from vaefill.models.vae import VAE


@torch.no_grad()
def laplace(
    vae: VAE,
    x: Tensor,
    observed: Tensor,
    *,
    generator: torch.Generator,
    n_draws: int = 100,
    n_proposals: int = 1000,
    n_rounds: int = 8,
    df: float = 10.0,
    defensive: float = 0.02,
    widened: float = 2.0,
    n_starts: int = 2,
    max_iterations: int = 5,
) -> Inferred:
    """Weigh draws of a t around each mode, and of the prior.

    Parameters
    ----------
    vae, x, observed, generator, n_draws, n_proposals, defensive
        See `vaefill.inference.selfnormalised.importance`.
    n_rounds : int, default=8
        Rounds in which the proposals are drawn; between them the mixture learns. 1 leaves it as
        it is.
    df : float, default=10
        Degrees of freedom of the t's, above 0.
    widened : float, default=2
        Factor above 0 on the first scale matrices, which are else the inverse curvature.
    n_starts : int, default=2
        Modes to look for: from the most probable of `vaefill.inference.starts`, 1 to 4.
    max_iterations : int, default=5
        Bound on the steps towards each mode.

    Returns
    -------
    Inferred
        The diagnostics are ``ess`` and ``pareto_k``, of all draws together.
    """
    at_least("n_starts", n_starts, 1)
    between_0_and_1("defensive", defensive)
    # Nearer to a mode than its own width, the place of a proposal no longer matters.
    modes = find_modes(
        vae, x, observed, n_starts=n_starts, max_iterations=max_iterations, tolerance=1e-2
    )
    laws, shares = laplace_mixture(modes, df, widened=widened)
    mixture = Mixture.defended(laws, shares, vae.prior, defensive)
    return weigh_rounds(
        vae, x, observed, mixture,
        generator=generator, n_draws=n_draws, n_proposals=n_proposals, n_rounds=n_rounds,
    )  # fmt: skip


def laplace_mixture(modes: Modes, df: float, *, widened: float = 1.0) -> tuple[list[FullT], Tensor]:
    """Put a t around each mode, its scale matrix `widened` times the inverse curvature.

    Returns
    -------
    laws : list of FullT
        One per start: where several ended at one mode, they share it.
    shares : float64 Tensor of shape (starts, n)
        By the mass around the modes, but each at least `FLOOR` / starts.
    """
    factors = cholesky(modes.precision)
    mass = modes.log_joint - factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    shares = (1 - FLOOR) * mass.softmax(0) + FLOOR / len(mass)
    factors = factors / math.sqrt(widened)
    return [FullT(*law, df) for law in zip(modes.z, factors, strict=True)], shares
