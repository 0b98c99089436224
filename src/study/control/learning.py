r"""Learn a factor model: from where the linear-Gaussian one is exact, by the importance bound.

The maximum of the likelihood of a linear model with Gaussian codes is known [1]_. With the
eigenvalues :math:`\lambda_i` and eigenvectors :math:`u_i` of the covariance of the rows,

.. math:: \sigma^2 = \frac{1}{p - m} \sum_{i > m} \lambda_i, \qquad
    w_i = \sqrt{\lambda_i - \sigma^2} \, u_i, \qquad
    q(z_i | x) = N\Big( \frac{w_i^T (x - \bar x)}{\lambda_i}, \; \frac{\sigma^2}{\lambda_i} \Big)

Rotated codes give the same rows, as long as they are Gaussian. Independent t's differ, and a climb
that begins far from their axes does not find these in time: the codes are rotated to the axes of
an independent component analysis [2]_, and q keeps its variances along them. All models begin
there, with codes scaled to the variance of their prior: the same covariance of the rows. From
there each climbs its own bound [3]_, with the same batches and the same noise.

References
----------
.. [1] M. E. Tipping, C. M. Bishop, "Probabilistic principal component analysis", Journal of the
   Royal Statistical Society B 61 (1999), 611-622.
.. [2] A. Hyvärinen, "Fast and robust fixed-point algorithms for independent component analysis",
   IEEE Transactions on Neural Networks 10 (1999), 626-634.
.. [3] Y. Burda, R. Grosse, R. Salakhutdinov, "Importance weighted autoencoders",
   arXiv:1509.00519 (2016).
"""

import math
import warnings
from functools import partial

import numpy as np
import torch
from sklearn.decomposition import FastICA
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from study.control.model import FactorModel
from vaefill.models.elbo import Elbo
from vaefill.training.fit import fit


def learn(
    model: FactorModel,
    train: Tensor,
    valid: Tensor,
    *,
    epochs: int,
    batch_size: int,
    lr: float,
    warmup: float,
    clip: float,
    n_draws: int,
    generator: torch.Generator,
) -> None:
    """Train a model in place, or an encoder alone where all else is frozen.

    Parameters
    ----------
    model : FactorModel
        Begun by `start`.
    train, valid : Tensor of shape (n, columns)
        Complete rows.
    epochs, batch_size, lr, warmup, clip, generator
        See `vaefill.training.fit.fit`; the schedule is one cycle.
    n_draws : int
        Of the bound, per row.

    Raises
    ------
    DivergedError
        See `vaefill.training.fit.fit`.
    """
    fit(
        model,
        train,
        valid,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        schedule="one_cycle",
        warmup=warmup,
        clip=clip,
        bound=partial(importance_elbo, n_draws=n_draws),
        generator=generator,
    )


@torch.no_grad()
def start(model: FactorModel, x: Tensor) -> None:
    """Put the linear-Gaussian optimum of rows (n, columns) into the straight maps of a model."""
    latent = model.decoder.straight.in_features
    mean = x.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov(x.T))  # in increasing order
    noise = values[:-latent].mean()
    values, vectors = values[-latent:], vectors[:, -latent:]
    # A code of variance c needs a decoder smaller by its root.
    scale = model.code_variance**0.5
    rotation = independent_axes((x - mean) @ vectors / values.sqrt())
    loadings = vectors * (values - noise).sqrt()
    decoder, mu, logvar = (
        part.straight for part in (model.decoder, model.encoder.mu, model.encoder.logvar)
    )
    decoder.weight.copy_(loadings @ rotation.T / scale)
    decoder.bias.copy_(mean)
    model.logvar.copy_(noise.log())
    projection = scale * rotation @ (loadings / values).T
    mu.weight.copy_(projection)
    mu.bias.copy_(-projection @ mean)
    logvar.weight.zero_()
    logvar.bias.copy_((scale**2 * rotation.square() @ (noise / values)).log())


def independent_axes(codes: Tensor) -> Tensor:
    """Rotate white codes (n, latent) so that they are as independent as can be [2]_.

    Returns
    -------
    Tensor of shape (latent, latent)
        The axes, one per row.
    """
    white = codes.double().numpy()
    analysis = FastICA(whiten=False, w_init=np.eye(white.shape[1]), max_iter=500)
    with warnings.catch_warnings():
        # Codes that are alike in all directions have no axes to converge to, and need none.
        warnings.simplefilter("ignore", ConvergenceWarning)
        analysis.fit(white)
    return torch.from_numpy(analysis.components_).to(codes)


def importance_elbo(
    model: FactorModel, x: Tensor, generator: torch.Generator, *, n_draws: int
) -> Elbo:
    r"""Estimate the importance-weighted bound [3]_ per row, as `vaefill.training.fit.fit` asks.

    .. math:: \ln p(x) \ge \mathbb E \ln \frac1K \sum_k \frac{p(x|z_k) \, p(z_k)}{q(z_k|x)}

    It has no KL of its own: all of it stands as the reconstruction.
    """
    posterior = model.posterior(x)
    z = posterior.rsample(generator, (n_draws,))
    log_weights = model.likelihood(z).log_prob(x) + model.prior.log_prob(z) - posterior.log_prob(z)
    bound = log_weights.logsumexp(0) - math.log(n_draws)
    return Elbo(bound, torch.zeros_like(bound))
