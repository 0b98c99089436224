"""Encoder and decoder: multilayer perceptrons that mirror each other."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


def linear(n_in: int, n_out: int, generator: torch.Generator) -> nn.Linear:
    """Make a linear layer with PyTorch's default initialisation, drawn from `generator`.

    Weights and biases are uniform within ``1 / sqrt(n_in)``, as in `torch.nn.Linear`, which
    itself draws from the global generator only.
    """
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, n_in, n_out)
    bound = n_in**-0.5
    nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
    nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    return layer


def mlp(widths: Sequence[int], generator: torch.Generator) -> nn.Sequential:
    """Linear layers between consecutive `widths`, with ReLU between them and none at the end."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        # In place: the linear layer's own output is not needed for its gradient.
        layers += [linear(n_in, n_out, generator), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])


class Encoder(nn.Module):
    """x -> (mu, logvar) of q(z|x).

    Parameters
    ----------
    pixels : int
        Length of an image.
    hidden : sequence of int
        Widths of the hidden layers, from the image inwards.
    latent : int
        Number of latent coordinates.
    generator : torch.Generator
        Source of the initial weights.
    """

    def __init__(
        self, pixels: int, hidden: Sequence[int], latent: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.layers = mlp([pixels, *hidden, 2 * latent], generator)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (n, pixels) to `mu` and `logvar`, both (n, latent)."""
        mu, logvar = self.layers(x).chunk(2, dim=-1)
        return mu, logvar


class Decoder(nn.Module):
    """z -> logits of p(x|z); the encoder's widths in reverse.

    Parameters
    ----------
    latent : int
        Number of latent coordinates.
    hidden : sequence of int
        Widths of the hidden layers, from the image inwards: those of the encoder.
    pixels : int
        Length of an image.
    generator : torch.Generator
        Source of the initial weights.
    """

    def __init__(
        self, latent: int, hidden: Sequence[int], pixels: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.layers = mlp([latent, *reversed(hidden), pixels], generator)

    def forward(self, z: Tensor) -> Tensor:
        """Map codes (..., latent) to logits (..., pixels)."""
        logits: Tensor = self.layers(z)
        return logits
