"""`ImageImputer`: a trained image model, to be used as `VAEImputer` is for tables."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vaefill.errors import InputError
from vaefill.inference.methods import METHODS, infer
from vaefill.inference.single_pass import impute
from vaefill.models.conditional import ConditionalVAE
from vaefill.models.files import Model
from vaefill.models.vae import VAE

#: The method of each kind of model that fills in best in a time that people wait for.
BEST: dict[type[Model], str] = {ConditionalVAE: "draws", VAE: "map"}


class ImageImputer:
    """Fill in missing pixels with a model that was trained before.

    Parameters
    ----------
    model : VAE or ConditionalVAE
        As `vaefill.models.load` reads it.
    method : str, optional
        A key of `vaefill.inference.METHODS` for the model; by default that of `BEST`.
    random_state : int, default=0
        Seed of what the method draws.

    Raises
    ------
    InputError
        When the model has no such method.
    """

    def __init__(self, model: Model, *, method: str | None = None, random_state: int = 0) -> None:
        self.model = model
        self.method = BEST[type(model)] if method is None else method
        self.random_state = random_state
        if self.method not in METHODS[type(model)]:
            raise InputError(f"method = {method!r}: must be in {', '.join(METHODS[type(model)])}")

    def transform(self, X: NDArray[Any]) -> NDArray[Any]:
        """Fill in the pixels that are nan.

        Parameters
        ----------
        X : float array of shape (n, height, width) or (n, height * width)
            Pixels in [0, 1], nan where missing.

        Returns
        -------
        array of the shape and dtype of `X`
            Observed pixels are as they were; missing ones hold what the method expects of them.

        Raises
        ------
        InputError
            When they are no floats or not of the model's size, or an observed one is outside
            [0, 1].
        """
        images = np.asarray(X)
        if images.ndim == 2:
            images = images.reshape(-1, *self._shape(images.shape[1]))
        missing = np.isnan(images)
        generator = torch.Generator(next(self.model.parameters()).device)
        found = infer(
            self.model,
            images,
            missing,
            method=self.method,
            generator=generator.manual_seed(self.random_state),
        )
        filled = impute(images, missing, found.mean.numpy())
        return filled.reshape(np.shape(X)).astype(images.dtype)

    def _shape(self, pixels: int) -> tuple[int, int]:
        """Height and width of images that are given as rows of pixels."""
        architecture: dict[str, Any] = self.model.architecture
        height, width = architecture.get("shape", (1, architecture.get("pixels")))
        if height * width != pixels:
            raise InputError(f"X: {pixels} pixels; the model was trained on {height * width}")
        return height, width
