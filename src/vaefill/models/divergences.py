r"""The Kullback-Leibler divergence of the posterior from the prior.

For normals in closed form; for Student-t distributions either without bias from a draw, as the
slides do, or without noise, by quadrature: `kl_student_t` for the product of univariate t's,
`kl_multivariate_t` for the multivariate t. Derivations are in ``docs/derivation.md``.

References
----------
.. [1] L. N. Trefethen, J. A. C. Weideman, "The exponentially convergent trapezoidal rule",
   SIAM Review 56 (2014), 385-458.
.. [2] F. Chyzak, F. Nielsen, "A closed-form formula for the Kullback-Leibler divergence between
   Cauchy distributions", arXiv:1905.10965 (2019).
.. [3] D. P. Kingma, M. Welling, "Auto-encoding variational Bayes", 2014, Appendix B.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vaefill.errors import InputError
from vaefill.models.distributions import Latent, MultivariateT, Normal, StudentT

SMALLEST_DF = 0.2  # below, the nodes of `kl_student_t` leave the range of float64
#: Below, the nodes of `kl_multivariate_t` lie too far apart; above, its terms cancel.
JOINT_DF = (0.5, 1e6)


def monte_carlo_kl(posterior: Latent, prior: Latent, z: Tensor) -> Tensor:
    r"""Estimate the divergence by :math:`\ln q(z) - \ln p(z)`, without bias.

    Parameters
    ----------
    posterior, prior : Latent
        q and p.
    z : Tensor of shape (..., latent)
        Draw from `posterior`.

    Returns
    -------
    Tensor of shape (...)
        In nats. It can be negative, its mean cannot.
    """
    return posterior.log_prob(z) - prior.log_prob(z)


def kl_normal(posterior: Normal, prior: Normal) -> Tensor:
    r"""Kullback-Leibler divergence between normals with independent coordinates [3]_.

    .. math:: \tfrac12 \sum \Big(\frac{\sigma_q^2}{\sigma_p^2} + \frac{(\mu_q-\mu_p)^2}{\sigma_p^2}
        - \ln \frac{\sigma_q^2}{\sigma_p^2} - 1\Big)

    Returns
    -------
    Tensor of shape (...)
        In nats, summed over the coordinates.
    """
    logratio = posterior.logvar - prior.logvar
    shift = (posterior.mu - prior.mu).square() * torch.exp(-prior.logvar)
    return 0.5 * (torch.exp(logratio) + shift - logratio - 1).sum(-1)


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
        In nats, in the dtype of `mu`; computed in float64. Differentiable once, in everything
        but `df`. Where q is p, rounding may leave it just below 0.

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


def kl_multivariate_t(
    mu: Tensor,
    logvar: Tensor,
    df: float,
    *,
    prior_mu: Tensor | float = 0.0,
    prior_logvar: Tensor | float = 0.0,
    n_nodes: int | None = None,
) -> Tensor:
    r"""Kullback-Leibler divergence between multivariate t's with the same `df`.

    With :math:`\mu, \sigma` relative to the prior as in `kl_student_t`, and :math:`m` coordinates,
    it is one integral over :math:`t > 0`:

    .. math:: -\sum_i \ln \sigma_i + \tfrac{\nu + m}{2} \int_0^\infty \bigg[(1 + 2t)^{-(\nu + m)/2}
        - \Big(1 + 2t + \tfrac{2t}{\nu} \sum_i \tfrac{\mu_i^2}{1 + 2 t \sigma_i^2}\Big)^{-\nu/2}
        \prod_i (1 + 2 t \sigma_i^2)^{-1/2} \bigg] \frac{dt}{t}

    The integrand has no singularity near the path, so that a trapezoidal rule [1]_ converges
    exponentially. For locations up to 30, scales from .001 to 3 and up to 50 coordinates the
    error is below 1e-6 nats.

    Parameters
    ----------
    mu : Tensor of shape (..., latent)
        Location of q.
    logvar : Tensor of shape (..., latent)
        Log of the squared scales of q.
    df : float
        Degrees of freedom of both, from 0.5 to 10^6; ``inf`` is the normal distribution.
    prior_mu, prior_logvar : Tensor of shape (..., latent) or float, default=0
        The same of p; the default is the standard t.
    n_nodes : int, optional
        Points of the integral, by default 64 where `df` lies between 2.5 and 10^4 and there are
        up to 16 coordinates, else 128.
        ``n_nodes * latent`` numbers per image are in memory at once.

    Returns
    -------
    Tensor of shape (...)
        In nats, in the dtype of `mu`; computed in float64. Differentiable once, in everything
        but `df`.

    Raises
    ------
    InputError
        When `df` is nan or out of range, or `n_nodes` below 2.
    """
    low, high = JOINT_DF
    if not (low <= df <= high or df == math.inf):
        raise InputError(f"df = {df}: must lie between {low} and {high:g}, or be inf (the normal)")
    if n_nodes is not None and n_nodes < 2:
        raise InputError(f"n_nodes = {n_nodes}: must be at least 2, or None to choose by df")
    prior = torch.as_tensor(prior_logvar, dtype=torch.float64, device=mu.device)
    squared = (mu.double() - prior_mu).square() * torch.exp(-prior)
    logratio = logvar.double() - prior
    if math.isinf(df):
        return 0.5 * (squared + torch.expm1(logratio) - logratio).sum(-1).to(mu.dtype)
    if n_nodes is None:
        n_nodes = 64 if 2.5 <= df <= 1e4 and mu.shape[-1] <= 16 else 128
    integral: Tensor = _Frullani.apply(squared, logratio, df, n_nodes)  # type: ignore[no-untyped-call]
    return ((df + mu.shape[-1]) / 2 * integral - 0.5 * logratio.sum(-1)).to(mu.dtype)


class _Frullani(torch.autograd.Function):
    """The integral of `kl_multivariate_t`; its gradient is an integral over the same nodes."""

    @staticmethod
    def forward(ctx: Any, squared: Tensor, logratio: Tensor, df: float, n: int) -> Tensor:
        m = squared.shape[-1]
        t, weight = _frullani_nodes(squared, logratio, df, n)
        spread = 1 + 2 * t.unsqueeze(-1) * torch.exp(logratio).unsqueeze(-2)
        shift = (1 / spread @ squared.unsqueeze(-1)).squeeze(-1)
        growth = 2 * t * (1 + shift / df)
        # As logarithms, because both factors are near 1 at small t, where their difference counts.
        unmoved = -0.5 * (df + m) * torch.log1p(2 * t)
        # A product that overflows stands for a factor that has vanished.
        moved = -0.5 * (df * torch.log1p(growth) + torch.log(spread.prod(-1)))
        ctx.save_for_backward(squared, logratio, t, spread, growth, weight * torch.exp(moved))
        return (weight * (torch.expm1(unmoved) - torch.expm1(moved))).sum(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        squared, logratio, t, spread, growth, factor = ctx.saved_tensors
        inverse = 1 / spread
        rate = t * factor  # d moved / d spread_i is -1 / (2 spread_i), d spread_i = 2 t d sigma_i^2
        pulled = (rate / (1 + growth)).unsqueeze(-2)
        by_squared = (pulled @ inverse).squeeze(-2)
        by_shift = ((2 * t).unsqueeze(-2) * pulled @ inverse.square()).squeeze(-2)
        by_variance = (rate.unsqueeze(-2) @ inverse).squeeze(-2) - squared * by_shift
        grad = grad.unsqueeze(-1)
        return grad * by_squared, grad * by_variance * torch.exp(logratio), None, None


@torch.no_grad()
def _frullani_nodes(squared: Tensor, logratio: Tensor, df: float, n: int) -> tuple[Tensor, Tensor]:
    """Points t and weights for integrals dt / t; float64, of shape (..., n)."""
    m = squared.shape[-1]
    # The integrand bends at t ~ 1 / corner and ends as t^(-(df + m) / 2), from where it is e^-25.
    log_corner = torch.log1p(squared.sum(-1, keepdim=True) / df)
    decay = (25 - 0.5 * logratio.clamp(max=0).sum(-1, keepdim=True)) / ((df + m) / 2)
    start, end = -3.5, decay + log_corner
    s = start + (end - start) * torch.linspace(0, 1, n, dtype=torch.float64, device=squared.device)
    # t = exp(s - e^-s): the integrand, linear in t at 0, then vanishes doubly exponentially.
    t = torch.exp(s - torch.exp(-s) - log_corner)
    return t, (end - start) / (n - 1) * (1 + torch.exp(-s))


def exact_kl(posterior: Latent, prior: Latent) -> Tensor:
    """Kullback-Leibler divergence between two members of one family, without sampling.

    Parameters
    ----------
    posterior, prior : Normal, StudentT or MultivariateT
        Of one family; if t, of the same `df`.

    Returns
    -------
    Tensor of shape (...)
        In nats per image: `kl_normal`, `kl_student_t` or `kl_multivariate_t`.

    Raises
    ------
    InputError
        When the families or their `df` differ.
    """
    if isinstance(posterior, Normal) and isinstance(prior, Normal):
        return kl_normal(posterior, prior)
    for family, divergence in ((StudentT, kl_student_t), (MultivariateT, kl_multivariate_t)):
        if isinstance(posterior, family) and isinstance(prior, family) and posterior.df == prior.df:
            return divergence(
                posterior.mu,
                posterior.logvar,
                posterior.df,
                prior_mu=prior.mu,
                prior_logvar=prior.logvar,
            )
    raise InputError(f"posterior {posterior} and prior {prior}: must be of one family with one df")


class _Nodes(NamedTuple):
    """Points eps / sqrt(df) off the real axis, and complex weights; float64, shape (n,)."""

    real: Tensor
    imag: Tensor
    weight_real: Tensor
    weight_imag: Tensor


def _expected_log(m: Tensor, sigma: Tensor, nodes: _Nodes) -> Tensor:
    """Mean of ln(1 + (m + sigma eps / sqrt(df))^2) over eps ~ t(df); the shape is that of `m`."""
    value: Tensor = _ExpectedLog.apply(m, sigma, nodes)  # type: ignore[no-untyped-call]
    return value


class _ExpectedLog(torch.autograd.Function):
    """The logarithm is the real part of 2 ln(1 - i w), here at w = x + i y with y > 0.

    Its derivative, of -2i / (1 - i w) and that times the node, costs less than the way back
    through logarithm and angle.
    """

    @staticmethod
    def forward(ctx: Any, m: Tensor, sigma: Tensor, nodes: _Nodes) -> Tensor:
        x = m.unsqueeze(-1) + sigma.unsqueeze(-1) * nodes.real
        y = sigma.unsqueeze(-1) * nodes.imag
        log_modulus = torch.log1p(y * (2 + y) + x.square())
        angle = torch.atan(x / (1 + y))
        ctx.save_for_backward(x, y)
        ctx.nodes = nodes
        return log_modulus @ nodes.weight_real + 2 * (angle @ nodes.weight_imag)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        (x, y), nodes = ctx.saved_tensors, ctx.nodes
        squared_modulus = (1 + y).square() + x.square()
        real, imag = x / squared_modulus, (1 + y) / squared_modulus  # of -i / (1 - i w), imag < 0
        by_m = real @ nodes.weight_real + imag @ nodes.weight_imag
        turned_real = nodes.weight_real * nodes.real - nodes.weight_imag * nodes.imag
        turned_imag = nodes.weight_real * nodes.imag + nodes.weight_imag * nodes.real
        by_sigma = real @ turned_real + imag @ turned_imag
        return 2 * grad * by_m, 2 * grad * by_sigma, None


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
