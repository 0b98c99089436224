r"""Grey levels given the expected pixel: the observation model that imputed pixels are drawn from.

A VAE's likelihood says which code explains an image, not how grey its pixels are: the Bernoulli
is no density of grey values, and its draws are black or white. What a pixel of expectation m
looks like is a matter of counting. On images whose pixels are known, each gives a pair of its
expectation and its grey level g, and

.. math:: p(g \mid m) = \frac{n_{bg} + \pi_{bg}}{\sum_g n_{bg} + 1}, \qquad
    \pi_{bg} \propto \sum_{b'} 2^{-|b - b'|} \, n_{b'g}

with :math:`n_{bg}` the pairs of level g whose expectation lies in the bin b of m. The
pseudo-count :math:`\pi_b` weighs as much as one pixel: it fills a bin without pixels from the
nearest ones that have some, and is lost in a bin with many.

The bins are equally wide in the angle :math:`\arcsin \sqrt m`, the variance-stabilising
transformation of a proportion [1]_: in the middle nearly equal steps of m, near 0 and 1, where
most pixels are, ever smaller ones.

References
----------
.. [1] F. J. Anscombe, "The transformation of Poisson, binomial and negative-binomial data",
   Biometrika 35 (1948), 246-254.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaefill.errors import InputError

LEVELS = 256

_STEPS = 2**23  # of a uniform draw; with the bin in front of it it still fits 32 bits
_BINS = 2**31 // _STEPS - 1
_CHUNK = 2**20  # pixels at a time: what is made of them on the way stays small


@dataclass(frozen=True)
class GreyLevels:
    """A table of p(grey level | expected pixel), made by `fit_grey_levels`.

    Parameters
    ----------
    edges : float64 Tensor of shape (n_bins + 1,)
        Of the bins of the expected pixel, ascending from 0 to 1; a bin holds its lower edge.
    probability : float64 Tensor of shape (n_bins, 256)
        Each row sums to 1.

    Raises
    ------
    InputError
        When the shapes do not fit each other, or a row is no distribution.
    """

    edges: Tensor
    probability: Tensor

    def __post_init__(self) -> None:  # noqa: D105
        n_bins = len(self.edges) - 1
        if not 1 <= n_bins <= _BINS or self.probability.shape != (n_bins, LEVELS):
            raise InputError(
                f"grey levels: {len(self.edges)} edges and a table of shape "
                f"{tuple(self.probability.shape)}; must be n_bins + 1 and (n_bins, {LEVELS}) with "
                f"n_bins from 1 to {_BINS}"
            )
        sums = self.probability.sum(1)
        if not (self.probability.min() >= 0 and (sums - 1).abs().max() < 1e-6):
            raise InputError(
                f"grey levels: rows of the table sum to {sums.min():.6g} to {sums.max():.6g}; each "
                "must be probabilities that sum to 1"
            )

    @cached_property
    def _thresholds(self) -> Tensor:
        """Cumulative probabilities of all rows in one ascending sequence, in units of 2^-23."""
        cumulative = self.probability.cumsum(1)
        rows = torch.round(cumulative / cumulative[:, -1:] * _STEPS).to(torch.int64)
        shifted = rows + _STEPS * torch.arange(len(rows))[:, None]
        return shifted.to(torch.int32).flatten()

    def _bins(self, expected: Tensor) -> Tensor:
        edges = self.edges[1:-1].to(expected)
        bins: Tensor = torch.bucketize(expected, edges, right=True, out_int32=True)
        return bins

    def sample(self, expected: Tensor, generator: torch.Generator) -> Tensor:
        """Draw a grey level for every pixel, independently given its expectation.

        By inverse cumulative probabilities, in steps of 2^-23: draws from one state of the
        generator grow with the pixel's expectation wherever the table's rows do.

        Parameters
        ----------
        expected : float Tensor of any shape
            Expected pixels, in [0, 1].
        generator : torch.Generator
            On the device of `expected`.

        Returns
        -------
        uint8 Tensor of the shape of `expected`

        Raises
        ------
        InputError
            When a pixel is nan or lies outside [0, 1].
        """
        thresholds = self._thresholds.to(expected.device)
        grey = torch.empty(expected.shape, dtype=torch.uint8, device=expected.device)
        for m, out in zip(
            expected.flatten().split(_CHUNK), grey.view(-1).split(_CHUNK), strict=True
        ):
            _check(m)
            bins = self._bins(m)
            uniform = torch.randint(
                _STEPS, m.shape, generator=generator, dtype=torch.int32, device=m.device
            )
            place = torch.searchsorted(
                thresholds, uniform.add_(bins, alpha=_STEPS), right=True, out_int32=True
            )
            out.copy_(place.sub_(bins, alpha=LEVELS))
        return grey

    def mean(self, expected: Tensor) -> Tensor:
        """Mean intensity of the draws, in [0, 1]: the expected pixel, recalibrated.

        Parameters
        ----------
        expected : float Tensor of any shape
            Expected pixels, in [0, 1].

        Returns
        -------
        Tensor of the shape and type of `expected`

        Raises
        ------
        InputError
            When a pixel is nan or lies outside [0, 1].
        """
        _check(expected)
        levels = torch.arange(LEVELS, dtype=torch.float64) / (LEVELS - 1)
        return (self.probability @ levels).to(expected)[self._bins(expected)]

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Arrays to be stored: ``edges`` and ``probability``."""
        return {"edges": self.edges.numpy(), "probability": self.probability.numpy()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "GreyLevels":
        """Make the table from what `arrays` returned.

        Raises
        ------
        InputError
            When an array is missing, and as for the class.
        """
        if absent := {"edges", "probability"} - set(arrays):
            raise InputError(f"grey levels: no {' and no '.join(sorted(absent))} among the arrays")
        return cls(
            *(torch.tensor(arrays[k], dtype=torch.float64) for k in ("edges", "probability"))
        )


def fit_grey_levels(
    expected: Tensor, grey: Tensor, where: Tensor | None = None, *, n_bins: int = 100
) -> GreyLevels:
    """Count which grey levels pixels of each expectation have.

    Give it images that the model was not trained on. Which expectations belong to them depends on
    what is drawn later. Where codes are drawn given the observed pixels, and a grey level given
    each code, the table is p(g|z): decode one draw of the posterior given the *complete* image,
    as code and image belong together then. Codes inferred with pixels hidden would count the
    uncertainty of the code twice, once in the draws and once in the table. Where a method gives
    one prediction and no draws of the code, all uncertainty has to come from the table: give it
    that method's predictions of hidden pixels, and these pixels as `where`.

    Parameters
    ----------
    expected : float Tensor of any shape
        Expected pixels, in [0, 1].
    grey : uint8 Tensor of the shape of `expected`
        True grey levels.
    where : bool Tensor of the shape of `expected`, optional
        The pixels that count; all by default.
    n_bins : int, default=100
        From 1 to 255.

    Returns
    -------
    GreyLevels

    Raises
    ------
    InputError
        When shapes or types are wrong, a pixel lies outside [0, 1], none counts, or `n_bins`
        is out of range.
    """
    if not 1 <= n_bins <= _BINS:
        raise InputError(f"n_bins = {n_bins}: must be from 1 to {_BINS}")
    for name, x, dtype in (("grey", grey, torch.uint8), ("where", where, torch.bool)):
        if x is not None and (x.dtype != dtype or x.shape != expected.shape):
            raise InputError(
                f"{name}: {x.dtype} of shape {tuple(x.shape)}; must be {dtype} of the shape of "
                f"expected, {tuple(expected.shape)}"
            )
    if where is not None:
        expected, grey = expected[where], grey[where]
    if not expected.numel():
        raise InputError("grey levels: no pixel to count; give images, and True in where")
    _check(expected)
    angles = torch.linspace(0, math.pi / 2, n_bins + 1, dtype=torch.float64)
    edges = angles.sin().square()
    flat = torch.bucketize(expected.flatten(), edges[1:-1].to(expected), right=True)
    counts = torch.bincount(flat * LEVELS + grey.flatten(), minlength=n_bins * LEVELS)
    counts = counts.reshape(n_bins, LEVELS).double().cpu()
    distance = (torch.arange(n_bins)[:, None] - torch.arange(n_bins)).abs()
    prior = 0.5 ** distance.double() @ counts
    prior /= prior.sum(1, keepdim=True)
    return GreyLevels(edges, (counts + prior) / (counts.sum(1, keepdim=True) + 1))


def _check(expected: Tensor) -> None:
    if not expected.numel():
        return
    low, high = (value.item() for value in expected.aminmax())
    if not (low >= 0 and high <= 1):
        raise InputError(f"expected pixels from {low:.6g} to {high:.6g}: must lie in [0, 1]")
