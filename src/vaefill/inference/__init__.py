"""Inference of the missing pixels, one method per module; `infer` calls them by name."""

from vaefill.inference.convergence import flagged
from vaefill.inference.methods import METHODS, infer
from vaefill.inference.single_pass import impute, predict
from vaefill.inference.target import Inferred

__all__ = ["METHODS", "Inferred", "flagged", "impute", "infer", "predict"]
