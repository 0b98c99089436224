"""The page ``report.md``: does a t prior fill in missing pixels better than a Gaussian one?"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from study.report import formats, runs
from study.report.factors import Factors
from study.report.factors import section as gap_of
from study.report.formats import NONE, texts
from study.report.runs import CELL, SLIDES_RECIPE, Metrics
from study.report.verdicts import (
    BETTER,
    LOWER_IS_BETTER,
    WORDS,
    WORSE,
    detectable,
    paired,
    spread,
    verdict,
)
from study.slides import SLIDES, SOURCE

#: How near a mean must come to the slides' number to count as reproduced. The slides report one
#: run, and print neither its seed nor the sizes of the masks.
TOLERANCE = 0.05
BOUNDS = {
    "elbo": "ELBO", "reconstruction": "its reconstruction", "kl": "its KL",
    "log_likelihood": "log-likelihood", "ess": "its effective draws",
    "ess_low": "its effective draws, lowest 5 %",
}  # fmt: skip
#: The slides' table, and what it claims: t - gauss.
CLAIMS = pd.DataFrame(SLIDES.keys()).join(pd.DataFrame(SLIDES.values()).add_prefix("claimed_"))
CLAIMS["claim"] = CLAIMS.claimed_t - CLAIMS.claimed_gauss
#: What is shown, in order: that table, it with windowed SSIM, and bounds on complete images.
ROWS = pd.concat(
    [
        CLAIMS,
        CLAIMS.loc[CLAIMS.metric == "ssim_global", list(CELL)].assign(metric="ssim"),
        pd.DataFrame({"mechanism": "none", "output": "", "metric": list(BOUNDS)}),
    ],
    ignore_index=True,
)
#: The numbers of ``summary.json``, and what they are in a comparison.
NUMBERS = {
    "gauss": "reference", "t": "other", "diff": "diff", "diff_low": "low", "diff_high": "high",
}  # fmt: skip

Columns = Mapping[str, Callable[[Any], str]]

# Columns of the page's tables: what each says of a row of a comparison.
_RECIPE: Columns = {"recipe": lambda row: f"`{row.recipe}`"}
_NAMES: Columns = {
    "missing": lambda row: formats.MECHANISMS[row.mechanism],
    "output": lambda row: row.output or NONE,
    "metric": lambda row: formats.METRICS[row.metric],
}
_SIDES: Columns = {
    "Gaussian": lambda row: _mean(row, "reference"),
    "t prior": lambda row: _mean(row, "other"),
    "t − Gaussian": lambda row: _difference(row),
}
_VERDICT: Columns = {"t prior is": lambda row: _verdict(row)}
_CLAIM: Columns = {"slides: t − VAE": lambda row: formats.signed(row.claim, "slides")}
_SIDES_BESIDE_SLIDES: Columns = {
    "slides: VAE": lambda row: formats.number(row.claimed_gauss, "slides"),
    "Gaussian": _SIDES["Gaussian"],
    "slides: t": lambda row: formats.number(row.claimed_t, "slides"),
    **_SIDES,
}
_HELD: Columns = {
    "Gaussian: error against the slides'": lambda row: _off(row.off_gauss),
    "t prior: error against the slides'": lambda row: _off(row.off_t),
    "slides' difference in our interval": lambda row: (
        NONE if np.isnan(row.low) else "yes" if row.inside else "no"
    ),
    "single pairs that differ as far": lambda row: f"{row.reaches} of {row.n}",
}
_SPREAD: Columns = {
    "t − Gaussian": _SIDES["t − Gaussian"],
    "sd of one pair": lambda row: formats.number(row.sd, row.metric),
    "slides' distance in sd": lambda row: f"{row.distance:.1f}",
    "chance of a pair": lambda row: formats.chance(row.chance),
}
_CHANGE: Columns = {
    "Gaussian, `slides`": lambda row: formats.number(row.reference, row.metric),
    "Gaussian, this recipe": lambda row: formats.number(row.other, row.metric),
    "change": lambda row: _difference(row),
    "relative": lambda row: formats.relative(row.diff, row.low, row.high, row.reference),
    **_CLAIM,
    "relative to their VAE": lambda row: formats.percent(row.claim / row.claimed_gauss),
    "change / slides'": lambda row: formats.times(row.diff / row.claim),
}
_OVER_IMAGES: Columns = {
    "t − Gaussian": _SIDES["t − Gaussian"],
    "over images: ±": lambda row: formats.number(row.half, row.metric),
    "over images: t better": lambda row: f"{row.better} of {row.n}",
    "over images: t worse": lambda row: f"{row.worse} of {row.n}",
}
_CHANGED: Columns = {
    "from the Gaussian to the t prior": lambda row: (
        f"{_difference(row)} nats" if row.metric == "elbo" else _CHANGE["relative"](row)
    )
}
_POWER: Columns = {
    "found four times in five from": lambda row: (
        f"± {formats.number(row.detectable, row.metric)} nats"
        if row.metric == "elbo"
        else f"± {formats.share(row.detectable / row.reference)} %"
    )
}
_BOUND: Columns = {"of a test image": lambda row: BOUNDS[row.metric]}
_LATENT: Columns = {"per model": lambda row: _latent_name(row.what, row.part)}


def compare_models(scores: pd.DataFrame) -> pd.DataFrame:
    """Set both models side by side, paired by seed: recipe by recipe what is in `ROWS`."""
    return _in_order(paired(scores[scores.region == "image"], ["recipe", *CELL]))


def summary(scores: pd.DataFrame) -> dict[str, Any]:
    """Return what ``summary.json`` holds: the slides' table over seeds, per recipe.

    Returns
    -------
    dict
        Per recipe ``{mechanism: {output: {metric: numbers}}, "elbo": {term: numbers},
        "likelihood": {term: numbers}}``, where numbers are those of `NUMBERS`, None where one
        seed gives none.
    """
    tables: dict[str, Any] = {}
    for row in compare_models(scores).itertuples():
        table = tables.setdefault(row.recipe, {})
        for name in (row.mechanism, row.output) if row.output else (runs.BOUNDS[row.metric],):
            table = table.setdefault(name, {})
        values = {name: getattr(row, column) for name, column in NUMBERS.items()}
        table[row.metric] = {k: None if np.isnan(v) else v for k, v in values.items()}
    return tables


def comparison_table(scores: pd.DataFrame) -> str:
    """Render the slides' cells, recipe by recipe, as Markdown for a terminal."""
    cells = compare_models(scores).dropna(subset="claim")
    return "\n\n".join(
        f"Recipe `{recipe}`:\n\n{formats.table(_table(rows, _NAMES, _SIDES, _VERDICT), names=3)}"
        for recipe, rows in cells.groupby("recipe", sort=False)
    )


def score_rows(scores: pd.DataFrame, imputers: pd.DataFrame) -> Iterable[tuple[Any, ...]]:
    """Return the rows of ``scores.csv``, sorted: of the runs, and of the imputers beside them.

    A single pass of the imputers with a model that is among the runs has been scored already.
    """
    key = list(runs.SCORE_COLUMNS[:-1])
    both = pd.concat([frame.astype({"seed": "Int64"}) for frame in (imputers, scores)])
    rows = both.drop_duplicates(key, keep="last").sort_values(key).astype(object)
    return rows.where(rows.notna(), "").itertuples(index=False)  # type: ignore[no-any-return]


def answer(
    scores: pd.DataFrame, *, dataset: str, control: Mapping[str, Any], factors: Factors
) -> dict[str, Any]:
    """Return what ``result.md.j2`` says: the first screen of the page, and the README.

    Parameters
    ----------
    scores : DataFrame
        As in `study.report.runs.Metrics`.
    control : mapping
        As from `study.report.control.section`.
    factors : Factors
        As from `study.report.factors.read_factors`.
    dataset : str
        Beside the slides stands only what was run on ``mnist``.
    """
    compared = compare_models(scores)
    recipes = list(compared.recipe.unique())
    main = _main(compared)[lambda rows: rows.metric == "mse"]
    found = [detectable(row.sd, row.n) / row.reference for row in main.itertuples()]
    words = [_verdict(row) for row in main.itertuples()]
    told = main.assign(verdict=words, missing=main.mechanism.map(formats.MECHANISMS))
    cited = SLIDES_RECIPE if SLIDES_RECIPE in recipes else recipes[0]
    slides = dataset == "mnist" and cited == SLIDES_RECIPE
    cells = compared[(compared.recipe == cited) & (compared.output == "imputation")]
    cells = cells[cells.metric != "ssim"].sort_values("mechanism", kind="stable")
    names = {name: _NAMES[name] for name in ("missing", "metric")}
    return {
        "dataset": "MNIST" if dataset == "mnist" else f"`{dataset}`",
        "on_mnist": dataset == "mnist",
        "seeds": sorted(scores.seed.unique().tolist()),
        "recipes": recipes,
        "cited": cited,
        "verdicts": {word: words.count(word) for word in WORDS},
        "told": told[told.verdict.isin((BETTER, WORSE))].to_dict("records"),
        "least": (main["low"].fillna(main["diff"]) / main.reference).min(),
        "most": (main["high"].fillna(main["diff"]) / main.reference).max(),
        "detectable": np.max(found),
        "control": control,
        "imputation": _table(cells, names, _SIDES_BESIDE_SLIDES if slides else _SIDES, _VERDICT),
        "held": _counts(against_slides(scores)) if slides else None,
        "gap": gap_of(factors, scores, tolerance=TOLERANCE) if slides else None,
    }


def against_slides(scores: pd.DataFrame) -> pd.DataFrame:
    """Hold the runs with the slides' recipe to the slides' table, cell by cell.

    Returns
    -------
    DataFrame
        As from `compare_models`, and: ``off_gauss`` and ``off_t``, how far the mean error (MSE,
        or 1 - SSIM) lies from theirs, relative to theirs; ``inside``, whether their difference
        lies inside our interval; ``distance`` and ``chance``, from
        `study.report.verdicts.spread`; ``reaches``, how many single pairs of runs differ at least
        as far in their direction.
    """
    own = scores[(scores.recipe == SLIDES_RECIPE) & (scores.region == "image")]
    held = compare_models(own).dropna(subset="claim").copy()
    for model, mean in (("gauss", "reference"), ("t", "other")):
        held[f"off_{model}"] = _error(held, mean) / _error(held, f"claimed_{model}") - 1
    held["inside"] = held.claim.between(held["low"], held["high"])
    held["distance"], held["chance"] = spread(held.claim, held["diff"], held.sd, held.n)
    pairs = own.pivot(index=[*CELL, "seed"], columns="model", values="value").reset_index()
    pairs = CLAIMS.merge(pairs, on=list(CELL))
    pairs["reaches"] = (pairs.t - pairs.gauss) / pairs.claim >= 1
    return held.merge(pairs.groupby(list(CELL)).reaches.sum(), on=list(CELL))


def recipe_changes(scores: pd.DataFrame) -> pd.DataFrame:
    """Set the Gaussian model of each other recipe beside that of the slides', paired by seed."""
    own = scores[(scores.model == "gauss") & (scores.region == "image")]
    others = [recipe for recipe in scores.recipe.unique() if recipe != SLIDES_RECIPE]
    changes = [
        paired(own, CELL, side="recipe", sides=(SLIDES_RECIPE, recipe)).assign(recipe=recipe)
        for recipe in others
    ]
    return _in_order(pd.concat(changes)) if changes else compare_models(scores)[:0]


def page(
    metrics: Metrics,
    histories: pd.DataFrame,
    images: pd.DataFrame,
    params: Mapping[str, Any],
    *,
    findings: pd.DataFrame,
    imputers: Mapping[str, Any],
    control: Mapping[str, Any],
    factors: Factors,
) -> dict[str, Any]:
    """Return all that ``report.md.j2`` says.

    Parameters
    ----------
    metrics, images
        As from `study.report.runs`.
    histories : DataFrame
        As from `study.report.runs`; also of other models, whose numbers are shown.
    params : dict
        The params that the runs were made with; all of them are shown.
    findings : DataFrame
        Texts, what the sweep finds; left out where empty.
    imputers : dict
        What ``imputers.md.j2`` says; left out where empty.
    control : dict
        What ``control.md.j2`` says.
    factors : Factors
        As from `study.report.factors.read_factors`.
    """
    first = answer(metrics.scores, dataset=params["dataset"], control=control, factors=factors)
    compared = compare_models(metrics.scores)
    sides = dict.fromkeys(first["recipes"], _SIDES)
    if first["held"]:
        sides[SLIDES_RECIPE] = _SIDES_BESIDE_SLIDES
    means = ("outliers_gauss", "outliers_t")
    outliers = images.melt(["recipe", *CELL, "seed"], means, var_name="model").dropna()
    outlying = _in_order(paired(outliers, ["recipe", *CELL], sides=means))
    held = against_slides(metrics.scores) if first["held"] else compared[:0]
    changes = recipe_changes(metrics.scores) if first["held"] else compared[:0]
    return {
        **first,
        "params": params,
        "reports": "",
        "source": SOURCE,
        "tolerance": TOLERANCE,
        "looks": len(SLIDES) * len(first["recipes"]),
        "shown": first["recipes"][-1],
        "by_recipe": _table(_main(compared), _RECIPE, _NAMES, _CHANGED, _VERDICT),
        "power": _table(_detectable(_main(compared)), _RECIPE, _NAMES, _POWER),
        "counts": _counted(compared.dropna(subset="claim")),
        "environments": runs.environments(histories),
        "all_params": _params_table(params),
        "tables": {
            recipe: _table(rows[rows.mechanism != "none"], _NAMES, sides[recipe], _VERDICT)
            for recipe, rows in compared.groupby("recipe", sort=False)
        },
        "images": images.iloc[0].to_dict(),
        "chosen_on": images.seed[images.outliers_gauss.isna()].iloc[0],
        "over_images": _over_images(compared, images),
        "claims": _table(held, _NAMES, _HELD),
        "spreads": _table(held, _NAMES, _CLAIM, _SPREAD),
        "change_tables": {
            recipe: _table(rows, _NAMES, _CHANGE)
            for recipe, rows in changes.dropna(subset="claim").groupby("recipe", sort=False)
        },
        "findings": findings,
        "imputers": imputers,
        "bounds": _table(compared[compared.mechanism == "none"], _RECIPE, _BOUND, _SIDES, _VERDICT),
        "latent": _latent_table(metrics.latent),
        "others": sorted(outliers.seed.unique().tolist()),
        "outliers": _table(_shown(outlying), _RECIPE, _NAMES, _SIDES, _VERDICT),
    }


def _in_order(comparison: pd.DataFrame) -> pd.DataFrame:
    parts = [ROWS.merge(p, on=list(CELL)) for _, p in comparison.groupby("recipe", sort=False)]
    return pd.concat(parts, ignore_index=True) if parts else ROWS.merge(comparison, on=list(CELL))


def _shown(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep the slides' cells and the ELBO."""
    return rows[rows.claim.notna() | (rows.metric == "elbo")]


def _main(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep what the answer is about, the error of imputations, and the ELBO."""
    imputed = (rows.metric == "mse") & (rows.output == "imputation")
    return rows[imputed | (rows.metric == "elbo")]


def _detectable(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(detectable=[detectable(row.sd, row.n) for row in rows.itertuples()])


def _counted(rows: pd.DataFrame) -> pd.DataFrame:
    """Count the verdicts per recipe."""
    words = pd.Series([_verdict(row) for row in rows.itertuples()], rows.index)
    counts = pd.crosstab("`" + rows.recipe + "`", "cells: " + words)
    return counts.astype(str).rename_axis("recipe").reset_index()


def _counts(held: pd.DataFrame) -> dict[str, int]:
    return {
        "cells": len(held),
        "gauss": int((held.off_gauss.abs() <= TOLERANCE).sum()),
        "t": int((held.off_t.abs() <= TOLERANCE).sum()),
        "inside": int(held.inside.sum()),
        "reaching": int(held.reaches.sum()),
        "pairs": int(held.n.sum()),
    }


def _params_table(params: Mapping[str, Any]) -> pd.DataFrame:
    flat = pd.json_normalize(dict(params)).iloc[0]
    values = [f"`{value:g}`" if isinstance(value, float) else f"`{value}`" for value in flat]
    return pd.DataFrame({"param": "`" + flat.index + "`", "value": values})


def _over_images(compared: pd.DataFrame, intervals: pd.DataFrame) -> pd.DataFrame:
    words = pd.Series([_verdict(row) for row in intervals.itertuples()])
    half = (intervals["high"] - intervals["low"]) / 2
    found = intervals.assign(half=half, better=words == BETTER, worse=words == WORSE)
    key = ["recipe", *CELL]
    found = found.groupby(key).agg({"half": "median", "better": "sum", "worse": "sum"})
    return _table(_shown(compared).merge(found, on=key), _RECIPE, _NAMES, _OVER_IMAGES)


def _latent_table(latent: pd.DataFrame) -> pd.DataFrame:
    counts = latent[latent.what.isin(["active", "dead_units"])]
    rows = paired(counts, ["recipe", "what", "part"]).assign(metric="units")
    # As an image passes the layers: the encoder's before the decoder's.
    passed = rows.part.str.startswith("decoder")
    rows = rows.assign(passed=passed).sort_values(["what", "passed", "part"], kind="stable")
    kl = latent[latent.what == "kl"].copy()
    kl["place"] = kl.groupby(list(runs.RUN)).value.rank(method="first", ascending=False)
    means = kl.groupby(["recipe", "model", "place"]).value.mean()
    tables = []
    for recipe in latent.recipe.unique():
        table = _table(rows[rows.recipe == recipe], _RECIPE, _LATENT, _SIDES)
        shares = [", ".join(f"{x:.1f}" for x in means[recipe][model]) for model in formats.MODELS]
        table.loc[len(table)] = [f"`{recipe}`", "KL per coordinate, sorted", *shares, NONE]
        tables.append(table)
    return pd.concat(tables)


def _latent_name(what: str, part: str) -> str:
    return f"dead units, {part.replace('.', ' ')}" if what == "dead_units" else "active coordinates"


def _table(rows: pd.DataFrame, *columns: Columns) -> pd.DataFrame:
    """Turn a comparison into texts; differences that have intervals say so in their heads."""
    table = texts(rows, {name: text for part in columns for name, text in part.items()})
    heads = ("t − Gaussian", "change") if rows["low"].notna().any() else ()
    return table.rename(columns={head: f"{head} [95 %]" for head in heads})


def _mean(row: Any, side: str) -> str:
    half = getattr(row, f"{side}_half", np.nan)
    return formats.plus_minus(getattr(row, side), half, row.metric)


def _difference(row: Any) -> str:
    return formats.difference(row.diff, row.low, row.high, row.metric)


def _verdict(row: Any) -> str:
    return verdict(row.metric, row.low, row.high) if row.metric in LOWER_IS_BETTER else NONE


def _off(share: float) -> str:
    return formats.percent(share) + ("" if abs(share) <= TOLERANCE else ", not reproduced")


def _error(frame: pd.DataFrame, column: str) -> Any:
    return frame[column].where(frame.metric == "mse", 1 - frame[column])
