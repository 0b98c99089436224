r"""The most probable code given the observed pixels, and the curvature there.

:math:`\ln p(x_o|z) + \ln p(z)` is maximised by Fisher scoring with Levenberg-Marquardt damping.
With the Jacobian :math:`J` of the logits l over the observed pixels,

.. math:: g = J^T (x_o - A'(l)) - W z, \qquad H = J^T \mathrm{diag}(A''(l)) J + W

The first term of H is the Fisher information. A decoder of ReLUs is piecewise linear: between its
kinks that is minus the Hessian of :math:`\ln p(x_o|z)` exactly. W is the identity for the normal
prior; for a t it is that of the t as a mixture of normals [1]_,

.. math:: w_i = \frac{\nu + 1}{\nu + z_i^2} \quad \text{or} \quad
    w = \frac{\nu + m}{\nu + \lVert z \rVert^2}

for independent or m joint coordinates: :math:`-W z` is the gradient of the log density exactly,
while its curvature, which turns negative in the tail, is replaced by the positive one of a bound.

References
----------
.. [1] K. L. Lange, R. J. A. Little, J. M. G. Taylor, "Robust statistical modeling using the t
   distribution", Journal of the American Statistical Association 84 (1989), 881-896.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vaefill.inference.starts import find_starts
from vaefill.inference.target import Inferred, log_joint
from vaefill.models.distributions import Latent, MultivariateT, StudentT
from vaefill.models.vae import VAE

ROWS = {
    "cpu": 128,
    "cuda": 4096,
}  # codes at a time; the Jacobian takes latent * pixels numbers of each


class Modes(NamedTuple):
    """Where the ascent from each start ended.

    Attributes
    ----------
    z : Tensor of shape (starts, n, latent)
        Local maxima, in no order; starts may end at the same one.
    log_joint : float64 Tensor of shape (starts, n)
        ln p(x_o|z) + ln p(z), in nats.
    gradient : float64 Tensor of shape (starts, n, latent)
        g above. It vanishes, unless the maximum lies on a kink of the decoder.
    precision : float64 Tensor of shape (starts, n, latent, latent)
        H above, positive definite.
    """

    z: Tensor
    log_joint: Tensor
    gradient: Tensor
    precision: Tensor


@torch.no_grad()
def posterior_mode(
    vae: VAE,
    x: Tensor,
    observed: Tensor,
    *,
    generator: torch.Generator,
    n_draws: int = 100,
    max_iterations: int = 50,
    tolerance: float = 1e-3,
) -> Inferred:
    """Decode the most probable code; `single_pass.single_pass` says what is shared.

    Parameters
    ----------
    generator, n_draws
        Not used: there is one mode.
    max_iterations : int, default=50
        Bound on the steps from each start.
    tolerance : float, default=1e-3
        Gain in nats, expected of a step, below which the ascent ends.

    Returns
    -------
    Inferred
        ``codes`` is the mode, of shape (1, n, latent). The diagnostics are ``log_joint`` in nats
        and the norm of its ``gradient``, which tells a smooth maximum from a kink.
    """
    modes = find_modes(vae, x, observed, max_iterations=max_iterations, tolerance=tolerance)
    best = modes.log_joint.argmax(0)
    z, value, gradient = (
        part[best, torch.arange(len(x), device=x.device)]
        for part in (modes.z, modes.log_joint, modes.gradient)
    )
    diagnostics = {"log_joint": value, "gradient": gradient.norm(dim=-1)}
    return Inferred(vae.likelihood(z).mean, z[None], diagnostics)


@torch.no_grad()
def find_modes(
    vae: VAE,
    x: Tensor,
    observed: Tensor,
    *,
    n_starts: int | None = None,
    max_iterations: int = 50,
    tolerance: float = 1e-3,
) -> Modes:
    """Climb from each of `vaefill.inference.starts`; see `posterior_mode` for what is shared."""
    z = find_starts(vae, x, observed, n_starts=n_starts)
    images, pixels = x.repeat(len(z), 1), observed.repeat(len(z), 1)
    ends = _climb(vae, z.flatten(0, 1), images, pixels, max_iterations, tolerance)
    return Modes(*(part.unflatten(0, z.shape[:2]) for part in ends))


def _climb(
    vae: VAE, z: Tensor, x: Tensor, observed: Tensor, max_iterations: int, tolerance: float
) -> Modes:
    """Ascend from every row of `z`, whose image is in the same row of `x`."""
    value = log_joint(vae.likelihood(z), vae.prior, z, x, observed)
    gradient, precision = _derivatives(vae, z, x, observed)
    damping = torch.full_like(value, 1e-3)
    active = torch.arange(len(z), device=z.device)
    for _ in range(max_iterations):
        damped = precision[active]
        damped.diagonal(dim1=-2, dim2=-1).mul_(1 + damping[active, None])
        factor, failures = torch.linalg.cholesky_ex(damped)
        step = torch.cholesky_solve(gradient[active, :, None], factor).squeeze(-1)
        # What rounding has left indefinite has no step yet: more damping will give it one.
        step = step.masked_fill(failures[:, None] > 0, math.nan)
        # What the step can gain ends the ascent: at a smooth maximum or, damped, at a kink.
        rounding = torch.finfo(z.dtype).eps * (1 + value[active].abs())
        going = ~((step * gradient[active]).sum(-1) <= rounding.clamp(min=tolerance))
        active = active[going]
        if not len(active):
            break
        trial = z[active] + step[going].to(z.dtype)
        height = log_joint(vae.likelihood(trial), vae.prior, trial, x[active], observed[active])
        better = height > value[active]
        damping[active] *= torch.where(better, 0.1, 10.0)
        up = active[better]
        z[up], value[up] = trial[better], height[better]
        gradient[up], precision[up] = _derivatives(vae, z[up], x[up], observed[up])
    return Modes(z, value, gradient, precision)


def _derivatives(vae: VAE, z: Tensor, x: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
    """Compute g and H of the module's docstring, in float64."""
    weight = _tail_weight(vae.prior, z.double())
    gradient, precision = -weight * z, torch.diag_embed(weight)
    size = ROWS[z.device.type]
    for start in range(0, len(z), size):
        rows = slice(start, start + size)
        mean, information, jacobian = _jacobian(vae, z[rows])
        residual = (x[rows] - mean).where(observed[rows], 0)
        weighted = jacobian * information.where(observed[rows], 0)
        gradient[rows] += torch.einsum("drp,rp->rd", jacobian, residual)
        precision[rows] += torch.einsum("drp,erp->rde", weighted, jacobian)
    return gradient, precision


@torch.enable_grad()
def _jacobian(vae: VAE, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and A'' per pixel, (rows, pixels), and J with the coordinate as its first axis."""
    z = z.detach().requires_grad_()
    likelihood: Any = vae.likelihood(z)  # of natural parameters, which not every one has
    logits, mean = likelihood.logits, likelihood.mean
    (information,) = torch.autograd.grad(mean.sum(), logits, retain_graph=True)
    # J^T u is linear in u, and its derivative is J: backwards twice is forwards.
    u = torch.zeros_like(logits, requires_grad=True)
    (pulled,) = torch.autograd.grad(logits, z, u, create_graph=True)
    rows = [torch.autograd.grad(part.sum(), u, retain_graph=True)[0] for part in pulled.T]
    return mean.detach(), information, torch.stack(rows)


def _tail_weight(prior: Latent, z: Tensor) -> Tensor:
    """Give the diagonal of W, in a form whose limit at df = inf is the normal's 1."""
    if isinstance(prior, StudentT):
        return (1 + 1 / prior.df) / (1 + z.square() / prior.df)
    if isinstance(prior, MultivariateT):
        squared = z.square().sum(-1, keepdim=True).expand_as(z)
        return (1 + z.shape[-1] / prior.df) / (1 + squared / prior.df)
    return torch.ones_like(z)
