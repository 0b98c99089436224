r"""Importance sampling around the modes of the code given the observed pixels.

Each mode that `vaefill.inference.modes` finds gets a multivariate t with the inverse curvature
there as its scale matrix; its share follows Laplace's approximation of the mass around it,
:math:`p(x_o, \hat z) \, |H|^{-1/2}`. A t, because its tails must be no lighter than the target's
for the weights to stay bounded [1]_. A mode often lies on a kink of the decoder, where the
curvature tells little: the mixture then learns from rounds of its own draws
(`vaefill.inference.adaptive`).

References
----------
.. [1] J. Geweke, "Bayesian inference in econometric models using Monte Carlo integration",
   Econometrica 57 (1989), 1317-1339.
"""

import torch
from torch import Tensor

from vaefill.inference.adaptive import FLOOR, adapt
from vaefill.inference.mixtures import FullT, Mixture, cholesky
from vaefill.inference.modes import Modes, find_modes
from vaefill.inference.selfnormalised import weigh, weighted
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
    n_rounds: int = 3,
    df: float = 5.0,
    defensive: float = 0.05,
    max_iterations: int = 50,
) -> Inferred:
    """Weigh draws of a t around each mode, and of the prior.

    Parameters
    ----------
    vae, x, observed, generator, n_draws, n_proposals, defensive
        See `vaefill.inference.selfnormalised.importance`.
    n_rounds : int, default=3
        Rounds in which the mixture learns, from ``n_proposals / 4`` draws each.
    df : float, default=5
        Degrees of freedom of the t's, above 0.
    max_iterations : int, default=50
        Bound on the steps towards each mode.

    Returns
    -------
    Inferred
        The diagnostics are ``ess`` and ``pareto_k``, of the last draws.
    """
    at_least("n_rounds", n_rounds, 0)
    between_0_and_1("defensive", defensive)
    # Nearer to a mode than its own width, the place of a proposal no longer matters.
    modes = find_modes(vae, x, observed, max_iterations=max_iterations, tolerance=1e-2)
    laws, shares = laplace_mixture(modes, df)
    mixture = Mixture.defended(laws, shares, vae.prior, defensive)
    for _ in range(n_rounds):
        z = mixture.sample(generator, max(n_proposals // 4, 1))
        mixture = adapt(mixture, z, weighted(vae, x, observed, z, mixture)[0])
    return weigh(
        vae, x, observed, mixture, generator=generator, n_draws=n_draws, n_proposals=n_proposals
    )


def laplace_mixture(modes: Modes, df: float) -> tuple[list[FullT], Tensor]:
    """Put a t around each mode.

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
    return [FullT(*law, df) for law in zip(modes.z, factors, strict=True)], shares
