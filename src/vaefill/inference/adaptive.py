r"""Proposals that learn from their own weighted draws: population Monte Carlo for t mixtures.

A round of draws, weighted as if to estimate, tells where the target is and how it is spread. The
mixture is refitted to them by one step of expectation-maximisation [1]_: with normalised weights
:math:`\bar w`, responsibilities :math:`\rho_j = \alpha_j q_j / q` and the t's own weights
:math:`u_j = (\nu + m) / (\nu + \delta_j^2)` for the squared distance :math:`\delta_j^2` from
component j,

.. math:: \alpha_j = \sum \bar w \rho_j, \qquad
    \mu_j = \frac{\sum \bar w \rho_j u_j z}{\sum \bar w \rho_j u_j}, \qquad
    \Sigma_j = \frac{\sum \bar w \rho_j u_j (z - \mu_j)(z - \mu_j)^T}{\sum \bar w \rho_j}

which lowers the Kullback-Leibler divergence of the mixture from the target. Large weights are
truncated [2]_, and :math:`\Sigma_j` shrinks towards what it was, as if that were the scatter of
`STIFFNESS` * m more draws: a covariance has m (m + 1) / 2 numbers, the draws of a round are few,
and a proposal that follows them too closely is narrower than the target.

References
----------
.. [1] O. Cappé, R. Douc, A. Guillin, J.-M. Marin, C. P. Robert, "Adaptive importance sampling in
   general mixture classes", Statistics and Computing 18 (2008), 447-459.
.. [2] E. L. Ionides, "Truncated importance sampling", Journal of Computational and Graphical
   Statistics 17 (2008), 295-311.
"""

import math

import torch
from torch import Tensor

from vaefill.inference.mixtures import FullT, Mixture, cholesky

FLOOR = 0.1  # the share that components have alike, as what was missed may lie near any of them
STIFFNESS = 4  # draws per coordinate that the scale matrix of before is worth


def adapt(mixture: Mixture, z: Tensor, log_weights: Tensor) -> Mixture:
    """Refit the t components to weighted draws.

    Parameters
    ----------
    mixture : Mixture
        Of `FullT` components and, as the last, another that stays as it is with its share.
    z : Tensor of shape (n_draws, n, latent)
        Draws, from it or from others.
    log_weights : float64 Tensor of shape (n_draws, n)
        What makes of them draws from the target, up to a constant per image.

    Returns
    -------
    Mixture
    """
    n_draws, _, latent = z.shape
    *laws, rest = mixture.components
    # No draw may have more than 1 / sqrt(n_draws) of the weight.
    weights = log_weights.log_softmax(0).clamp(max=-0.5 * math.log(n_draws)).log_softmax(0)
    parts = mixture.log_parts(z)
    weights = weights - parts.logsumexp(0)
    refitted, mass = [], []
    for law, log_part in zip(laws, parts, strict=False):
        assert isinstance(law, FullT)
        part = weights + log_part
        mass.append(part.logsumexp(0))
        part = part.softmax(0)
        pull = part * (law.df + latent) / (law.df + law.whiten(z).square().sum(-1))
        mu = torch.einsum("kn,kni->ni", pull / pull.sum(0), z.double())
        spread = z - mu
        scatter = torch.einsum("kn,kni,knj->nij", pull, spread, spread)
        count = 1 / part.square().sum(0)[:, None, None]  # effective number of draws
        kept = STIFFNESS * latent
        scatter = (count * scatter + kept * torch.cholesky_inverse(law.factor)) / (count + kept)
        factor = cholesky(torch.linalg.inv_ex(scatter).inverse)
        refitted.append(FullT(mu.to(z.dtype), factor, law.df))
    shares = torch.stack(mass).softmax(0)
    shares = (1 - FLOOR) * shares + FLOOR / len(laws)
    last = mixture.shares[-1:]
    return Mixture([*refitted, rest], torch.cat([(1 - last) * shares, last]))
