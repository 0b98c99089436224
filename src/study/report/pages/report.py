"""The page ``report.md``: does a t prior fill in missing pixels better than a Gaussian one?"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from study.report import formats
from study.report.formats import NONE, texts
from study.report.runs import (
    CELL,
    ELBO_TERMS,
    ENVIRONMENT,
    LIKELIHOOD_TERMS,
    RUN,
    SCORE_COLUMNS,
    SLIDES_RECIPE,
    Metrics,
    OverImages,
)
from study.report.verdicts import (
    BETTER,
    LOWER_IS_BETTER,
    SAME,
    UNKNOWN,
    WORSE,
    paired,
    spread,
    verdict,
)
from study.slides import SLIDES, SOURCE
from study.trials.comparison import MECHANISMS

#: How near a mean must come to the slides' number to count as reproduced. The slides report one
#: run, and print neither its seed nor the sizes of the masks.
TOLERANCE = 0.05
#: The slides' table, one row per cell; what they claim is t - gauss.
CLAIMS = pd.DataFrame(
    [
        {**cell._asdict(), "claimed_gauss": models["gauss"], "claimed_t": models["t"]}
        for cell, models in SLIDES.items()
    ]
).eval("claim = claimed_t - claimed_gauss")
#: Its cells again with the windowed SSIM, which the slides do not have.
WINDOWED = CLAIMS.loc[CLAIMS.metric == "ssim_global", list(CELL)].assign(metric="ssim")
BOUNDS = {
    "elbo": "ELBO",
    "reconstruction": "its reconstruction",
    "kl": "its KL",
    "log_likelihood": "log-likelihood",
    "ess": "its effective draws",
    "ess_low": "its effective draws, lowest 5 %",
}

Columns = dict[str, Callable[[Any], str]]

_CELL: Columns = {
    "missing": lambda row: formats.MECHANISMS[row.mechanism],
    "output": lambda row: row.output or NONE,
    "metric": lambda row: formats.METRICS[row.metric],
}
_RECIPE: Columns = {"recipe": lambda row: f"`{row.recipe}`"}
_GAUSS: Columns = {"Gaussian": lambda row: _mean(row, "reference")}
_T: Columns = {"t prior": lambda row: _mean(row, "other")}
_VERDICT: Columns = {"t prior is": lambda row: _verdict(row)}
_CLAIM: Columns = {"slides: t − VAE": lambda row: formats.signed(row.claim, "slides")}
_CLAIMED_GAUSS: Columns = {"slides: VAE": lambda row: formats.number(row.claimed_gauss, "slides")}
_CLAIMED_T: Columns = {"slides: t": lambda row: formats.number(row.claimed_t, "slides")}


def compare_models(scores: pd.DataFrame) -> pd.DataFrame:
    """Set both models side by side, paired by seed, in every score of whole images."""
    return paired(scores[scores.region == "image"], ["recipe", *CELL])


def summary(scores: pd.DataFrame) -> dict[str, Any]:
    """Return what ``summary.json`` holds: the slides' table over seeds, per recipe.

    Returns
    -------
    dict
        Per recipe ``{mechanism: {output: {metric: numbers}}, "elbo": {term: numbers},
        "likelihood": {term: numbers}}``, where numbers are ``gauss``, ``t``, ``diff`` (t -
        gauss), ``diff_low`` and ``diff_high``, the bounds None with one seed.
    """
    tables: dict[str, Any] = {}
    groups = dict.fromkeys(ELBO_TERMS, "elbo") | dict.fromkeys(LIKELIHOOD_TERMS, "likelihood")
    for row in compare_models(scores).itertuples():
        if row.metric in groups:
            place = [row.recipe, groups[row.metric]]
        elif row.mechanism in MECHANISMS:
            place = [row.recipe, row.mechanism, row.output]
        else:
            continue
        table = tables
        for name in place:
            table = table.setdefault(name, {})
        numbers = {"gauss": row.reference, "t": row.other, "diff": row.diff}
        numbers |= {"diff_low": row.low, "diff_high": row.high}
        table[row.metric] = {k: None if np.isnan(v) else v for k, v in numbers.items()}
    return tables


def score_rows(scores: pd.DataFrame, imputers: pd.DataFrame) -> Iterable[tuple[Any, ...]]:
    """Return the rows of ``scores.csv``, sorted: of the runs, and of the imputers beside them.

    A single pass of the imputers with a model that is among the runs has been scored already.
    """
    key = list(SCORE_COLUMNS[:-1])
    both = pd.concat([frame.astype({"seed": "Int64"}) for frame in (imputers, scores)])
    rows = both.drop_duplicates(key, keep="last").sort_values(key).astype(object)
    return rows.where(rows.notna(), "").itertuples(index=False)  # type: ignore[no-any-return]


def comparison_table(summary: Mapping[str, Any], *, slides: bool) -> str:
    """Render what `summary` returns, recipe by recipe, as Markdown for a terminal.

    Parameters
    ----------
    summary : dict
        As ``summary.json`` holds it.
    slides : bool
        Whether to add the difference that the slides report, beside their own recipe.
    """
    parts = []
    for recipe, part in summary.items():
        rows = CLAIMS.assign(
            **pd.DataFrame([part[cell.mechanism][cell.output][cell.metric] for cell in SLIDES])
            .rename(columns={"gauss": "reference", "t": "other"})
            .rename(columns={"diff_low": "low", "diff_high": "high"})
            .astype(float),
            reference_half=np.nan,
            other_half=np.nan,
        )
        columns = {**_CELL, **_GAUSS, **_T, **_difference(rows), **_VERDICT}
        if slides and recipe == SLIDES_RECIPE:
            columns |= _CLAIM
        parts.append(f"Recipe `{recipe}`:\n\n{formats.table(texts(rows, columns), names=3)}")
    return "\n\n".join(parts)


def answer(scores: pd.DataFrame, *, dataset: str) -> dict[str, Any]:
    """Return what the first screen of the page says, and the README.

    Parameters
    ----------
    scores : DataFrame
        As in `study.report.runs.Metrics`.
    dataset : str
        Beside the slides stands only what was run on ``mnist``.
    """
    compared = compare_models(scores)
    recipes = list(scores.recipe.unique())
    main = compared[(compared.metric == "mse") & (compared.output == "imputation")]
    words = [_verdict(row) for row in main.itertuples()]
    cited = SLIDES_RECIPE if SLIDES_RECIPE in recipes else recipes[0]
    slides = dataset == "mnist" and cited == SLIDES_RECIPE
    cells = CLAIMS.merge(compared[compared.recipe == cited], on=list(CELL))
    cells = cells[cells.output == "imputation"].sort_values("mechanism", kind="stable")
    ours = {**_GAUSS, **_CLAIMED_T, **_T} if slides else {**_GAUSS, **_T}
    columns = {k: v for k, v in _CELL.items() if k != "output"}
    columns |= {**(_CLAIMED_GAUSS if slides else {}), **ours, **_difference(cells), **_VERDICT}
    held = against_slides(scores) if slides else None
    others = [recipe for recipe in recipes if recipe != SLIDES_RECIPE] if slides else []
    return {
        "dataset": "MNIST" if dataset == "mnist" else f"`{dataset}`",
        "on_mnist": dataset == "mnist",
        "seeds": sorted(scores.seed.unique().tolist()),
        "recipes": recipes,
        "cited": cited,
        "verdicts": {word: words.count(word) for word in (BETTER, WORSE, SAME, UNKNOWN)},
        "least": (main["low"].fillna(main["diff"]) / main.reference).min(),
        "most": (main["high"].fillna(main["diff"]) / main.reference).max(),
        "imputation": texts(cells, columns),
        "held": None if held is None else _counts(held),
        "changes": [
            next(change[_at(change, "random", "imputation", "mse")].itertuples())
            for change in (recipe_change(scores, recipe) for recipe in others)
        ],
    }


def against_slides(scores: pd.DataFrame) -> pd.DataFrame:
    """Hold the runs with the slides' recipe to the slides' table, cell by cell.

    Returns
    -------
    DataFrame
        `CLAIMS`, the numbers of `study.report.verdicts.compare`, and: ``off_gauss`` and
        ``off_t``, how far the mean error (MSE, or 1 - SSIM) lies from theirs, relative to theirs;
        ``inside``, whether their difference lies inside our interval; ``distance`` and
        ``chance``, from `study.report.verdicts.spread`; ``reaching``, how many single pairs of
        runs differ at least as far in their direction.
    """
    own = scores[scores.recipe == SLIDES_RECIPE]
    held = CLAIMS.merge(compare_models(own), on=list(CELL))
    for model, mean in (("gauss", "reference"), ("t", "other")):
        claimed = _error(held, f"claimed_{model}")
        held[f"off_{model}"] = _error(held, mean) / claimed - 1
    held["inside"] = held.claim.between(held.low, held.high)
    held["distance"], held["chance"] = spread(held.claim, held["diff"], held.sd, held.n)
    own = own[own.region == "image"]
    pairs = own.pivot(index=[*CELL, "seed"], columns="model", values="value").reset_index()
    pairs = CLAIMS.merge(pairs, on=list(CELL)).eval("reaches = (t - gauss) / claim >= 1")
    return held.merge(pairs.groupby(list(CELL)).reaches.sum().reset_index(), on=list(CELL))


def recipe_change(scores: pd.DataFrame, recipe: str) -> pd.DataFrame:
    """Set the Gaussian model trained with `recipe` beside that with the slides', by cell."""
    own = scores[(scores.model == "gauss") & (scores.region == "image")]
    sides = (SLIDES_RECIPE, recipe)
    change = CLAIMS.merge(paired(own, CELL, side="recipe", sides=sides), on=list(CELL))
    return change.assign(recipe=recipe)


def page(
    metrics: Metrics,
    histories: pd.DataFrame,
    images: OverImages,
    params: Mapping[str, Any],
    *,
    findings: pd.DataFrame,
    imputers: pd.DataFrame,
) -> dict[str, Any]:
    """Return all that ``report.md.j2`` says.

    Parameters
    ----------
    metrics, images
        As from `study.report.runs`.
    histories : DataFrame
        As from `study.report.runs`; also of other models than the two, if their numbers are
        shown.
    params : dict
        The params that the runs were made with; all of them are shown.
    findings, imputers : DataFrame
        Tables of texts: what the sweep finds, and which imputer to use; empty ones are left out.
    """
    first = answer(metrics.scores, dataset=params["dataset"])
    slides = first["held"] is not None
    compared = compare_models(metrics.scores)
    return {
        **first,
        "params": params,
        "reports": "",
        "looks": len(CLAIMS) * len(first["recipes"]),
        "source": SOURCE,
        "tolerance": TOLERANCE,
        "shown": first["recipes"][-1],
        "by_recipe": _recipes_table(compared, params["train"]),
        "environments": _environments(histories),
        "all_params": _params_table(params),
        "tables": {
            recipe: _results_table(
                compared[compared.recipe == recipe], slides=slides and recipe == SLIDES_RECIPE
            )
            for recipe in first["recipes"]
        },
        "images": images,
        "over_images": _over_images(compared, images),
        "claims": _claims_table(metrics.scores) if slides else None,
        "spreads": _spread_table(metrics.scores) if slides and len(first["seeds"]) > 1 else None,
        "changes_by_cell": {
            change.recipe: _change_table(recipe_change(metrics.scores, change.recipe))
            for change in first["changes"]
        },
        "findings": findings,
        "imputers": imputers,
        "bounds": _bounds_table(compared),
        "latent": _latent_table(metrics.latent),
        "others": sorted(images.outliers.seed.unique().tolist()),
        "outliers": _outliers_table(images.outliers),
    }


def _counts(held: pd.DataFrame) -> dict[str, int]:
    return {
        "cells": len(held),
        "gauss": int((held.off_gauss.abs() <= TOLERANCE).sum()),
        "t": int((held.off_t.abs() <= TOLERANCE).sum()),
        "inside": int(held.inside.sum()),
        "reaching": int(held.reaches.sum()),
        "pairs": int(held.n.sum()),
    }


def _recipes_table(compared: pd.DataFrame, train: Mapping[str, Any]) -> pd.DataFrame:
    rows = []
    for recipe, part in compared.groupby("recipe", sort=False):
        schedule = train[recipe]["schedule"].replace("_", "-")
        row = {"recipe": f"`{recipe}`", "trained": f"{train[recipe]['epochs']} epochs, {schedule}"}
        for mechanism in MECHANISMS:
            cell = next(part[_at(part, mechanism, "imputation", "mse")].itertuples())
            size = formats.relative(cell.diff, cell.low, cell.high, cell.reference)
            name = formats.MECHANISMS[mechanism]
            row[f"imputation MSE, {name}"] = f"{size}, {_verdict(cell)}"
        elbo = next(part[part.metric == "elbo"].itertuples())
        row["test ELBO, nats"] = f"{_size(elbo)}, {_verdict(elbo)}"
        cells = CLAIMS.merge(part, on=list(CELL))
        words = [_verdict(cell) for cell in cells.itertuples()]
        for word in (BETTER, WORSE, SAME, UNKNOWN):
            row[f"cells of {len(words)}: {word}"] = str(words.count(word))
        rows.append(row)
    table = pd.DataFrame(rows)
    return table.loc[:, (table != "0").any()]


def _environments(histories: pd.DataFrame) -> pd.DataFrame:
    runs = histories.drop_duplicates(list(RUN))
    groups = runs.groupby(["recipe", *ENVIRONMENT], sort=False).size()
    table = groups.rename("runs").reset_index().astype(str)
    return table.assign(recipe=[f"`{recipe}`" for recipe in table.recipe])


def _params_table(params: Mapping[str, Any]) -> pd.DataFrame:
    flat = pd.json_normalize(dict(params)).iloc[0].items()
    return pd.DataFrame(
        [
            {"param": f"`{k}`", "value": f"`{v:g}`" if isinstance(v, float) else f"`{v}`"}
            for k, v in flat
        ]
    )


def _results_table(compared: pd.DataFrame, *, slides: bool) -> pd.DataFrame:
    rows = pd.concat([CLAIMS, WINDOWED]).merge(compared, on=list(CELL))
    ours = {**_GAUSS, **_T}
    if slides:
        ours = {**_CLAIMED_GAUSS, **_GAUSS, **_CLAIMED_T, **_T}
    return texts(rows, {**_CELL, **ours, **_difference(rows), **_VERDICT})


def _over_images(compared: pd.DataFrame, images: OverImages) -> pd.DataFrame:
    found = images.intervals.assign(word=[_verdict(row) for row in images.intervals.itertuples()])
    found["half"] = (found.high - found.low) / 2
    key = ["recipe", *CELL]
    groups = found.groupby(key, sort=False)
    counted = groups.agg(
        half=("half", "median"),
        better=("word", lambda words: (words == BETTER).sum()),
        worse=("word", lambda words: (words == WORSE).sum()),
        runs=("word", "size"),
    ).reset_index()
    rows = _in_order(compared).merge(counted, on=key)
    (size,) = _difference(rows).items()
    columns = {
        **_RECIPE,
        **_CELL,
        f"over seeds: {size[0]}": size[1],
        "over images: ±": lambda row: formats.number(row.half, row.metric),
        "over images: t better": lambda row: f"{row.better} of {row.runs}",
        "t worse": lambda row: f"{row.worse} of {row.runs}",
    }
    return texts(rows, columns)


def _claims_table(scores: pd.DataFrame) -> pd.DataFrame:
    return texts(
        against_slides(scores),
        {
            **_CELL,
            "Gaussian: error against the slides'": lambda row: _reproduced(row.off_gauss),
            "t prior: error against the slides'": lambda row: _reproduced(row.off_t),
            "slides' difference inside our interval": lambda row: (
                NONE if np.isnan(row.low) else "yes" if row.inside else "no"
            ),
            "single pairs that differ as far": lambda row: f"{row.reaches} of {row.n}",
        },
    )


def _spread_table(scores: pd.DataFrame) -> pd.DataFrame:
    rows = against_slides(scores)
    return texts(
        rows,
        {
            **_CELL,
            **_CLAIM,
            **_difference(rows),
            "sd of one pair": lambda row: formats.number(row.sd, row.metric),
            "slides' distance in sd": lambda row: f"{row.distance:.1f}",
            "chance of a pair": lambda row: formats.chance(row.chance),
        },
    )


def _change_table(change: pd.DataFrame) -> pd.DataFrame:
    recipe = change.recipe[0]
    ((_, size),) = _difference(change).items()
    several = " [95 %]" if change.low.notna().any() else ""
    return texts(
        change,
        {
            **_CELL,
            f"Gaussian, `{SLIDES_RECIPE}`": lambda row: formats.number(row.reference, row.metric),
            f"Gaussian, `{recipe}`": lambda row: formats.number(row.other, row.metric),
            f"change{several}": size,
            "relative": lambda row: formats.relative(row.diff, row.low, row.high, row.reference),
            **_CLAIM,
            "relative to their VAE": lambda row: formats.percent(row.claim / row.claimed_gauss),
            "change / slides'": lambda row: formats.times(row.diff / row.claim),
        },
    )


def _bounds_table(compared: pd.DataFrame) -> pd.DataFrame:
    terms = pd.DataFrame({"metric": list(BOUNDS)})
    parts = [terms.merge(part, on="metric") for _, part in compared.groupby("recipe", sort=False)]
    rows = pd.concat(parts)
    name: Columns = {"of a test image": lambda row: BOUNDS[row.metric]}
    return texts(rows, {**_RECIPE, **name, **_GAUSS, **_T, **_difference(rows), **_VERDICT})


def _latent_table(latent: pd.DataFrame) -> pd.DataFrame:
    counts = latent[latent.what.isin(["active", "dead_units"])]
    # As an image passes the layers: the encoder's, which are later in the alphabet, first.
    rows = paired(counts, ["recipe", "what", "part"]).assign(metric="units")
    rows["coder"] = rows.part.str.startswith("decoder")
    rows = rows.sort_values(["what", "coder", "part"], kind="stable")
    name: Columns = {
        "per model": lambda row: (
            f"dead units, {row.part.replace('.', ' ')}" if row.part else "active coordinates"
        )
    }
    columns = {**_RECIPE, **name, **_GAUSS, **_T, **_difference(rows)}
    kl = latent[latent.what == "kl"].copy()
    kl["place"] = kl.groupby(list(RUN)).value.rank(method="first", ascending=False)
    means = kl.groupby(["recipe", "model", "place"]).value.mean()
    tables = []
    for recipe in latent.recipe.unique():
        table = texts(rows[rows.recipe == recipe], columns)
        shares = [", ".join(f"{x:.1f}" for x in means[recipe][model]) for model in formats.MODELS]
        table.loc[len(table)] = [f"`{recipe}`", "KL per coordinate, sorted", *shares, NONE]
        tables.append(table)
    return pd.concat(tables)


def _outliers_table(outliers: pd.DataFrame) -> pd.DataFrame:
    rows = _in_order(paired(outliers, ["recipe", *CELL]))
    return texts(rows, {**_RECIPE, **_CELL, **_GAUSS, **_T, **_difference(rows), **_VERDICT})


def _in_order(compared: pd.DataFrame) -> pd.DataFrame:
    """Keep the slides' cells and the ELBO, in this order, recipe by recipe."""
    cells = pd.concat(
        [CLAIMS[list(CELL)], pd.DataFrame([("none", "", "elbo")], columns=list(CELL))]
    )
    parts = [cells.merge(part, on=list(CELL)) for _, part in compared.groupby("recipe", sort=False)]
    return pd.concat(parts) if parts else compared


def _difference(rows: pd.DataFrame) -> Columns:
    """Head the column of the difference: with one seed it has no interval."""
    return {"t − Gaussian" + " [95 %]" * bool(rows.low.notna().any()): _size}


def _size(row: Any) -> str:
    return formats.difference(row.diff, row.low, row.high, row.metric)


def _mean(row: Any, side: str) -> str:
    return formats.plus_minus(getattr(row, side), getattr(row, f"{side}_half"), row.metric)


def _verdict(row: Any) -> str:
    return verdict(row.metric, row.low, row.high) if row.metric in LOWER_IS_BETTER else NONE


def _reproduced(off: float) -> str:
    return formats.percent(off) + ("" if abs(off) <= TOLERANCE else ", not reproduced")


def _at(frame: pd.DataFrame, mechanism: str, output: str, metric: str) -> Any:
    return (frame[list(CELL)] == [mechanism, output, metric]).all(axis=1)


def _error(frame: pd.DataFrame, column: str) -> Any:
    return frame[column].where(frame.metric == "mse", 1 - frame[column])
