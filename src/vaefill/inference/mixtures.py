"""Mixtures of distributions over the code, as proposals for importance sampling.

All draws are weighed by the density of the whole mixture (the balance heuristic [1]_): a draw in
the far tail of the component that made it has no large weight when another component is likely to
make it as well.

References
----------
.. [1] E. Veach, L. J. Guibas, "Optimally combining sampling techniques for Monte Carlo
   rendering", SIGGRAPH 1995.
.. [2] A. Owen, Y. Zhou, "Safe and effective importance sampling", Journal of the American
   Statistical Association 95 (2000), 135-143.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vaefill.models.distributions import Latent, MultivariateT, joint_polar_noise

FURTHEST = 1e12  # further out a decoder's logits, or their product with a pixel, leave float32


@dataclass(frozen=True)
class Shared:
    """One distribution for all of n images, such as the prior.

    Parameters
    ----------
    law : Latent
        Over codes of shape (latent,).
    n : int
        Number of images.
    """

    law: Latent
    n: int

    def rsample(self, generator: torch.Generator, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw codes of shape (*sample_shape, n, latent)."""
        return self.law.rsample(generator, (*sample_shape, self.n))

    def log_prob(self, z: Tensor) -> Tensor:
        """Log density of codes."""
        return self.law.log_prob(z)


@dataclass(frozen=True)
class FullT:
    r"""Multivariate t with a full scale matrix per image.

    Parameters
    ----------
    mu : Tensor of shape (n, latent)
        Location.
    factor : float64 Tensor of shape (n, latent, latent)
        Lower Cholesky factor L of the inverse scale matrix, :math:`\Sigma^{-1} = L L^T`.
    df : float
        Degrees of freedom, above 0.
    """

    mu: Tensor
    factor: Tensor
    df: float

    def rsample(self, generator: torch.Generator, sample_shape: Sequence[int] = ()) -> Tensor:
        r"""Draw :math:`\mu + L^{-T} \epsilon` of shape (*sample_shape, n, latent)."""
        noise = joint_polar_noise(self.df, (*sample_shape, *self.mu.shape), generator)
        unit = torch.eye(noise.shape[-1], dtype=noise.dtype, device=noise.device)
        inverse = torch.linalg.solve_triangular(
            self.factor, unit.expand_as(self.factor), upper=False
        )
        return self.mu + torch.einsum("nji,...nj->...ni", inverse, noise).to(self.mu.dtype)

    def log_prob(self, z: Tensor) -> Tensor:
        """Log density at `z`, of all coordinates together."""
        white = self.whiten(z)
        origin = torch.zeros_like(white[..., :1, :])
        volume = self.factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return MultivariateT(origin, origin, self.df).log_prob(white) + volume

    def whiten(self, z: Tensor) -> Tensor:
        r"""Standardise codes: :math:`L^T (z - \mu)`, in float64."""
        return torch.einsum("nij,...ni->...nj", self.factor, z.double() - self.mu)


@dataclass(frozen=True)
class Mixture:
    """A mixture per image.

    Parameters
    ----------
    components : sequence of Latent
        Over codes of shape (n, latent).
    shares : Tensor of shape (len(components), n)
        Probabilities of the components, adding up to 1 for each image.
    """

    components: Sequence[Latent]
    shares: Tensor

    @classmethod
    def defended(
        cls, laws: Sequence[Latent], shares: Tensor, prior: Latent, defensive: float
    ) -> "Mixture":
        """Mix `laws` by their `shares`, adding up to 1, with a `defensive` share of the prior."""
        last = torch.full_like(shares[:1], defensive)
        shares = torch.cat([(1 - defensive) * shares, last])
        return cls([*laws, Shared(prior, shares.shape[1])], shares)

    def sample(self, generator: torch.Generator, n_draws: int) -> Tensor:
        """Draw codes, from each component as many as its share, up to rounding.

        Returns
        -------
        Tensor of shape (n_draws, n, latent)
            In the order of the components.
        """
        component = systematic(self.shares, n_draws, generator)
        none = self.components[0].rsample(generator, (0,))
        z = none.new_empty(n_draws, *none.shape[1:])
        for number, law in enumerate(self.components):
            chosen = component == number
            rows = chosen.any(1).nonzero()
            if len(rows):  # they lie together, and for all images at about the same place
                part = slice(int(rows[0]), int(rows[-1]) + 1)
                drawn = law.rsample(generator, (part.stop - part.start,))
                z[part] = drawn.where(chosen[part].unsqueeze(-1), z[part])
        return z.clamp_(-FURTHEST, FURTHEST)

    def log_prob(self, z: Tensor) -> Tensor:
        """Log density of the mixture, in float64, at `z` of shape (n_draws, n, latent)."""
        return self.log_parts(z).logsumexp(0)

    def log_parts(self, z: Tensor) -> Tensor:
        """Log density of each component, times its share.

        Returns
        -------
        float64 Tensor of shape (components, n_draws, n)
        """
        wide = z.double()
        parts = zip(self.shares.double(), self.components, strict=True)
        return torch.stack([law.log_prob(wide) + share.log() for share, law in parts])


def cholesky(matrices: Tensor) -> Tensor:
    """Lower Cholesky factors of precision matrices.

    Where rounding has left a matrix that is not positive definite, as at a decoder that has
    saturated, the factor of its diagonal alone; 1 where that is not finite either. The scale of a
    proposal has a say in how good its draws are, none in whether they are weighed rightly.

    Parameters
    ----------
    matrices : float64 Tensor of shape (..., latent, latent)

    Returns
    -------
    Tensor of the shape of `matrices`
    """
    factors, failures = torch.linalg.cholesky_ex(matrices)
    failed = (failures > 0) | ~factors.isfinite().all(-1).all(-1)
    diagonal = matrices.diagonal(dim1=-2, dim2=-1)
    usable = (diagonal > 0) & diagonal.isfinite()
    alone = torch.diag_embed(diagonal.where(usable, 1).sqrt())
    return alone.where(failed[..., None, None], factors)


def systematic(shares: Tensor, n_draws: int, generator: torch.Generator) -> Tensor:
    """Draw indices, each ``n_draws * share`` times, rounded up or down at random.

    Parameters
    ----------
    shares : Tensor of shape (k, n)
        Probabilities, adding up to 1 for each of the n images.
    n_draws : int
        Indices per image.
    generator : torch.Generator
        Source of one uniform per image, on the device of `shares`.

    Returns
    -------
    int64 Tensor of shape (n_draws, n)
        In increasing order.
    """
    ends = shares.T.double().cumsum(-1)
    offset = torch.rand(len(ends), 1, generator=generator, dtype=ends.dtype, device=ends.device)
    places = torch.arange(n_draws, dtype=ends.dtype, device=ends.device) + offset
    # Less than rounding may lack at the end, where it would be the index of no share.
    places = (places / n_draws * ends[:, -1:]).clamp(max=1 - 1e-12)
    found = torch.searchsorted(ends.contiguous(), places, right=True)
    return found.clamp(max=len(shares) - 1).T
