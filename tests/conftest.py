"""What several test files use: small images, and a project directory to run stages in."""

from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def digits() -> torch.Tensor:
    """60 images of 8 x 8 pixels: a bright half each, on one of four sides, with a little noise."""
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 0.1, (60, 8, 8))
    halves = [np.s_[:4, :], np.s_[4:, :], np.s_[:, :4], np.s_[:, 4:]]
    for number, image in enumerate(images):
        image[halves[number % 4]] = rng.uniform(0.9, 1, (4, 8) if number % 4 < 2 else (8, 4))
    return torch.from_numpy(images.astype(np.float32)).flatten(1)
