"""Results of imputers as other stages write them: made up, and changed as a test needs."""

import numpy as np

from study.report.imputation_results import (
    BASELINES,
    DEGRADATION_COLUMNS,
    METHODS,
    MODELS,
    RUBIN_COLUMNS,
    SCORE_COLUMNS,
    SOURCES,
    TIMING_COLUMNS,
    load,
)
from study.trials.tiles import save_tiles
from vaefill.storage import save_json, save_table

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
FRACTIONS = {"random": 0.3, "square": 0.18}
SAMPLING = ("pseudo_gibbs", "metropolis_within_gibbs", "importance", "laplace", "refit", "draws")
#: Per recipe and method (of a baseline, model), the MSE of the image with random pixels missing.
ERRORS = {
    ("", name): error
    for name, error in zip(BASELINES, (0.03, 0.02, 0.0106, 0.0031, 0.0037), strict=True)
}
ERRORS |= {
    ("slides", name): error
    for name, error in zip(
        METHODS[:-1], (0.0093, 0.0072, 0.0066, 0.0049, 0.0045, 0.0048, 0.0047, 0.0043), strict=True
    )
}
ERRORS |= {("mlp", "single_pass"): 0.00195, ("mlp", "draws"): 0.0019}
ERRORS |= {("conv", "single_pass"): 0.00137, ("conv", "draws"): 0.00133}
SQUARE = 5.6  # times that with a square
SECONDS = {
    key: 0.001 * 1.9**place for place, key in enumerate(ERRORS)
}  # so that the slowest takes about half a minute


def same(row):
    return row


def score_rows(*, seeds=(0,), change=same, complete=0.99):
    """Rows as dicts; `change` gives each back, changed, or None to leave it out."""
    rows = []

    def add(recipe, model, seed, mechanism, method, region, metric, value):
        names = (recipe, model, seed, mechanism, method, "imputation", region, metric)
        row = change(dict(zip(SCORE_COLUMNS, (*names, value), strict=True)))
        if row is not None:
            rows.append(row)

    for (recipe, name), error in ERRORS.items():
        runs = [(model, seed) for model in MODELS for seed in seeds] if recipe else [(name, "")]
        for model, seed in runs:
            for mechanism, fraction in FRACTIONS.items():
                run = (recipe, model, seed, mechanism, name if recipe else "")
                mse = error * (1 if mechanism == "random" else SQUARE)
                add(*run, "image", "mse", mse)
                add(*run, "missing", "mse", mse / fraction)
                add(*run, "image", "ssim", 1 - 8 * mse)
                add(*run, "image", "ssim_global", 1 - 7 * mse)
                add(*run, "image", "accuracy", 0.99 - mse)
                for level in LEVELS if name in SAMPLING else ():
                    add(*run, "missing", f"coverage_{level:g}", level)
                    add(*run, "grey", f"coverage_{level:g}", 0.9 * level)
                    add(*run, "missing", f"width_{level:g}", 0.1 * level)
                    add(*run, "missing", f"covered_{level:g}", (1 + level) / 2)
                if name in SAMPLING:
                    add(*run, "missing", "crps", mse)
                    add(*run, "image", "flagged", 0.02)
    if complete is not None:
        names = ("", "complete", "", "none", "", "imputation", "image", "accuracy")
        rows.append(dict(zip(SCORE_COLUMNS, (*names, complete), strict=True)))
    return rows


def timing_rows():
    return [
        (recipe, model, name if recipe else "", SECONDS[recipe, name])
        for recipe, name in ERRORS
        for model in (MODELS if recipe else (name,))
    ]


def degradation_rows():
    rows = []
    for (recipe, name), error in ERRORS.items():
        for model in MODELS if recipe else (name,):
            run = (recipe, model, name if recipe else "")
            rows += [(*run, "random", k / 10, error * (1 + k)) for k in range(1, 10)]
            rows += [(*run, "square", size, error * size) for size in range(4, 25, 4)]
            rows += [(*run, other, "", 3 * error) for other in ("half-top", "mar", "mnar")]
    return rows


def rubin_rows():
    """Zeros miss by 20 %, means by 3 %, several imputations by nothing; intervals are ± 2 %."""
    off = dict(zip(SOURCES, (1, 0.8, 1.03, 1), strict=True))
    return [
        (digit, source, ink * off[source], ink * (off[source] - 0.02), ink * (off[source] + 0.02),
         0.1 if source == "multiple" else "")
        for digit, ink in enumerate(np.linspace(0.1, 0.2, 10).tolist())
        for source in SOURCES
    ]  # fmt: skip


def sheet(seed, cases=4):
    """Image, missing, imputation and six draws of some cases."""
    rng = np.random.default_rng(seed)
    image, imputed = rng.integers(256, size=(2, cases, 28, 28), dtype=np.uint8)
    missing = np.zeros((cases, 28, 28), np.uint8)
    missing[:, 8:20, 8:20] = 255
    draws = rng.integers(256, size=(6, cases, 28, 28), dtype=np.uint8)
    filled = [np.where(missing > 0, tiles, image) for tiles in (imputed, *draws)]
    return np.stack([image, missing, *filled], axis=1)


def write(reports, *, scores=None, without=(), drawn=("slides", "mlp", "conv")):
    """Write every file below `reports`, but those named in `without`."""
    folder = reports / "imputation"
    rows = score_rows() if scores is None else scores
    save_table(folder / "scores.csv", SCORE_COLUMNS, [[*row.values()] for row in rows])
    if "timings" not in without:
        save_table(folder / "timings.csv", TIMING_COLUMNS, timing_rows())
        environment = {"device": "cpu", "torch": "2.13.0"}
        timing = {
            "dataset": "mnist", "environment": environment, "images": 1000, "threads": 2
        }  # fmt: skip
        save_json(folder / "timings.json", timing)
    if "degradation" not in without:
        save_table(folder / "degradation.csv", DEGRADATION_COLUMNS, degradation_rows())
    if "rubin" not in without:
        save_table(folder / "rubin.csv", RUBIN_COLUMNS, rubin_rows())
    if "draws" not in without:
        for recipe in drawn:
            for model in MODELS:
                save_tiles(folder / "draws" / f"{recipe}-{model}-0.png", sheet(0))


def loaded(reports, **options):
    """Write and read back."""
    write(reports, **options)
    return load(reports)
