"""Encoder and decoder: multilayer perceptrons that mirror each other, and how they begin.

References
----------
.. [1] X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural
   networks", AISTATS 2010.
.. [2] K. He, X. Zhang, S. Ren, J. Sun, "Delving deep into rectifiers: surpassing human-level
   performance on ImageNet classification", ICCV 2015.
.. [3] A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet classification with deep convolutional
   neural networks", NeurIPS 2012.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

#: Standard deviation of the weights of `normal`.
NARROW = 0.01


def default(layer: nn.Linear, generator: torch.Generator) -> None:
    r"""Draw weights and biases within :math:`\pm 1/\sqrt{n_{in}}`, as `torch.nn.Linear` does.

    The weights' variance is :math:`1 / (3 n_{in})`: behind ReLUs each layer passes on a sixth of
    the variance that it is given.
    """
    bound = layer.in_features**-0.5
    nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
    nn.init.uniform_(layer.bias, -bound, bound, generator=generator)


def he(layer: nn.Linear, generator: torch.Generator) -> None:
    r"""Draw weights from :math:`N(0, 2/n_{in})`: through ReLUs the variance stays [2]_."""
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
    nn.init.zeros_(layer.bias)


def xavier(layer: nn.Linear, generator: torch.Generator) -> None:
    r"""Draw weights within :math:`\pm\sqrt{6/(n_{in}+n_{out})}` [1]_.

    Their variance, :math:`2/(n_{in}+n_{out})`, keeps that of values on the way forth and that of
    gradients on the way back, a mean of both.
    """
    nn.init.xavier_uniform_(layer.weight, generator=generator)
    nn.init.zeros_(layer.bias)


def normal(layer: nn.Linear, generator: torch.Generator) -> None:
    r"""Draw weights from :math:`N(0, 0.01^2)`, whatever the layer's width [3]_."""
    nn.init.normal_(layer.weight, std=NARROW, generator=generator)
    nn.init.zeros_(layer.bias)


#: How a layer begins, by the params key `init`; biases are 0 but for those of ``torch``.
INITS: dict[str, Callable[[nn.Linear, torch.Generator], None]] = {
    "torch": default,
    "he": he,
    "xavier": xavier,
    "normal": normal,
}


def linear(n_in: int, n_out: int, generator: torch.Generator, init: str = "torch") -> nn.Linear:
    """Make a linear layer whose initial weights, by a key of `INITS`, come from `generator`.

    `torch.nn.Linear` itself draws from the global generator only.
    """
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, n_in, n_out)
    INITS[init](layer, generator)
    return layer


def mlp(widths: Sequence[int], generator: torch.Generator, init: str = "torch") -> nn.Sequential:
    """Linear layers between consecutive `widths`, with ReLU between them and none at the end."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        # In place: the linear layer's own output is not needed for its gradient.
        layers += [linear(n_in, n_out, generator, init), nn.ReLU(inplace=True)]
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
    init : str, default="torch"
        A key of `INITS`.
    """

    def __init__(
        self,
        pixels: int,
        hidden: Sequence[int],
        latent: int,
        generator: torch.Generator,
        init: str = "torch",
    ) -> None:
        super().__init__()
        self.layers = mlp([pixels, *hidden, 2 * latent], generator, init)

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
    init : str, default="torch"
        A key of `INITS`.
    """

    def __init__(
        self,
        latent: int,
        hidden: Sequence[int],
        pixels: int,
        generator: torch.Generator,
        init: str = "torch",
    ) -> None:
        super().__init__()
        self.layers = mlp([latent, *reversed(hidden), pixels], generator, init)

    def forward(self, z: Tensor) -> Tensor:
        """Map codes (..., latent) to logits (..., pixels)."""
        logits: Tensor = self.layers(z)
        return logits
