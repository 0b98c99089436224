r"""The log-likelihood of images, by importance sampling.

.. math:: \ln p(x) \ge \mathbb E \ln \frac1K \sum_{k=1}^K w_k, \qquad
    w_k = \frac{p(x|z_k) \, p(z_k)}{q(z_k|x)}, \quad z_k \sim q(z|x)

This is the bound of [1]_. One draw gives the ELBO; more draws raise the bound, towards
:math:`\ln p(x)`. How near it is shows in the effective sample size
:math:`(\sum_k w_k)^2 / \sum_k w_k^2`: K where the posterior is exact, 1 where a single draw
outweighs all others and the bound is not to be trusted.

References
----------
.. [1] Y. Burda, R. Grosse, R. Salakhutdinov, "Importance weighted autoencoders",
   arXiv:1509.00519 (2016).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaefill.errors import InputError
from vaefill.models.distributions import Latent
from vaefill.models.vae import VAE

LOW = 0.05  # the share of images whose effective sample size is below `ess_low`
TERMS = ("ln p(x|z)", "ln p(z)", "ln q(z|x)")


@torch.no_grad()
def importance_bound(
    vae: VAE,
    images: Tensor,
    *,
    n_draws: int,
    generator: torch.Generator,
    batch_size: int = 500,
) -> dict[str, NDArray[np.float64]]:
    """Bound the log-likelihood of each image from below.

    Parameters
    ----------
    vae : VAE
        Trained model; posterior and prior may be any `vaefill.models.distributions.Latent`.
    images : Tensor of shape (n, ...)
        Pixels in [0, 1].
    n_draws : int
        Posterior draws per image, K in the formula.
    generator : torch.Generator
        Source of the draws, on the model's device.
    batch_size : int, default=500
        Images at a time. The memory grows with it, hardly with `n_draws`: the decoder gets
        one draw of each image at a time.

    Returns
    -------
    dict of str to float64 array of shape (n,)
        ``log_likelihood``, the bound in nats, and ``ess``, from 1 to `n_draws`. On grey pixels
        the Bernoulli's bound is not that of a normalised density, see
        `vaefill.models.likelihoods.Bernoulli`.

    Raises
    ------
    InputError
        When `n_draws` is below 1, or a term of a weight is not finite.
    """
    if n_draws < 1:
        raise InputError(f"n_draws = {n_draws}: must be at least 1")
    columns = []
    for start in range(0, len(images), batch_size):
        x = images[start : start + batch_size].flatten(1).to(generator.device)
        prior, posterior = vae.prior, vae.posterior(x)
        # Filled in place: a list of small tensors, made between large ones, fragments the heap.
        terms = x.new_empty(n_draws, len(TERMS), len(x), dtype=torch.float64)
        for row in terms:
            row[:] = _log_terms(vae, x, prior, posterior, generator)
        _check_finite(terms, start)
        log_weights = terms[:, 0] + terms[:, 1] - terms[:, 2]
        total = log_weights.logsumexp(0)
        ess = torch.exp(2 * total - (2 * log_weights).logsumexp(0))
        columns.append(torch.stack([total - np.log(n_draws), ess]).cpu())
    log_likelihood, ess = torch.cat(columns, dim=1).numpy()
    return {"log_likelihood": log_likelihood, "ess": ess}


def _log_terms(
    vae: VAE, x: Tensor, prior: Latent, posterior: Latent, generator: torch.Generator
) -> Tensor:
    """`TERMS` of one weight per image, in float64, at a new draw: shape (3, n)."""
    z = posterior.rsample(generator)
    # The square of a draw from far out in a t's tail leaves the range of float32.
    wide = z.double()
    reconstruction = vae.likelihood(z).log_prob(x).double()
    return torch.stack([reconstruction, prior.log_prob(wide), posterior.log_prob(wide)])


def _check_finite(terms: Tensor, start: int) -> None:
    if bool(torch.isfinite(terms).all()):
        return
    draw, term, image = (int(i) for i in (~torch.isfinite(terms)).nonzero()[0])
    raise InputError(
        f"importance sampling: image {start + image}, draw {draw}: "
        f"{TERMS[term]} = {terms[draw, term, image].item()}: must be finite; "
        f"check that pixels lie in [0, 1], train the model again, or raise df if it is small"
    )


def summarize(bound: Mapping[str, NDArray[np.float64]]) -> dict[str, Any]:
    """Summarise what `importance_bound` returned.

    Returns
    -------
    dict
        Means ``log_likelihood`` (nats per image) and ``ess``; ``ess_low``, the 5 % quantile of
        the effective sample sizes; ``images``, their number.
    """
    return {
        "log_likelihood": float(np.mean(bound["log_likelihood"])),
        "ess": float(np.mean(bound["ess"])),
        "ess_low": float(np.quantile(bound["ess"], LOW)),
        "images": len(bound["ess"]),
    }
