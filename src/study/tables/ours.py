"""`VAEImputer` as anybody would call it: by its public names, with default settings."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

import vaefill
from study.tables.scoring import LEVEL, Filled

Floats = NDArray[np.float64]

OURS: dict[str, dict[str, Any]] = {
    "vaefill": {"experts": "fast"},
    "vaefill_thorough": {"experts": "thorough"},
}
#: The study's question on tables: latent space and likelihood, each light- or heavy-tailed.
VARIANTS: dict[str, dict[str, Any]] = {
    "gaussian": {},
    "t_latents": {"prior": "student_t"},
    "t_likelihood": {"likelihood": "student_t"},
    "t_both": {"prior": "student_t", "likelihood": "student_t"},
}


def impute(name: str, values: Floats, seed: int, n_draws: int) -> Filled:
    """Fill in a standardised table; parameters are those of `study.tables.rivals.impute`."""
    return fill(values, seed, n_draws, **OURS[name])


def fill(values: Floats, seed: int, n_draws: int, **settings: Any) -> Filled:
    """Fill in a standardised table by a `VAEImputer` of these settings."""
    imputer = vaefill.VAEImputer(random_state=seed, **settings)
    filled = imputer.fit_transform(values)
    interval = imputer.interval(values, level=LEVEL)
    draws = imputer.sample(values, n_draws=n_draws) if n_draws else None
    return Filled(filled, interval, draws)
