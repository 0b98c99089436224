"""The slides' VAE: NumPy, float64, gradients written out by hand. Shares no code with vaefill.

The benchmark times it, and the tests take its gradients as the oracle for autograd's.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def loss_and_gradients(
    weights: Sequence[Floats], x: Floats, eps: Floats, df: float | None = None
) -> tuple[Floats, Floats, list[Floats]]:
    """Run forward and backward as the slides derive it.

    Parameters
    ----------
    weights : sequence of 12 arrays
        Weight and bias of the encoder's three layers, then of the decoder's.
    x : array of shape (n, pixels)
        Images in [0, 1].
    eps : array of shape (n, latent)
        Standard noise of the draw.
    df : float, optional
        Degrees of freedom of the t model; None is the Gaussian one.

    Returns
    -------
    reconstruction : array of shape (n,)
        ln p(x|z), in nats.
    kl : array of shape (n,)
        Exact for the Gaussian, at the draw for the t.
    gradients : list of 12 arrays
        Of the batch's mean loss, ``kl - reconstruction``.
    """
    (we1, be1, we2, be2, we3, be3), (wd1, bd1, wd2, bd2, wd3, bd3) = weights[:6], weights[6:]
    n = len(x)
    a1 = np.maximum(x @ we1.T + be1, 0)
    a2 = np.maximum(a1 @ we2.T + be2, 0)
    mu, logvar = np.split(a2 @ we3.T + be3, 2, axis=1)
    sigma = np.exp(0.5 * logvar)
    z = mu + eps * sigma
    d1 = np.maximum(z @ wd1.T + bd1, 0)
    d2 = np.maximum(d1 @ wd2.T + bd2, 0)
    mean = 1 / (1 + np.exp(-(d2 @ wd3.T + bd3)))

    # The floor matters to a trained model only, whose mean rounds to 0 or 1.
    tiny = np.finfo(mean.dtype).tiny
    reconstruction = (x * np.log(mean + tiny) + (1 - x) * np.log(1 - mean + tiny)).sum(1)
    if df is None:
        kl = 0.5 * (mu**2 + sigma**2 - logvar - 1).sum(1)
        kl_mu, kl_logvar = mu, 0.5 * (np.exp(logvar) - 1)
    else:
        tail = (df + 1) / 2 * (np.log1p(z**2 / df) - np.log1p(eps**2 / df))
        kl = (-np.log(sigma) + tail).sum(1)
        kl_mu = (df + 1) * z / (df + z**2)
        kl_logvar = 0.5 * sigma * (-1 / sigma + (df + 1) * z * eps / (df + z**2))

    gradients: dict[str, list[Floats]] = {}
    delta = (mean - x) / n
    for name, weight, inputs in (("d3", wd3, d2), ("d2", wd2, d1)):
        gradients[name] = [delta.T @ inputs, delta.sum(0)]
        delta = delta @ weight * (inputs > 0)
    gradients["d1"] = [delta.T @ z, delta.sum(0)]
    delta = delta @ wd1
    delta = np.hstack([delta + kl_mu / n, delta * eps * 0.5 * sigma + kl_logvar / n])
    for name, weight, inputs in (("e3", we3, a2), ("e2", we2, a1)):
        gradients[name] = [delta.T @ inputs, delta.sum(0)]
        delta = delta @ weight * (inputs > 0)
    gradients["e1"] = [delta.T @ x, delta.sum(0)]
    order = ("e1", "e2", "e3", "d1", "d2", "d3")
    return reconstruction, kl, [array for name in order for array in gradients[name]]


class Adam:
    """Adam with the usual constants, in place."""

    def __init__(self, weights: Sequence[Floats], lr: float) -> None:
        self.weights, self.lr, self.step = weights, lr, 0
        self.first = [np.zeros_like(w) for w in weights]
        self.second = [np.zeros_like(w) for w in weights]

    def update(self, gradients: Sequence[Floats]) -> None:
        """Move every weight by one step."""
        self.step += 1
        for w, g, m, v in zip(self.weights, gradients, self.first, self.second, strict=True):
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            scale = np.sqrt(v / (1 - 0.999**self.step)) + 1e-8
            w -= self.lr * m / (1 - 0.9**self.step) / scale
