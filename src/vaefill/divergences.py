r"""The divergence between Student-t distributions, without sampling.

`kl_student_t` has no noise and its value does not depend on a draw, unlike the estimate that
the models are trained with (`vaefill.distributions.kl`).

References
----------
.. [1] L. N. Trefethen, J. A. C. Weideman, "The exponentially convergent trapezoidal rule",
   SIAM Review 56 (2014), 385-458.
.. [2] F. Chyzak, F. Nielsen, "A closed-form formula for the Kullback-Leibler divergence between
   Cauchy distributions", arXiv:1905.10965 (2019).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vaefill.distributions import Latent, Normal, StudentT, kl
from vaefill.errors import InputError

SMALLEST_DF = 0.2  # below, the nodes leave the range of float64


def kl_student_t(
    mu: Tensor,
    logvar: Tensor,
    df: float,
    *,
    prior_mu: Tensor | float = 0.0,
    prior_logvar: Tensor | float = 0.0,
    n_nodes: int | None = None,
) -> Tensor:
    r"""Kullback-Leibler divergence between products of univariate t's with the same `df`.

    A common shift and scale leave the divergence as it is, so take the prior as
    :math:`\mu_p = 0, \sigma_p = 1`, with :math:`\mu = (\mu_q - \mu_p) / \sigma_p` and
    :math:`\sigma = \sigma_q / \sigma_p`. With :math:`\epsilon \sim t_\nu` it is, per coordinate,

    .. math:: -\ln \sigma + \tfrac{\nu + 1}{2} \mathbb E \Big[
        \ln \Big(1 + \frac{(\mu + \sigma \epsilon)^2}{\nu}\Big)
        - \ln \Big(1 + \frac{\epsilon^2}{\nu}\Big) \Big]

    The expectations are sums over fixed nodes (derived in ``docs/derivation.md``). Whatever the
    location and scale, the error per coordinate is below 2e-7 nats, or 1e-6 where ``df < 2``, plus
    rounding: 1e-10 of the value, or 1e-13 `df`^(1/2) if that is more. At ``df = 1`` the value is
    that of [2]_; beyond 2^53, where ``df + 1 == df``, it is the closed form for normals.

    Parameters
    ----------
    mu : Tensor of shape (..., latent)
        Location of q.
    logvar : Tensor of shape (..., latent)
        Log of the squared scale of q; less `prior_logvar` it should lie in [-600, 300], or its
        exponential leaves the range of float64.
    df : float
        Degrees of freedom of both, from 0.2; ``inf`` is the normal distribution.
    prior_mu, prior_logvar : Tensor of shape (..., latent) or float, default=0
        The same of p; the default is the standard t.
    n_nodes : int, optional
        Evaluations per coordinate, all in memory at once; by default 32 + 80 / `df`. More make
        the error smaller: 64 bring it below 1e-10 for ``df >= 10``.

    Returns
    -------
    Tensor of shape (...)
        In nats, in the dtype of `mu`; computed in float64. Differentiable, any number of times,
        in everything but `df`. Where q is p, rounding may leave it just below 0.

    Raises
    ------
    InputError
        When `df` is nan or below 0.2, or `n_nodes` below 2.
    """
    if not df >= SMALLEST_DF:
        raise InputError(f"df = {df}: must be at least {SMALLEST_DF} (inf for the normal)")
    if n_nodes is not None and n_nodes < 2:
        raise InputError(f"n_nodes = {n_nodes}: must be at least 2, or None to choose by df")
    prior = torch.as_tensor(prior_logvar, dtype=torch.float64, device=mu.device)
    location = (mu.double() - prior_mu) * torch.exp(-0.5 * prior)
    logratio = logvar.double() - prior
    if df + 1 == df:  # as good as infinite
        terms = 0.5 * (location.square() + torch.expm1(logratio) - logratio)
    else:
        nodes = _nodes(df, n_nodes or 32 + math.ceil(80 / df), mu.device)
        moved = _expected_log(location / math.sqrt(df), torch.exp(0.5 * logratio), nodes)
        unmoved = _expected_log(location.new_zeros(()), location.new_ones(()), nodes)
        terms = (df + 1) / 2 * (moved - unmoved) - 0.5 * logratio
    return terms.sum(-1).to(mu.dtype)


def exact_kl(posterior: Latent, prior: Latent) -> Tensor:
    """Kullback-Leibler divergence between two members of one family, without sampling.

    Parameters
    ----------
    posterior, prior : Normal or StudentT
        Of one family; if t, of the same `df`.

    Returns
    -------
    Tensor of shape (...)
        In nats per image: the closed form for normals, `kl_student_t` for t's.

    Raises
    ------
    InputError
        When the families or their `df` differ.
    """
    if isinstance(posterior, Normal) and isinstance(prior, Normal):
        return kl(posterior, prior, posterior.mu)
    if isinstance(posterior, StudentT) and isinstance(prior, StudentT) and posterior.df == prior.df:
        mu, logvar, df = posterior.mu, posterior.logvar, posterior.df
        return kl_student_t(mu, logvar, df, prior_mu=prior.mu, prior_logvar=prior.logvar)
    raise InputError(f"posterior {posterior} and prior {prior}: must be of one family with one df")


class _Nodes(NamedTuple):
    """Points eps / sqrt(df) off the real axis, and complex weights; float64, shape (n,)."""

    real: Tensor
    imag: Tensor
    weight_real: Tensor
    weight_imag: Tensor


def _expected_log(m: Tensor, sigma: Tensor, nodes: _Nodes) -> Tensor:
    """Mean of ln(1 + (m + sigma eps / sqrt(df))^2) over eps ~ t(df); the shape is that of `m`."""
    # The logarithm is the real part of 2 ln(1 - i w), here at w = x + i y with y > 0.
    x = m.unsqueeze(-1) + sigma.unsqueeze(-1) * nodes.real
    y = sigma.unsqueeze(-1) * nodes.imag
    log_modulus = torch.log1p(y * (2 + y) + x.square())
    angle = torch.atan(x / (1 + y))
    return log_modulus @ nodes.weight_real + 2 * (angle @ nodes.weight_imag)


def _nodes(df: float, n: int, device: torch.device) -> _Nodes:
    """Trapezoidal rule [1]_ in t, for eps = sqrt(df) sinh(t + i shift) with t(df) weights.

    The weight is the density times d eps / dt: cosh(t + i shift)^-df, up to a constant. It is
    singular at t = i (pi / 2 - shift), the logarithm nowhere above t = -i shift.
    """
    # For large df the weight would grow on the way up as exp(df shift^2 / 2), hence the root.
    shift = 1.7 / math.sqrt(df + 5)
    # Leave out tails of weight e^-decay: as little as the step then resolves, or rounding. The
    # harmonic sum joins decay ~ sqrt(df n), optimal for small df, to ~ n, for the normal limit.
    decay = min(36.0, 1 / (1 / n + 1 / math.sqrt(4 * df * n)))
    # cosh(end) = exp(decay / df)
    end = decay / df + math.log1p(math.sqrt(-math.expm1(-2 * decay / df)))
    t = torch.linspace(-end, end, n, dtype=torch.float64, device=device)
    # |cosh(t + i shift)|^2 = 1 + sinh(t)^2 - sin(shift)^2
    modulus = torch.exp(-df / 2 * torch.log1p(t.sinh().square() - math.sin(shift) ** 2))
    angle = -df * torch.atan(t.tanh() * math.tan(shift))
    weight_real, weight_imag = modulus * angle.cos(), modulus * angle.sin()
    total = weight_real.sum()  # the imaginary parts cancel
    return _Nodes(
        t.sinh() * math.cos(shift),
        t.cosh() * math.sin(shift),
        weight_real / total,
        weight_imag / total,
    )
