"""A trained model with a way to infer: one face for models of either kind.

A VAE that was trained on complete images needs a method to infer its code from the observed
pixels (`vaefill.inference.methods`). A model that was trained to impute infers it itself
(`vaefill.inference.conditional`). Beyond that they do the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from vaefill.inference import conditional as conditional_inference
from vaefill.inference import methods as inference
from vaefill.inference.target import Inferred
from vaefill.models.conditional import ConditionalVAE
from vaefill.models.vae import VAE, load_model


class Imputer(Protocol):
    """A trained model with a way to infer. Images are (n, height, width); results on the CPU."""

    def infer(self, images: Tensor, missing: Tensor) -> Inferred:
        """Infer codes and expected pixels of images, whose missing pixels are not looked at."""
        ...

    def explain(self, images: Tensor, missing: Tensor) -> Tensor:
        """Draw one code, (1, n, latent), of every *complete* image, from its posterior."""
        ...

    def decode(self, codes: Tensor, images: Tensor, missing: Tensor) -> Tensor:
        """Return what codes (J, n, latent) expect of the pixels: (J, n, height, width)."""
        ...


@dataclass(frozen=True)
class LatentImputer:
    """A VAE that was trained on complete images, and a method to infer its code.

    Parameters
    ----------
    vae : VAE
        Trained model.
    method : str
        A key of `vaefill.inference.methods.METHODS`.
    n_draws : int
        Codes per image.
    generator : torch.Generator
        Source of the draws, on the model's device.
    settings : dict
        What else the method takes.
    """

    vae: VAE
    method: str
    n_draws: int
    generator: torch.Generator
    settings: Mapping[str, Any]

    def infer(self, images: Tensor, missing: Tensor) -> Inferred:
        """See `Imputer`."""
        return inference.infer(
            self.vae, images, missing,
            method=self.method, generator=self.generator, n_draws=self.n_draws, **self.settings,
        )  # fmt: skip

    @torch.no_grad()
    def explain(self, images: Tensor, missing: Tensor) -> Tensor:
        """See `Imputer`."""
        x = images.flatten(1).to(self.generator.device)
        return self.vae.posterior(x).rsample(self.generator, (1,)).cpu()

    @torch.no_grad()
    def decode(self, codes: Tensor, images: Tensor, missing: Tensor) -> Tensor:
        """See `Imputer`."""
        expected: Tensor = self.vae.likelihood(codes.to(self.generator.device)).mean.cpu()
        return expected.reshape(*codes.shape[:-1], *images.shape[1:])


@dataclass(frozen=True)
class ConditionalImputer:
    """A model that was trained to impute, and what of its p(z|x_o) to take.

    Parameters
    ----------
    vae : ConditionalVAE
        Trained model.
    method : str
        One of `vaefill.inference.conditional.METHODS`.
    n_draws : int
        Codes per image.
    generator : torch.Generator
        Source of the draws, on the model's device.
    settings : dict
        What else `vaefill.inference.conditional.infer` takes.
    """

    vae: ConditionalVAE
    method: str
    n_draws: int
    generator: torch.Generator
    settings: Mapping[str, Any]

    def infer(self, images: Tensor, missing: Tensor) -> Inferred:
        """See `Imputer`."""
        return conditional_inference.infer(
            self.vae, images, missing,
            method=self.method, generator=self.generator, n_draws=self.n_draws, **self.settings,
        )  # fmt: skip

    @torch.no_grad()
    def explain(self, images: Tensor, missing: Tensor) -> Tensor:
        """See `Imputer`."""
        x, gaps = (a.flatten(1).to(self.generator.device) for a in (images, missing))
        return self.vae.posterior(x, ~gaps).rsample(self.generator, (1,)).cpu()

    def decode(self, codes: Tensor, images: Tensor, missing: Tensor) -> Tensor:
        """See `Imputer`."""
        return conditional_inference.decode(self.vae, codes, images, missing)


def load_imputer(
    path: str | Path,
    *,
    method: str,
    n_draws: int,
    generator: torch.Generator,
    settings: Mapping[str, Any],
) -> Imputer:
    """Read a trained model of either kind, onto the generator's device.

    Raises
    ------
    InputError
        As for `vaefill.models.vae.load_model`; of the method, when it is used.
    """
    vae = load_model(path, _build, device=generator.device)
    if isinstance(vae, ConditionalVAE):
        return ConditionalImputer(vae, method, n_draws, generator, settings)
    return LatentImputer(vae, method, n_draws, generator, settings)


def _build(**architecture: Any) -> VAE | ConditionalVAE:
    return (ConditionalVAE if "networks" in architecture else VAE)(**architecture)
