"""Networks of the conditional VAE: from an incomplete image to features, codes and pixels.

Each architecture has the same three maps, and `ARCHITECTURES` holds them by name:

- ``context``: incomplete image -> features for the decoder, and mu, logvar of p(z|x_o)
- ``encode``: complete image -> mu, logvar of q(z|x)
- ``decode``: code and features -> logits of p(x|z, x_o)

Observed pixels reach the decoder beside the code: what a code of a few numbers cannot carry, such
as the exact place of a stroke, is read off the neighbours of a missing pixel.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from vaefill.errors import InputError
from vaefill.models.networks import linear, mlp

LARGEST_LOGVAR = 10.0


class Context(NamedTuple):
    """What the observed pixels say: the decoder's features, and the location of p(z|x_o)."""

    features: tuple[Tensor, ...]
    mu: Tensor
    logvar: Tensor


class ConditionalNetworks(Protocol):
    """What the conditional VAE needs of an architecture."""

    def context(self, x: Tensor, observed: Tensor) -> Context:
        """Map images of shape (n, pixels), 0 where not observed, to features and p(z|x_o)."""
        ...

    def encode(self, x: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        """Map complete images (n, pixels) to mu and logvar of q(z|x), both (n, latent)."""
        ...

    def decode(self, z: Tensor, features: Sequence[Tensor]) -> Tensor:
        """Map codes (..., n, latent) of n images to logits (..., n, pixels)."""
        ...


def parameters_of(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Split a network's output into mu and logvar.

    The prior is learned here: without a bound on logvar, both scales can run off together while
    the divergence between them stays small.
    """
    mu, logvar = raw.float().chunk(2, dim=-1)  # of lower precision where training is
    return mu, LARGEST_LOGVAR * torch.tanh(logvar / LARGEST_LOGVAR)


class MLPNetworks(nn.Module):
    """The slides' widths, with features of every layer handed across to the decoder.

    Parameters
    ----------
    shape : (height, width)
        Of an image.
    widths : sequence of int
        Of the hidden layers, from the image inwards.
    latent : int
        Number of latent coordinates.
    generator : torch.Generator
        Source of the initial weights.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        widths: Sequence[int],
        latent: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        pixels = shape[0] * shape[1]
        outwards = [latent, *reversed(widths), pixels]
        self.inwards = nn.ModuleList(
            linear(n_in, n_out, generator)
            for n_in, n_out in zip([2 * pixels, *widths], widths, strict=False)
        )
        self.prior = linear(widths[-1], 2 * latent, generator)
        self.posterior = mlp([2 * pixels, *widths, 2 * latent], generator)
        # Layer k sees the code's path and, from the inner ones on, the features of its own width.
        across = [*reversed(widths), 0]
        self.outwards = nn.ModuleList(
            linear(n_in + n_features, n_out, generator)
            for n_in, n_features, n_out in zip(outwards, across, outwards[1:], strict=False)
        )

    def context(self, x: Tensor, observed: Tensor) -> Context:
        """See `ConditionalNetworks`."""
        hidden, features = torch.cat([x, observed.to(x.dtype)], -1), []
        for layer in self.inwards:
            hidden = functional.relu(layer(hidden))
            features.append(hidden)
        return Context(tuple(reversed(features)), *parameters_of(self.prior(hidden)))

    def encode(self, x: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        """See `ConditionalNetworks`."""
        return parameters_of(self.posterior(torch.cat([x, observed.to(x.dtype)], -1)))

    def decode(self, z: Tensor, features: Sequence[Tensor]) -> Tensor:
        """See `ConditionalNetworks`."""
        *inner, last = self.outwards
        for layer, feature in zip(inner, features, strict=True):
            side = feature.expand(*z.shape[:-1], -1)
            z = functional.relu(layer(torch.cat([z, side], -1)))
        logits: Tensor = last(z)
        return logits.float()


class ConvNetworks(nn.Module):
    """A U-Net [1]_ that looks at the whole image once, at its narrowest place.

    Convolutions at full, half and quarter resolution, and below them one hidden layer over the
    whole image: places far from each other, the two ends of a stroke, meet there alone. Blocks are
    residual [2]_; the code comes in beside the hidden layer, where it is about the digit, not
    about pixels. At full resolution a channel costs four times what it costs at half, so there are
    few, and q(z|x), which need not know a pixel's exact place, begins at half resolution, with a
    2 x 2 block of pixels as channels.

    Parameters
    ----------
    shape : (height, width)
        Of an image; both a multiple of 4.
    widths : (int, int, int, int)
        Channels at full, half and quarter resolution; units of the hidden layer.
    latent : int
        Number of latent coordinates.
    generator : torch.Generator
        Source of the initial weights.

    Raises
    ------
    InputError
        When `widths` are not four, or a side of the image is no multiple of 4.

    References
    ----------
    .. [1] O. Ronneberger, P. Fischer, T. Brox, "U-Net: convolutional networks for biomedical image
       segmentation", MICCAI 2015.
    .. [2] K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition", CVPR
       2016.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        widths: Sequence[int],
        latent: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        if len(widths) != 4:
            raise InputError(
                f"widths = {list(widths)}: must be four for networks = 'conv': channels at full, "
                "half and quarter resolution, and units of the hidden layer"
            )
        if any(side % 4 for side in shape):
            raise InputError(
                f"images of {shape[0]} x {shape[1]} pixels: sides must be multiples of 4 for "
                "networks = 'conv'; pad them, or take 'mlp'"
            )
        self.shape = tuple(shape)
        full, fine, coarse, whole = widths
        self._coarse_shape = (coarse, shape[0] // 4, shape[1] // 4)
        places = self._coarse_shape[1] * self._coarse_shape[2]
        make = _Maker(generator)
        self.full = make.conv(2, full)
        self.fine = nn.Sequential(make.down(full, fine), *make.blocks(fine, 2))
        self.coarse = nn.Sequential(make.down(fine, coarse), *make.blocks(coarse, 2))
        self.whole = make.whole(coarse, places, whole)
        self.prior = make.linear(whole, 2 * latent)
        self.posterior = nn.Sequential(
            nn.PixelUnshuffle(2), make.conv(8, fine), *make.blocks(fine, 1),
            make.down(fine, coarse), *make.blocks(coarse, 1), make.whole(coarse, places, whole),
            make.linear(whole, 2 * latent),
        )  # fmt: skip
        self.code = make.linear(latent + whole, coarse * places)
        self.inner = nn.Sequential(*make.blocks(coarse, 1), make.up(coarse, fine))
        self.outer = nn.Sequential(*make.blocks(fine, 1), make.up(fine, full))
        self.pixels = nn.Sequential(*make.blocks(full, 1), nn.ReLU(), make.conv(full, 1))
        # In which convolutions are fastest.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def context(self, x: Tensor, observed: Tensor) -> Context:
        """See `ConditionalNetworks`."""
        full = self.full(self._planes(x, observed))
        fine = self.fine(full)
        coarse = self.coarse(fine)
        whole = self.whole(coarse)
        return Context((full, fine, coarse, whole), *parameters_of(self.prior(whole)))

    def encode(self, x: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        """See `ConditionalNetworks`."""
        return parameters_of(self.posterior(self._planes(x, observed)))

    def decode(self, z: Tensor, features: Sequence[Tensor]) -> Tensor:
        """See `ConditionalNetworks`."""
        full, fine, coarse, whole = features
        code = torch.cat([z, whole.expand(*z.shape[:-1], -1)], -1)
        hidden = self.code(code).unflatten(-1, self._coarse_shape) + coarse
        for layers, feature in ((self.inner, fine), (self.outer, full)):
            # Convolutions want one axis of images: draws are images of their own for a while.
            hidden = layers(hidden.flatten(0, -4)).unflatten(0, z.shape[:-1]) + feature
        logits: Tensor = self.pixels(hidden.flatten(0, -4))
        return logits.float().reshape(*z.shape[:-1], -1)

    def _planes(self, x: Tensor, observed: Tensor) -> Tensor:
        planes: Tensor = torch.stack([x, observed.to(x.dtype)], -2).unflatten(-1, self.shape)
        return planes.contiguous(memory_format=torch.channels_last)


class _Block(nn.Module):
    """x + conv(relu(conv(relu(x)))); the second one starts at 0, so that depth does no harm."""

    def __init__(self, first: nn.Conv2d, second: nn.Conv2d) -> None:
        super().__init__()
        self.first, self.second = first, second
        nn.init.zeros_(second.weight)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.second(functional.relu(self.first(functional.relu(x))))
        return x + change


class _Maker:
    """Layers with PyTorch's default initialisation, drawn from one generator."""

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator

    def linear(self, n_in: int, n_out: int) -> nn.Linear:
        return linear(n_in, n_out, self._generator)

    def conv(self, n_in: int, n_out: int, size: int = 3, stride: int = 1) -> nn.Conv2d:
        layer: nn.Conv2d = nn.utils.skip_init(
            nn.Conv2d, n_in, n_out, size, stride=stride, padding=size // 2
        )
        bound = (n_in * size * size) ** -0.5
        for parameter in (layer.weight, layer.bias):
            nn.init.uniform_(cast(Tensor, parameter), -bound, bound, generator=self._generator)
        return layer

    def down(self, n_in: int, n_out: int) -> nn.Sequential:
        return nn.Sequential(nn.ReLU(), self.conv(n_in, n_out, 3, 2))

    def up(self, n_in: int, n_out: int) -> nn.Sequential:
        return nn.Sequential(self.conv(n_in, 4 * n_out, 1), nn.PixelShuffle(2))

    def whole(self, channels: int, places: int, n_out: int, n_kept: int = 16) -> nn.Sequential:
        return nn.Sequential(
            self.conv(channels, n_kept, 1), nn.ReLU(), nn.Flatten(),
            self.linear(n_kept * places, n_out), nn.ReLU(),
        )  # fmt: skip

    def blocks(self, width: int, n: int) -> list[_Block]:
        return [_Block(self.conv(width, width), self.conv(width, width)) for _ in range(n)]


ARCHITECTURES: dict[str, Callable[..., ConditionalNetworks]] = {
    "mlp": MLPNetworks,
    "conv": ConvNetworks,
}
