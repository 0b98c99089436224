r"""The conditional VAE that corrects the linear answer: several members, computed as one.

Each member of the `Ensemble` maps what is visible of a row to a location and a log variance of
every cell. With the linear answer g, the neighbours' two features :math:`d_1, d_2` relative to
it, and x all features,

.. math::
    h_1 &= \operatorname{silu}(x W_1), \qquad
    h_{i+1} = h_i + \operatorname{silu}(h_i W_{i+1}) \\
    z &\sim q(z \mid h_{L-1}), \qquad h_{L-1} \leftarrow h_{L-1} + z U \\
    \mu &= g + \sigma(a_1) d_1 + \sigma(a_2) d_2 + r, \qquad
    (r, a_1 + c, a_2 + c) = h_L V \\
    \ln \sigma^2 &= \ln(\sigma_g^2 + 10^{-4}) + h_L V'

V and V' start at zero: training starts from the linear answer and a third of the neighbours'.
The variance does not train the layers below it. The code z enters before the last layer, or
after the only one; its prior is standard normal or a product of standard t's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch.nn.functional import silu

from vaefill.errors import InputError
from vaefill.models.distributions import Normal, StudentT
from vaefill.tables.likelihoods import Mixed

_LOGVAR = (-8.0, 4.0)  # of cells, in standardised units
_CODE_LOGVAR = (-12.0, 6.0)
_GATE = -0.7  # of both neighbours' features at the start: a third of their difference
_CHUNK = 2**13  # rows of all members or draws at a time


@dataclass(frozen=True)
class Batch:
    """What the network is told of rows.

    Parameters
    ----------
    features : float32 Tensor of shape (n, f)
        Its inputs.
    base : float32 Tensor of shape (n, p)
        Linear answer, in standardised units.
    base_variance : float32 Tensor of shape (n, p)
        Its variance, at least 0.
    near : float32 Tensor of shape (n, 2, p)
        The two answers of the nearest rows, less `base`.
    """

    features: Tensor
    base: Tensor
    base_variance: Tensor
    near: Tensor

    def rows(self, index: Tensor | slice) -> Self:
        """Take some of the rows."""
        return replace(self, **{f.name: getattr(self, f.name)[index] for f in fields(self)})


class Output(NamedTuple):
    """What the members say of rows.

    Attributes
    ----------
    eta : Tensor of shape (members, n, p)
        Location parameter of `Mixed`.
    logvar : Tensor of shape (members, n, p)
        Log variance of numeric cells.
    posterior : Normal or StudentT, optional
        q(z | visible), of shape (members, n, n_latents); None where there is no code.
    """

    eta: Tensor
    logvar: Tensor
    posterior: Normal | StudentT | None


@dataclass(frozen=True)
class Ensemble:
    """Networks of one architecture; `make_ensemble` makes a fresh one.

    Parameters
    ----------
    weights : float32 Tensor of shape (members, size)
        All that is learned, a row per member: the layers one after the other.
    likelihood : Mixed
        Kinds of the p slots.
    n_features : int
        Number of features f.
    hidden : tuple of int
        Widths of the hidden layers.
    n_latents : int
        Coordinates of the code; 0 for none.
    df : float
        Degrees of freedom of prior and posterior of the code; ``inf`` is the normal.
    dropout : float
        Probability that a hidden unit is left out in training, in [0, 1).
    """

    weights: Tensor
    likelihood: Mixed
    n_features: int
    hidden: tuple[int, ...]
    n_latents: int
    df: float
    dropout: float

    def forward(
        self,
        batch: Batch,
        *,
        weights: Tensor | None = None,
        dropout: torch.Generator | None = None,
        codes: torch.Generator | None = None,
    ) -> Output:
        """Run the members, each on its own batch or all on the same.

        Parameters
        ----------
        batch : Batch
            Its tensors may have a leading axis of members.
        weights : Tensor of shape (members, size), optional
            Those to be used instead of the ensemble's: one row per result.
        dropout, codes : torch.Generator, optional
            Source of the hidden units that are left out, and of the codes. Without, no unit is
            left out, and codes are at their means.

        Returns
        -------
        Output
        """
        weights = self.weights if weights is None else weights
        sizes = [size for n_in, n_out in self._layers for size in (n_in * n_out, n_out)]
        blocks = iter(weights.split(sizes, 1))

        def linear(x: Tensor) -> Tensor:
            matrix, bias = next(blocks), next(blocks)
            return torch.baddbmm(bias.unsqueeze(1), x, matrix.unflatten(1, (x.shape[-1], -1)))

        h = batch.features.expand(len(weights), -1, -1)
        n = h.shape[1]
        kept = iter(())
        if dropout is not None:
            # Members share their masks: their units have nothing else in common.
            uniform = torch.rand(n, sum(self.hidden), generator=dropout, device=h.device)
            kept = iter(uniform.ge_(self.dropout).div_(1 - self.dropout).split(self.hidden, 1))
        posterior = None
        for layer, width in enumerate(self.hidden):
            new = silu(linear(h))
            if dropout is not None:
                new.mul_(next(kept))
            h = new.add_(h) if layer and h.shape[-1] == width else new
            if self.n_latents and layer == max(len(self.hidden) - 2, 0):
                mu, logvar = linear(h).chunk(2, -1)
                posterior = self._law(mu, logvar.clamp(*_CODE_LOGVAR))
                h = linear(posterior.mu if codes is None else posterior.rsample(codes)).add_(h)
        residual, gates = linear(h).tensor_split([len(self.likelihood.kind)], -1)
        gates = torch.sigmoid(gates + _GATE).unflatten(-1, (2, -1))
        eta = self.likelihood.moved(batch.base + (gates * batch.near).sum(-2), residual)
        logvar = torch.log(batch.base_variance + 1e-4) + linear(h.detach())
        return Output(eta, logvar.clamp(*_LOGVAR), posterior)

    @torch.no_grad()
    def predict(self, batch: Batch) -> tuple[Tensor, Tensor]:
        r"""Mean and variance of every cell, of the members together, codes at their means.

        With means :math:`m_k` and variances :math:`v_k` of the K members: :math:`\bar m` and
        :math:`\frac1K \sum_k (v_k + (m_k - \bar m)^2)`.

        Returns
        -------
        mean, variance : Tensor of shape (n, p)
            In standardised units.
        """
        means, variances = [], []
        for start in range(0, max(1, len(batch.features)), _CHUNK // len(self.weights)):
            output = self.forward(batch.rows(slice(start, start + _CHUNK // len(self.weights))))
            member = self.likelihood.mean(output.eta)
            mean = member.mean(0)
            variance = self.likelihood.variance(output.eta, output.logvar)
            means.append(mean)
            variances.append((variance + (member - mean).square()).mean(0))
        return torch.cat(means), torch.cat(variances)

    @torch.no_grad()
    def draw(self, batch: Batch, n_draws: int, generator: torch.Generator) -> Tensor:
        """Draw the location of every cell: of a member, given a code that is drawn.

        Draws show which cells of a row vary together, not how uncertain they are: codes are
        trained to blur the locations as little as their prior allows, whatever is hidden. The
        uncertainty is the variance that `predict` gives.

        Parameters
        ----------
        batch : Batch
            The rows.
        n_draws : int
            Number of draws. The members take turns, from one that is drawn.
        generator : torch.Generator
            Source of the codes, on the device of the rows.

        Returns
        -------
        Tensor of shape (n_draws, n, p)
            In standardised units.
        """
        first = torch.randint(len(self.weights), (), generator=generator, device=generator.device)
        turns = first + torch.arange(n_draws, device=generator.device)
        weights = self.weights[turns % len(self.weights)]
        step = max(1, _CHUNK // max(1, n_draws))
        parts = []
        for start in range(0, max(1, len(batch.features)), step):
            some = batch.rows(slice(start, start + step))
            output = self.forward(some, weights=weights, codes=generator)
            parts.append(self.likelihood.mean(output.eta))
        return torch.cat(parts, 1)

    @property
    def _layers(self) -> list[tuple[int, int]]:
        return layers(self.n_features, self.hidden, self.n_latents, len(self.likelihood.kind))

    def _law(self, mu: Tensor, logvar: Tensor) -> Normal | StudentT:
        return Normal(mu, logvar) if math.isinf(self.df) else StudentT(mu, logvar, self.df)


def layers(
    n_features: int, hidden: Sequence[int], n_latents: int, n_slots: int
) -> list[tuple[int, int]]:
    """List inputs and outputs of the linear layers, in the order in which they are used."""
    widths = list(pairwise([n_features, *hidden]))
    code = [(hidden[max(len(hidden) - 2, 0)], 2 * n_latents)]
    code.append((n_latents, code[0][0]))
    at = max(len(hidden) - 1, 1)
    heads = [(hidden[-1], 3 * n_slots), (hidden[-1], n_slots)]
    return [*widths[:at], *(code if n_latents else []), *widths[at:], *heads]


def make_ensemble(
    likelihood: Mixed,
    n_features: int,
    *,
    hidden: Sequence[int] = (96, 96, 96),
    n_latents: int = 16,
    df: float = math.inf,
    dropout: float = 0.1,
    n_members: int = 3,
    generator: torch.Generator,
) -> Ensemble:
    """Make networks that give the linear answer and its neighbours'.

    Weights are drawn from N(0, 1 / inputs), those of the last layers and all biases are 0.

    Parameters
    ----------
    likelihood, n_features, hidden, n_latents, df, dropout
        Those of `Ensemble`.
    n_members : int, default=3
        Number of networks.
    generator : torch.Generator
        Source of the weights, on the device where they shall be.

    Raises
    ------
    InputError
        When a size is out of range.
    """
    for name, value, least in (
        ("hidden", min(hidden, default=0), 1),
        ("n_latents", n_latents, 0),
        ("n_members", n_members, 1),
    ):
        if value < least:
            raise InputError(f"{name} = {value}: must be at least {least}")
    if not 0 <= dropout < 1:
        raise InputError(f"dropout = {dropout}: must be at least 0 and below 1")
    parts = []
    *below, head, variance_head = layers(n_features, hidden, n_latents, len(likelihood.kind))
    for n_in, n_out in below:
        size = (n_members, n_in * n_out)
        matrix = torch.randn(size, generator=generator, device=generator.device)
        parts += [matrix * n_in**-0.5, matrix.new_zeros(n_members, n_out)]
    rest = sum((n_in + 1) * n_out for n_in, n_out in (head, variance_head))
    parts.append(torch.zeros(n_members, rest, device=generator.device))
    return Ensemble(
        torch.cat(parts, 1), likelihood, n_features, tuple(hidden), n_latents, df, dropout
    )
