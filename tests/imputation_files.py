"""Results of imputers as other stages write them, made up."""

from itertools import product

import numpy as np

from study.report.imputers import BASELINES, NAMES, SOURCES, WITHOUT, load
from study.report.runs import SCORE_COLUMNS
from study.trials.comparison import MODELS
from study.trials.tiles import save_tiles
from vaefill.storage import save_json, save_table

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
SQUARE = 5.6  # how many times as large an error is with a square
FRACTIONS = {"random": (0.3, 1), "square": (0.18, SQUARE)}
SAMPLING = ("pseudo_gibbs", "metropolis_within_gibbs", "importance", "laplace", "refit", "draws")
_METHODS = [("", name) for name in BASELINES]
_METHODS += [("slides", name) for name in NAMES if name not in BASELINES and name != "draws"]
_METHODS += [(recipe, name) for recipe in ("mlp", "conv") for name in ("single_pass", "draws")]
#: Per recipe and method, the MSE of the image with random pixels missing.
ERRORS = dict(zip(_METHODS, (
    0.03, 0.02, 0.0106, 0.0031, 0.0037,
    0.0093, 0.0072, 0.0066, 0.0049, 0.0045, 0.0048, 0.0047, 0.0043,
    0.00195, 0.0019, 0.00137, 0.00133,
), strict=True))  # fmt: skip
#: The slowest takes about half a minute.
SECONDS = {key: 0.001 * 1.9**place for place, key in enumerate(ERRORS)}
RECIPES = ("slides", "mlp", "conv")
#: Of former runs.
LEFT_OUT = (("slides", "iterated"), ("slides", "importance"))
#: Of every kind one or two.
FEW = [("", "zero"), ("", "gaussian"), ("slides", "single_pass"), ("slides", "refit"),
       ("mlp", "draws"), ("conv", "single_pass"), ("conv", "draws")]  # fmt: skip


def name(recipe, method):
    """Name an imputer as the page does."""
    return f"`{recipe}` {NAMES[method]}" if recipe else NAMES[method]


def by_run(columns, values, among=ERRORS):
    """Rows, as dicts, of what each method has: `values` gives those of a recipe and a method."""
    return [
        dict(zip(("recipe", "model", "method", *columns),
                 (recipe, model, method if recipe else "", *row), strict=True))
        for recipe, method in among
        for model in (MODELS if recipe else (method,))
        for row in values(recipe, method)
    ]  # fmt: skip


def score_rows(seeds=(0,), among=ERRORS):
    """Rows of ``scores.csv``; of the complete images 99 % are read right."""

    def values(recipe, method):
        for (mechanism, (fraction, factor)), seed in product(
            FRACTIONS.items(), seeds if recipe else ("",)
        ):
            mse = factor * ERRORS[recipe, method]
            scores = {"image/mse": mse, "missing/mse": mse / fraction, "image/ssim": 1 - 8 * mse}
            scores |= {"image/ssim_global": 1 - 7 * mse, "image/accuracy": 0.99 - mse}
            if method in SAMPLING:
                scores |= {"missing/crps": mse, "image/flagged": 0.02}
                for level in LEVELS:
                    scores[f"missing/coverage_{level:g}"] = level
                    scores[f"grey/coverage_{level:g}"] = 0.9 * level
                    scores[f"missing/covered_{level:g}"] = (1 + level) / 2
            for place, value in scores.items():
                yield seed, mechanism, "imputation", *place.split("/"), value

    columns = ("seed", "mechanism", "output", "region", "metric", "value")
    rows = by_run(columns, values, among)
    complete = dict.fromkeys(columns, "") | {"recipe": "", "model": "complete", "method": ""}
    complete |= {"mechanism": "none", "output": "imputation", "region": "image"}
    rows.append(complete | {"metric": "accuracy", "value": 0.99})
    return [{column: row[column] for column in SCORE_COLUMNS} for row in rows]


def degradation(recipe, method):
    error = ERRORS[recipe, method]
    yield from (("random", k / 10, error * (1 + k)) for k in range(1, 10))
    yield from (("square", size, error * size) for size in range(4, 25, 4))
    yield from ((other, "", 3 * error) for other in ("half-top", "mar", "mnar"))


def rubin_rows():
    """Zeros miss by 20 %, means by 3 %, several imputations by nothing; intervals are ± 2 %."""
    columns = ("digit", "source", "estimate", "low", "high", "fmi")
    return [
        dict(zip(columns, (
            digit, source, ink * off, ink * (off - 0.02), ink * (off + 0.02),
            0.1 if source == "multiple" else "",
        ), strict=True))
        for digit, ink in enumerate(np.linspace(0.1, 0.2, 10).tolist())
        for source, off in zip(SOURCES, (1, 0.8, 1.03, 1), strict=True)
    ]  # fmt: skip


def sheet(seed, cases=4):
    """Image, missing, imputation and six draws of some cases."""
    rng = np.random.default_rng(seed)
    image, *imputed = rng.integers(256, size=(8, cases, 28, 28), dtype=np.uint8)
    missing = np.zeros((cases, 28, 28), np.uint8)
    missing[:, 8:20, 8:20] = 255
    filled = [np.where(missing > 0, tiles, image) for tiles in imputed]
    return np.stack([image, missing, *filled], axis=1)


def left_out_rows(among=LEFT_OUT):
    """Rows of ``left_out.csv``: scores of 900 images, 100 of them for uncertainty, and times."""
    rows = [row for row in score_rows(among=among) if row["recipe"]]
    for recipe, method in among:
        for model in MODELS:
            run = {"recipe": recipe, "model": model, "seed": 0, "mechanism": "none",
                   "method": method, "output": "imputation"}  # fmt: skip
            for place, value in (("image/images", 900), ("missing/images", 100),
                                 ("image/seconds", SECONDS[recipe, method])):  # fmt: skip
                region, metric = place.split("/")
                rows.append(run | {"region": region, "metric": metric, "value": value})
    return rows


def write(reports, *, scores=None, without=(), drawn=RECIPES, among=ERRORS, left=()):
    """Write every file below `reports`, but those named in `without`."""
    folder = reports / "imputation"
    tables = {
        "timings": by_run(["seconds"], lambda *key: [(SECONDS[key],)], among),
        "rubin": rubin_rows(),
        "left_out": left_out_rows(left),
    }
    scores = score_rows(among=among) if scores is None else scores
    degraded = by_run(["mechanism", "setting", "value"], degradation, among)
    for recipe in ("", *RECIPES):
        for table, rows in (("scores", scores), ("degradation", degraded)):
            own = [row for row in rows if row["recipe"] == recipe]
            tables[f"{table}/{recipe or WITHOUT}"] = own
    for table, rows in tables.items():
        if rows and table.split("/")[0] not in without:
            save_table(folder / f"{table}.csv", [*rows[0]], [[*row.values()] for row in rows])
    if "timings" not in without:
        environment = {"device": "cpu", "torch": "2.13.0"}
        timing = {"dataset": "mnist", "environment": environment, "images": 1000, "threads": 2}
        save_json(folder / "timings.json", timing)
    for recipe, model in product(() if "draws" in without else drawn, MODELS):
        save_tiles(folder / "draws" / recipe / f"{model}-0.png", sheet(0))


def loaded(reports, **options):
    """Write and read back."""
    write(reports, **options)
    return load(reports, RECIPES)
