r"""The target of inference, and what every method returns.

Missing pixels follow from the code, and the code from the observed pixels:

.. math:: p(x_m | x_o) = \int p(x_m | z) \, p(z | x_o) \, \mathrm d z, \qquad
    p(z | x_o) \propto p(x_o | z) \, p(z)

The best guess in squared error is the decoder's mean averaged over :math:`p(z | x_o)`. On grey
pixels the Bernoulli's :math:`p(x_o | z)` is the cross-entropy, not a density; p(z|x_o) then is a
generalised posterior, with the cross-entropy as its loss.
"""

import math
from typing import NamedTuple

from torch import Tensor

from vaefill.errors import InputError
from vaefill.models.distributions import Latent
from vaefill.models.likelihoods import Likelihood


class Inferred(NamedTuple):
    """What a method infers about a batch of n images.

    Attributes
    ----------
    mean : Tensor of shape (n, pixels)
        Expected pixels, in [0, 1].
    codes : Tensor of shape (n_draws, n, latent)
        Equally weighted draws of the code, for multiple imputation: decode them, and draw the
        pixels. Methods that find one code give that one.
    diagnostics : dict of str to Tensor of shape (n,)
        By name: ``ess`` (effective number of draws), ``pareto_k`` and ``rhat`` (see
        `vaefill.inference.convergence`), ``acceptance`` (fraction), and what else the method says
        of itself.
    """

    mean: Tensor
    codes: Tensor
    diagnostics: dict[str, Tensor]


def log_joint(
    likelihood: Likelihood, prior: Latent, z: Tensor, x: Tensor, observed: Tensor
) -> Tensor:
    """Compute ln p(x_o|z) + ln p(z) in nats: the target up to a constant.

    Parameters
    ----------
    likelihood : Likelihood
        p(x|z) at the codes `z`, which the caller most often needs as well.
    prior : Latent
        p(z).
    z : Tensor of shape (..., n, latent)
        Codes.
    x : Tensor of shape (n, pixels)
        Images; those pixels count that are True in `observed`.
    observed : bool Tensor of shape (n, pixels)
        False where a pixel is missing.

    Returns
    -------
    float64 Tensor of shape (..., n)
    """
    # The square of a draw from far out in a t's tail leaves the range of float32.
    value = likelihood.log_prob(x, observed).double() + prior.log_prob(z.double())
    # A code whose logits are beyond that range explains nothing.
    return value.masked_fill(value.isnan(), -math.inf)


def at_least(name: str, value: int, least: int) -> None:
    """Raise `InputError` when a method's setting is below what it needs."""
    if value < least:
        raise InputError(f"{name} = {value}: must be at least {least}")


def between_0_and_1(name: str, value: float) -> None:
    """Raise `InputError` when a method's setting is no share that leaves some for the others."""
    if not 0 < value < 1:
        raise InputError(f"{name} = {value}: must lie strictly between 0 and 1")
