"""How much noise the draw of the t models' KL adds to the gradient of the loss.

Both ways to compute the KL see the same batch, weights and draws; only the encoder's gradient
depends on the choice. Its variance is the trace of the covariance over generator states.
"""

from typing import NamedTuple

import torch

from vaefill.models.elbo import KL_METHODS, elbo
from vaefill.models.vae import JOINTS, VAE

DF, BATCH, PIXELS, STATES = 21.0, 250, 784, 100


class Noise(NamedTuple):
    """Of a gradient: trace of its covariance, and squared norm of its mean (unbiased)."""

    variance: float
    signal: float


def gradient_noise(vae: VAE, x: torch.Tensor, kl: str, n_states: int = STATES) -> Noise:
    """Measure the noise of the encoder's gradient of the mean loss over `x`, one draw per image."""
    parameters = list(vae.encoder.parameters())
    total = torch.zeros(sum(p.numel() for p in parameters), dtype=torch.float64, device=x.device)
    squares = 0.0
    for state in range(n_states):
        bound = elbo(vae, x, torch.Generator(x.device).manual_seed(state), kl=kl)
        loss = (bound.kl - bound.reconstruction).mean()
        parts = torch.autograd.grad(loss, parameters)
        gradient = torch.cat([part.flatten() for part in parts]).double()
        total += gradient
        squares += float(gradient @ gradient)
    mean = total / n_states
    variance = (squares - n_states * float(mean @ mean)) / (n_states - 1)
    return Noise(variance, float(mean @ mean) - variance / n_states)


def bench_gradients(device: torch.device) -> None:
    """Print one row per joint form: untrained weights, random images."""
    pixels = torch.rand(BATCH, PIXELS, generator=torch.Generator().manual_seed(0))
    x = (pixels * (pixels < 0.2)).to(device)
    print(f"\n| variance of the encoder's gradient | {' | '.join(KL_METHODS)} | ratio |")
    print("|---|---:|---:|---:|")
    for joint in JOINTS:
        vae = VAE("t", df=DF, joint=joint, generator=torch.Generator().manual_seed(0)).to(device)
        values = [gradient_noise(vae, x, kl).variance for kl in KL_METHODS]
        cells = " | ".join(f"{value:.3g}" for value in values)
        print(f"| {joint}, df = {DF:g}, batch {BATCH} | {cells} | {values[0] / values[1]:.2f} |")
