"""A trained model with a way to infer: one face for models of either kind."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaefill.inference import Inferred, infer
from vaefill.inference.conditional import decode
from vaefill.models import VAE, ConditionalVAE, load


@dataclass(frozen=True)
class Imputer:
    """A trained model with a way to infer. Images are (n, height, width); results on the CPU.

    Parameters
    ----------
    model : VAE or ConditionalVAE
        Trained on complete images, or to impute.
    method : str
        See `vaefill.inference.methods`.
    n_draws : int
        Codes per image.
    generator : torch.Generator
        Source of the draws, on the model's device.
    settings : dict
        What else the method takes.
    """

    model: VAE | ConditionalVAE
    method: str
    n_draws: int
    generator: torch.Generator
    settings: Mapping[str, Any]

    def infer(self, images: Tensor, missing: Tensor) -> Inferred:
        """Infer codes and expected pixels of images, whose missing pixels are not looked at."""
        return infer(
            self.model, images, missing,
            method=self.method, generator=self.generator, n_draws=self.n_draws, **self.settings,
        )  # fmt: skip

    def predict(self, images: Tensor, missing: Tensor) -> Tensor:
        """Return the expected pixels of images."""
        return self.infer(images, missing).mean

    @torch.no_grad()
    def explain(self, images: Tensor, missing: Tensor) -> Tensor:
        """Draw one code, (1, n, latent), of every *complete* image, from its posterior."""
        x, gaps = (part.flatten(1).to(self.generator.device) for part in (images, missing))
        given = (x, ~gaps) if isinstance(self.model, ConditionalVAE) else (x,)
        return self.model.posterior(*given).rsample(self.generator, (1,)).cpu()

    @torch.no_grad()
    def decode(self, codes: Tensor, images: Tensor, missing: Tensor) -> Tensor:
        """Return what codes (J, n, latent) expect of the pixels: (J, n, height, width)."""
        if isinstance(self.model, ConditionalVAE):
            return decode(self.model, codes, images, missing)
        expected: Tensor = self.model.likelihood(codes.to(self.generator.device)).mean.cpu()
        return expected.reshape(*codes.shape[:-1], *images.shape[1:])


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
        As for `vaefill.models.load`; of the method, when it is used.
    """
    return Imputer(load(path, device=generator.device), method, n_draws, generator, settings)
