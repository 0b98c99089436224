r"""Self-normalised importance sampling of the code given the observed pixels.

.. math:: \mathbb E[x_m | x_o] \approx \sum_k \bar w_k \, \mathbb E[x_m | z_k], \qquad
    \bar w_k \propto \frac{p(x_o | z_k) \, p(z_k)}{q(z_k)}, \quad z_k \sim q

as MIWAE imputes [1]_, with a mixture for q that contains the prior as a defence: no weight can
then exceed :math:`p(x_o|z) / \alpha` for the prior's share :math:`\alpha`. The estimate is only as
good as the weights are even; their effective sample size and Pareto k-hat say how even they are.

References
----------
.. [1] P.-A. Mattei, J. Frellsen, "MIWAE: deep generative modelling and imputation of incomplete
   data sets", ICML 2019.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from vaefill.inference.convergence import pareto_k, weight_ess
from vaefill.inference.iterated import fill
from vaefill.inference.mixtures import Mixture, systematic
from vaefill.inference.target import Inferred, at_least, between_0_and_1, log_joint
from vaefill.models.vae import VAE

#: Logits at a time: on a CPU few enough for its cache, on a GPU many enough to fill it.
CHUNK = {"cpu": 2**20, "cuda": 2**27}


@torch.no_grad()
def importance(
    vae: VAE,
    x: Tensor,
    observed: Tensor,
    *,
    generator: torch.Generator,
    n_draws: int = 100,
    n_proposals: int = 1000,
    defensive: float = 0.1,
    n_iterations: int = 10,
) -> Inferred:
    """Weigh draws of the encoder: of the zero-filled image, of the iterated one, and the prior's.

    Parameters
    ----------
    vae, x, observed, generator, n_draws
        See `vaefill.inference.single_pass.single_pass`. The `n_draws` codes are resampled by
        weight.
    n_proposals : int, default=1000
        Weighted draws per image.
    defensive : float, default=0.1
        The prior's share of them, between 0 and 1.
    n_iterations : int, default=10
        Of the imputation whose encoding is the second proposal.

    Returns
    -------
    Inferred
        The diagnostics are ``ess``, from 1 to `n_proposals`, and ``pareto_k``.
    """
    between_0_and_1("defensive", defensive)
    filled, _ = fill(vae, x, observed, n_iterations=n_iterations)
    shares = torch.full((2, len(x)), 0.5, device=x.device)
    proposals = [vae.posterior(x), vae.posterior(filled)]
    mixture = Mixture.defended(proposals, shares, vae.prior, defensive)
    return weigh(
        vae, x, observed, mixture, generator=generator, n_draws=n_draws, n_proposals=n_proposals
    )


def weigh(
    vae: VAE,
    x: Tensor,
    observed: Tensor,
    mixture: Mixture,
    *,
    generator: torch.Generator,
    n_draws: int,
    n_proposals: int,
) -> Inferred:
    """Sample from the mixture, weigh, average and resample; see `importance`."""
    at_least("n_proposals", n_proposals, 1)
    z = mixture.sample(generator, n_proposals)
    log_weights, mean = weighted(vae, x, observed, z, mixture)
    return summarised(z, log_weights, mean, generator=generator, n_draws=n_draws)


def summarised(
    z: Tensor, log_weights: Tensor, mean: Tensor, *, generator: torch.Generator, n_draws: int
) -> Inferred:
    """Resample weighted codes, and diagnose the weights; see `importance`.

    Parameters
    ----------
    z, log_weights, mean
        Codes, their weights up to a constant per image, and the mean by these: see `weighted`.
    """
    diagnostics = {"ess": weight_ess(log_weights), "pareto_k": pareto_k(log_weights)}
    chosen = systematic(log_weights.softmax(0), n_draws, generator)
    # In an order of their own, so that any part of the draws stands for all of them.
    chosen = chosen[torch.randperm(n_draws, generator=generator, device=z.device)]
    return Inferred(mean, z.take_along_dim(chosen.unsqueeze(-1), 0), diagnostics)


def weighted(
    vae: VAE, x: Tensor, observed: Tensor, z: Tensor, mixture: Mixture
) -> tuple[Tensor, Tensor]:
    """Weigh codes that were drawn from the mixture.

    Parameters
    ----------
    vae, x, observed
        See `importance`.
    z : Tensor of shape (n_proposals, n, latent)
        Codes.
    mixture : Mixture
        Where they come from.

    Returns
    -------
    log_weights : float64 Tensor of shape (n_proposals, n)
        ln p(x_o|z) + ln p(z) - ln q(z), in nats.
    mean : Tensor of shape (n, pixels)
        The decoder's means, averaged by these weights.
    """
    log_weights, mean = -mixture.log_prob(z), torch.empty_like(x)
    for rows, value, means in decoded(vae, x, observed, z):
        log_weights[:, rows] += value
        mean[rows] = averaged(means, log_weights[:, rows])
    return log_weights, mean


def averaged(means: Tensor, log_weights: Tensor) -> Tensor:
    """Average the decoder's means (n_proposals, n, pixels) by their weights (n_proposals, n)."""
    return torch.einsum("kn,knp->np", log_weights.softmax(0).to(means.dtype), means)


def decoded(
    vae: VAE, x: Tensor, observed: Tensor, z: Tensor
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Decode codes (n_proposals, n, latent), those of a few images at a time.

    Yields
    ------
    rows : slice
        Which images.
    value : float64 Tensor of shape (n_proposals, rows)
        ln p(x_o|z) + ln p(z), in nats.
    means : Tensor of shape (n_proposals, rows, pixels)
        The decoder's means.
    """
    size = max(1, CHUNK[x.device.type] // (len(z) * x.shape[1]))
    for start in range(0, len(x), size):
        rows = slice(start, start + size)
        likelihood = vae.likelihood(z[:, rows])
        value = log_joint(likelihood, vae.prior, z[:, rows], x[rows], observed[rows])
        yield rows, value, likelihood.mean
