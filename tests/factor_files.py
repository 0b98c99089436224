"""Trainings of factors.yaml, made up."""

from itertools import product

import numpy as np
from conftest import ROOT

from study.params import read_params
from study.slides import SLIDES
from study.trials.sweep import (
    DIVERGED,
    FACTORS,
    Run,
    Training,
    TrainingParams,
    load_trainings,
    save_runs,
)

PLAN = ROOT / "factors.yaml"
PARAMS = read_params(TrainingParams, ROOT)
#: What takes how much of the Gaussian model's error, at PyTorch's initialisation with Adam.
INITS = {"torch": 1.0, "he": 0.85, "xavier": 0.95, "normal": 1.1}
OPTIMIZERS = {"adam": 1.0, "momentum": 1.02, "sgd": 2.5}


def values_of(training: Training, seed: int, inits=INITS, t: float = 1.01, drawn: float = 1.08):
    """The scores of one run: those of the slides' VAE, but for the factors and the seed's noise."""
    if training.lr == 0.02:
        return {DIVERGED: 1.0}
    ratio = (
        inits[training.init] * OPTIMIZERS[training.optimizer] * (t if training.model == "t" else 1)
    )
    rng = np.random.default_rng([seed, training.model == "t", *map(ord, training.init)])
    ratio *= 1 + 0.01 * rng.normal()
    values = {"none///image/elbo": -100 * ratio}
    for (cell, slides), (method, more) in product(
        SLIDES.items(), (("single_pass", 1), ("single_draw", drawn))
    ):
        score = slides["gauss"]
        score = score * ratio * more if cell.metric == "mse" else 1 - (1 - score) * ratio * more
        values[f"{cell.mechanism}/{method}/{cell.output}/image/{cell.metric}"] = score
    return values


def write(path, seeds=(0, 1, 10), **options):
    """Write the table of all planned trainings; return the params that read it."""
    params = PARAMS.model_copy(update={"seeds": list(seeds)})
    plan = load_trainings(PLAN, params)
    runs = {
        Run("mnist", plan.recipe, e, seed): values_of(e, seed, **options)
        for e, seed in product(plan.experiments, seeds)
    }
    save_runs(path, runs, FACTORS)
    return params
