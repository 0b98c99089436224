"""Inference of the missing pixels, one method per module; `infer` calls them by name."""

from vaefill.inference.convergence import flagged
from vaefill.inference.methods import Inferred, infer
from vaefill.inference.single_pass import impute, predict

__all__ = ["Inferred", "flagged", "impute", "infer", "predict"]
