"""The page ``imputation.md``: which imputer to use when, computed from the tracked results."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from study.report import formats
from study.report.budgets import budgets, case_name
from study.report.figures import imputation as figures
from study.report.formats import MODELS, NONE, duration, share, texts
from study.report.imputers import BASELINES, GROUPS, SOURCES, Imputers
from study.report.ranking import (
    ACCURACY,
    COMPARED,
    COVERAGE,
    CRPS,
    FLAGGED,
    MSE,
    NOMINAL,
    RELATIVE,
    SCORES,
    SECONDS,
    SSIM,
    Score,
    emphasised,
    latents,
    leaders,
    pairs,
)
from study.report.runs import LEAST_CODE, codes, environments
from study.report.verdicts import UNKNOWN, WORDS
from study.trials.comparison import MECHANISMS

#: How far from the best a method may be that is recommended for its speed.
NEAR = 0.10
#: How far from what they promise the intervals of a method may be that are called honest.
TOLERANCE = 0.03
#: Stands beside models whose code carries nothing.
MARK = " †"
WANTS = {
    "best": "the best imputations",
    "ssim": "the best SSIM",
    "baseline": "no VAE",
    "unfitted": "neither a VAE nor training images",
    "inference": "a VAE trained on complete images",
    "slides": "a single pass with it, the slides' way",
    "trained": "a model trained to impute",
    "quick": f"speed: the fastest within {NEAR:.0%} of the best".replace("%", " %"),
    "honest": f"honest {NOMINAL:.0%} intervals".replace("%", " %"),
}
#: Those of the short table.
FIRST = ("best", "baseline", "inference", "quick", "honest")
#: Baselines that fit nothing to training images.
UNFITTED = ("zero", "biharmonic")
#: What the best method of a group was to reach with every model, on MNIST with the masks of
#: ``params.yaml``; without a bound, to be ahead of every baseline.
TARGETS = (
    ("inference", "random", MSE, 0.0044),
    ("inference", "square", MSE, 0.0105),
    ("trained", "random", MSE, 0.0014),
    ("trained", "square", MSE, 0.0078),
    ("trained", "random", SSIM, 0.972),
    ("trained", "square", SSIM, 0.91),
    ("trained", "random", MSE, None),
    ("trained", "square", MSE, None),
)
#: Other ways to be missing, as ``params.yaml`` calls them.
OTHERS = {
    "half-top": "top half", "half-bottom": "bottom half", "half-left": "left half",
    "half-right": "right half", "scanlines": "random rows", "squares": "several squares",
    "mar": "MAR", "mnar": "MNAR",
}  # fmt: skip
MISSING = formats.MECHANISMS


def imputers(tried: Imputers) -> dict[str, Any]:
    """Return what ``imputers.md.j2`` says on this page, in the report and in the README."""
    chosen = choices(tried)
    best, inference, slides = (
        chosen[chosen["want"] == want].set_index("mechanism")
        for want in ("best", "inference", "slides")
    )
    gains = {
        mechanism: {"imputer": row.imputer, "change": row.error / slides.error[mechanism] - 1}
        for mechanism, row in inference.iterrows()
        if mechanism in slides.index and slides.imputer[mechanism] not in (row.imputer, *row.others)
    }
    return {
        "choices": chosen,
        "best": best["imputer"].reindex(list(MECHANISMS), fill_value="").to_dict(),
        "gains": gains,
        "latents": _latents(tried.scores),
        "table": _short_table(chosen),
        "tied": bool(chosen.loc[chosen["want"].isin(FIRST), "others"].map(len).any()),
        **_seeds(tried),
    }


def page(
    tried: Imputers, histories: pd.DataFrame, params: Mapping[str, Any], work: pd.DataFrame
) -> dict[str, Any]:
    """Return all that ``imputation.md.j2`` says.

    `histories` are those of the models that were used, as from `study.report.runs`; `work` is what
    training work buys, as from `study.report.budgets`, maybe nothing; `params` holds ``dataset``,
    ``mask``, ``split``, ``infer``, ``masked`` and ``degrade``. Targets are MNIST's alone.
    """
    first = imputers(tried)
    shown = pd.concat([tried.scores, tried.left_out])[["imputer", "group", "method"]]
    shown = shown.drop_duplicates()
    ranked = shown["imputer"].isin(tried.scores["imputer"])
    carried = codes(histories)
    lost = carried[carried["lost"]]
    return {
        "params": params,
        "lacking": _lacking(tried, params),
        "imputers": first,
        "latents": {
            title: _marked_pairs(table, lost) for title, table in first["latents"]["tables"].items()
        },
        "figures": set(figures.planned(tried)),
        "untimed": list(shown["imputer"][ranked & ~shown["imputer"].isin(tried.times["imputer"])]),
        "choices": _choices_table(first["choices"]),
        "targets": _targets(tried.scores) if params["dataset"] == "mnist" else pd.DataFrame(),
        "digit": _digit(tried),
        "honest": _honest(tried.scores),
        "budgets": budgets(work),
        "scores": {MISSING[m]: _marked(_scores_table(tried, m), lost) for m in MECHANISMS},
        "draws": _draws(tried.draws, carried),
        "lost": _lost(lost),
        "degradation": {
            MISSING.get(m, m): _marked(_degradation(tried.degradation, m), lost)
            for m in (*MECHANISMS, "others")
        },
        "left_out": _left_out(tried.left_out),
        "rubin": _rubin(tried.rubin),
        "timing": tried.timing,
        "trained": environments(histories),
        "methods": {
            title: (group, set(shown.loc[shown["group"] == group, "method"]))
            for group, title in GROUPS.items()
        },
    }


def _lacking(tried: Imputers, params: Mapping[str, Any]) -> dict[str, list[int]]:
    """Name the seeds of each recipe that `params` asks for and no table has."""
    infer, masked = params["infer"], params["masked"]
    asked = {infer["recipe"]: infer["seeds"]}
    asked |= {name: masked["seeds"][name] for name in masked["networks"]}
    lacking = {
        recipe: [seed for seed in seeds if seed not in tried.seeds.get(recipe, ())]
        for recipe, seeds in asked.items()
    }
    return {recipe: seeds for recipe, seeds in lacking.items() if seeds}


def choices(tried: Imputers) -> pd.DataFrame:
    """Choose an imputer for each of `WANTS` and each mask; no row where nobody can give it.

    Columns are ``want``, ``mechanism``, ``imputer`` and ``others``, a list of those that it is not
    ahead of; texts ``mse``, ``ssim`` and ``covers``, Gaussian / t; ``error``, its mean MSE, and
    ``ratio``, that over the lowest of all; ``seconds``, and ``speed``, the best's over its own.
    """
    scores, index = tried.scores, ["mechanism", "imputer"]
    errors = MSE.of(scores).groupby(index)["value"].mean()
    columns = {"mse": MSE, "ssim": SSIM, "covers": COVERAGE}
    facts = pd.DataFrame({name: pairs(scores, score) for name, score in columns.items()})
    facts = facts.astype(object).fillna(NONE).assign(error=errors)
    facts = facts.join(tried.times.groupby("imputer")["seconds"].mean(), on="imputer")
    group, method, held = scores["group"], scores["method"], honesty(scores)["missing"]
    pools = {
        "best": (scores, MSE),
        "ssim": (scores, SSIM),
        "baseline": (scores[group == "baseline"], MSE),
        "unfitted": (scores[method.isin(UNFITTED)], MSE),
        "inference": (scores[group == "inference"], MSE),
        "slides": (scores[(group == "inference") & (method == "single_pass")], MSE),
        "trained": (scores[group == "trained"], MSE),
        "honest": (scores[scores["imputer"].isin(held.index[held])], CRPS),
    }
    rows = [
        (want, mechanism, leaders(pool, mechanism, score))
        for want, (pool, score) in pools.items()
        for mechanism in MECHANISMS
    ]
    lowest = facts["error"].groupby("mechanism").transform("min")
    near = facts[facts["error"] <= (1 + NEAR) * lowest].dropna(subset="seconds")
    fastest = near.groupby("mechanism")["seconds"].idxmin()
    rows += [("quick", mechanism, [imputer]) for mechanism, imputer in fastest]
    chosen = pd.DataFrame(
        [(want, mechanism, found[0], found[1:]) for want, mechanism, found in rows if found],
        columns=["want", *index, "others"],
    ).join(facts, on=index)
    best = chosen[chosen["want"] == "best"].set_index("mechanism")
    return chosen.assign(
        ratio=chosen["error"] / chosen["mechanism"].map(best["error"]),
        speed=chosen["mechanism"].map(best["seconds"]) / chosen["seconds"],
    )


def honesty(scores: pd.DataFrame) -> pd.DataFrame:
    """Tell whose 90 % intervals cover what they promise, under both masks and with every model.

    One row per imputer that draws: over all ``missing`` pixels, and over those ``grey`` in truth.
    """
    drawing = scores[scores["metric"] == COVERAGE.metric]
    # Rounded, because 0.93 - 0.9 is more than 0.03 in binary.
    drawing = drawing.assign(near=COVERAGE.off(drawing["value"]).round(9) <= TOLERANCE)
    groups = drawing.groupby(["imputer", "region"])
    held = groups["near"].all() & (groups["mechanism"].nunique() == len(MECHANISMS))
    return held.unstack(fill_value=False).reindex(columns=["missing", "grey"], fill_value=False)


def _short_table(chosen: pd.DataFrame) -> pd.DataFrame:
    def cell(row: Any) -> str:
        near = row.others[0] if len(row.others) == 1 else f"{len(row.others)} others"
        parts = [f"{row.imputer} ≈ {near}" if row.others else row.imputer, row.mse]
        parts += [f"{duration(row.seconds)} s"] * (row.seconds == row.seconds)
        parts += [f"covers {row.covers} %"] * (row.want == "honest")
        return ", ".join(parts)

    chosen = chosen.assign(cell=[cell(row) for row in chosen.itertuples()])
    wide = chosen.pivot(index="want", columns="mechanism", values="cell").fillna(NONE)
    wide = wide.reindex([want for want in FIRST if want in wide.index]).rename(index=WANTS)
    wide.columns = [f"{MISSING[mechanism]} missing" for mechanism in wide]
    return wide.reset_index(names="you want")


def _choices_table(chosen: pd.DataFrame) -> pd.DataFrame:
    return texts(chosen, {
        "you want": lambda row: WANTS[row.want],
        "missing": lambda row: MISSING[row.mechanism],
        "imputer": lambda row: row.imputer,
        "not ahead of": lambda row: ", ".join(row.others) or NONE,
        "MSE": lambda row: row.mse,
        "× the lowest": lambda row: f"{row.ratio:.3f}" if row.ratio == row.ratio else NONE,
        SSIM.title: lambda row: row.ssim,
        "seconds": lambda row: duration(row.seconds),
        "speed, the best's": lambda row: formats.times(row.speed),
    })  # fmt: skip


def _seeds(tried: Imputers) -> dict[str, Any]:
    """Name the seeds of all models, and of recipes that have fewer their own."""
    every = sorted(set().union(*tried.seeds.values()))
    fewer = {f"`{recipe}`": own for recipe, own in tried.seeds.items() if own != every}
    return {"seeds": every, "fewer": fewer}


def _latents(scores: pd.DataFrame) -> dict[str, Any]:
    """Say what comparing both latents found: by error, and score by score."""
    found = latents(scores)
    counts = pd.crosstab(found["title"], found["verdict"]).reindex(
        index=[title for title in COMPARED.values() if title in set(found["title"])],
        columns=WORDS, fill_value=0,
    )  # fmt: skip
    error = found[found["metric"] == MSE.metric]
    change = error["diff"] / error["reference"]
    of = {word: int((error["verdict"] == word).sum()) for word in WORDS}
    told = (found["verdict"] != UNKNOWN).sum()
    summary = counts.loc[:, [word for word in WORDS if word != UNKNOWN or counts[word].any()]]
    return {
        "n": len(error),
        "told": len(error) - of[UNKNOWN],
        "counts": of,
        "low": change.min(),
        "high": change.max(),
        "chance": told / 20,
        "pairs": told,
        "summary": summary.astype(str).reset_index(names="compared"),
        "tables": {
            title: _pairs_table(found[found["title"] == title]) for title in counts.index
        },
    }  # fmt: skip


def _pairs_table(found: pd.DataFrame) -> pd.DataFrame:
    """Show every pair of an imputer and a mask by one score: errors relative to the Gaussian's."""

    def difference(row: Any) -> str:
        if row.metric in RELATIVE:
            return formats.relative(row.diff, row.low, row.high, row.reference)
        return formats.difference(row.diff, row.low, row.high, row.metric)

    return texts(found, {
        "imputer": lambda row: row.imputer,
        "missing": lambda row: MISSING[row.mechanism],
        "seeds": lambda row: f"{row.n:g}",
        "Gaussian": lambda row: formats.number(row.reference, row.metric),
        "t prior": lambda row: formats.number(row.other, row.metric),
        "t − Gaussian": difference,
        "t prior is": lambda row: row.verdict,
    })  # fmt: skip


def _targets(scores: pd.DataFrame) -> pd.DataFrame:
    """Hold the best of each group against what it was to reach with every model."""
    rows = []
    baselines = scores["group"] == "baseline"
    for group, mechanism, score, bound in TARGETS:
        found = leaders(scores[scores["group"] == group], mechanism, score)
        if not found or not (bound or baselines.any()):
            continue
        own = score.of(scores[(scores["mechanism"] == mechanism) & (scores["imputer"] == found[0])])
        means = own.groupby("model")["value"].mean()
        if bound:
            met = score.off(score.printed(means)) <= score.off(bound)
            target = f"{'≥' if score.best else '≤'} {bound:g}"
        else:
            rivals = scores[baselines | (scores["imputer"] == found[0])]
            met = means.notna() & (leaders(rivals, mechanism, score) == found[:1])
            target = "ahead of every baseline"
        alone = f"met by the {MODELS[met.idxmax()]} alone" if met.any() else "missed"
        rows.append({
            "by": GROUPS[group], "missing": MISSING[mechanism],
            "score": score.title, "target": target, "best": found[0],
            "Gaussian / t": pairs(scores, score)[mechanism, found[0]],
            "verdict": "met" if met.all() else alone,
        })  # fmt: skip
    return pd.DataFrame(rows)


def _digit(tried: Imputers) -> pd.DataFrame:
    """Tell whether a classifier still sees the digit, between complete images and zeros."""
    rows, complete = [], tried.complete
    means = ACCURACY.of(tried.scores).groupby(["mechanism", "imputer"])["value"].mean()
    for mechanism in MECHANISMS:
        zeros = means.get((mechanism, BASELINES["zero"]), np.nan)
        if np.isnan(complete - zeros):
            continue
        best, *others = leaders(tried.scores, mechanism, ACCURACY)
        regained = (means[mechanism, best] - zeros) / (complete - zeros)
        rows.append({
            "missing": MISSING[mechanism], "best": best,
            "not ahead of": ", ".join(others) or NONE,
            "with zeros, %": ACCURACY.text(zeros),
            "after it, %": ACCURACY.text(means[mechanism, best]),
            "complete images, %": ACCURACY.text(complete),
            "loss made good, %": share(regained, 0) if complete > zeros else NONE,
        })  # fmt: skip
    return pd.DataFrame(rows)


def _honest(scores: pd.DataFrame) -> dict[str, Any]:
    """Name those whose intervals cover what they promise, and say how far off the others are."""
    held, runs = honesty(scores), COVERAGE.of(scores)
    names = {region: list(held.index[held[["missing", region]].all(axis=1)]) for region in held}
    others = runs.loc[~runs["imputer"].isin(names["missing"]), "value"]
    return {"drawing": len(held), **names, "least": others.min(), "most": others.max(),
            "low": NOMINAL - TOLERANCE, "high": NOMINAL + TOLERANCE}  # fmt: skip


def _scores_table(tried: Imputers, mechanism: str) -> pd.DataFrame:
    """Show every score under one mask."""
    runs, index = tried.scores[tried.scores["mechanism"] == mechanism], ["imputer", "model"]
    means = {score: score.of(runs).groupby(index)["value"].mean() for score in SCORES}
    means[SECONDS] = tried.times.groupby(index)["seconds"].mean()
    rows = runs.groupby(index).size().index
    table = _emphasised(pd.DataFrame(means).reindex(rows), list(means))
    complete = dict.fromkeys(table, NONE) | {"imputer": "*the complete image*"}
    table.loc[len(table)] = complete | {ACCURACY.title: ACCURACY.text(tried.complete)}
    return table


def _degradation(rows: pd.DataFrame, mechanism: str) -> pd.DataFrame:
    """Show the MSE of missing pixels, by setting of one mechanism or by all that have none."""
    key = "mechanism" if mechanism == "others" else "setting"
    chosen = rows["setting"].isna() if mechanism == "others" else rows["mechanism"] == mechanism
    rows = rows[chosen].sort_values("setting", kind="stable")
    wide = rows.pivot(index=["imputer", "model"], columns=key, values="value")[rows[key].unique()]
    titles = [
        OTHERS.get(place, place) if mechanism == "others" else case_name(mechanism, place)
        for place in wide
    ]
    return _emphasised(wide, [MSE._replace(title=title) for title in titles])


def _emphasised(wide: pd.DataFrame, scores: list[Score]) -> pd.DataFrame:
    """Format one column per score of a frame by imputer and model, the best of each bold."""
    table = wide.index.to_frame(index=False)
    table["latent"] = table.pop("model").map({"": NONE} | MODELS)
    for (_, values), score in zip(wide.items(), scores, strict=True):
        table[score.title] = emphasised(values, score).to_numpy()
    return table.astype(object)


def _marked(table: pd.DataFrame, lost: pd.DataFrame) -> pd.DataFrame:
    """Mark the rows, by imputer and latent, of models whose code carries nothing."""
    models = set(zip(lost["recipe"], lost["model"].map(MODELS), strict=True))
    rows = zip(table["imputer"].astype(str).str.split("`").str[1], table["latent"], strict=True)
    marks = [MARK if row in models else "" for row in rows]
    return table.assign(latent=table["latent"] + marks)


def _marked_pairs(table: pd.DataFrame, lost: pd.DataFrame) -> pd.DataFrame:
    """Mark the rows, by imputer, of recipes one of whose models has a code that carries nothing."""
    marks = table["imputer"].str.split("`").str[1].isin(lost["recipe"]).map({True: MARK, False: ""})
    return table.assign(imputer=table["imputer"] + marks)


def _lost(lost: pd.DataFrame) -> dict[str, Any]:
    """Name the models whose code carries nothing, with their seeds."""
    seeds = lost.groupby(["recipe", "model"], sort=False)["seed"].agg(list)
    names = [f"`{recipe}` ({MODELS[model]}, {formats.seeds(own)})"
             for (recipe, model), own in seeds.items()]  # fmt: skip
    return {"names": names, "least_bits": LEAST_CODE / np.log(2)}


def _draws(draws: Mapping[tuple[str, str, int], Any], carried: pd.DataFrame) -> dict[str, Any]:
    """Tell what the code of every model carries, and how far its draws differ.

    That is their standard deviation over missing pixels, in grey levels.
    """
    rows = [
        (*run, np.sqrt(tiles[:, 3:].var(axis=1)[tiles[:, 1] > 0].mean()))
        for run, tiles in draws.items()
    ]
    runs = pd.DataFrame(rows, columns=["recipe", "model", "seed", "spread"])
    runs = runs.merge(carried, how="left", on=["recipe", "model", "seed"])
    by = runs.groupby(["recipe", "model"], sort=False)
    table = pd.DataFrame({
        "imputer": [f"`{recipe}`" for (recipe, _), _ in by],
        "latent": [MODELS[model] for (_, model), _ in by],
        "seeds": [str(len(own)) for _, own in by],
        "KL, nats": [_range(own["kl"], "code") for _, own in by],
        "grey levels": [_range(own["spread"], "grey_levels") for _, own in by],
    })  # fmt: skip
    table = _marked(table, runs[runs["lost"].eq(True)]).rename(columns={"imputer": "recipe"})
    return {"recipes": list(dict.fromkeys(runs["recipe"])), "table": table}


def _range(values: pd.Series, metric: str) -> str:
    """Format the mean of some runs, and from where to where they go."""
    text = formats.number(values.mean(), metric)
    ends = (formats.number(end, metric) for end in (values.min(), values.max()))
    return text if len(values) == 1 else f"{text} ({' to '.join(ends)})"


def _left_out(rows: pd.DataFrame) -> dict[str, Any]:
    """Show what methods of former runs reached, beside what they cost."""
    cells = {score.title: pairs(rows, score) for score in (MSE, COVERAGE, FLAGGED)}
    seconds = pairs(rows, SECONDS).droplevel("mechanism")
    index = [(m, imputer) for imputer in rows["imputer"].unique() for m in MECHANISMS]
    table = pd.DataFrame(cells, dtype=object).reindex(index).fillna(NONE).reset_index()
    table["seconds"] = table["imputer"].astype(str).map(seconds)
    table["mechanism"] = table["mechanism"].map(MISSING)
    images = rows[rows["metric"] == "images"].groupby("region")["value"].max()
    columns = {"imputer": "imputer", "mechanism": "missing"}
    table = table.rename(columns=columns)[[*columns.values(), *cells, "seconds"]]
    return {
        "table": table,
        "methods": list(dict.fromkeys(rows["method"])),
        "seeds": sorted(set(rows["seed"].astype(int))),
        "images": images.astype(int).to_dict(),
    }


def _rubin(rubin: pd.DataFrame) -> dict[str, Any]:
    """Show each digit's mean ink from every source, and how often an interval holds the truth."""
    complete = rubin[rubin["source"] == "complete"].set_index("digit")["estimate"]
    truth = rubin["digit"].map(complete)
    rows = rubin.assign(
        text=[f"{r.estimate:.4f} [{r.low:.4f}, {r.high:.4f}]" for r in rubin.itertuples()],
        inside=truth.between(rubin["low"], rubin["high"]).where(truth.notna()),
        source=pd.Categorical(rubin["source"].map(SOURCES), [*SOURCES.values()], ordered=True),
    ).sort_values("source")
    table = rows.pivot(index="digit", columns="source", values="text")[rows["source"].unique()]
    table["missing information, %"] = rows.groupby("digit")["fmi"].max().map(share)
    held = rows.dropna(subset="inside").groupby("source")["inside"].agg(["sum", "size"])
    return {
        "table": table.fillna(NONE).reset_index(),
        "counts": texts(held.drop(SOURCES["complete"], errors="ignore").reset_index(), {
            "ink from": lambda row: row.source,
            "classes whose interval holds it": lambda row: f"{row[1]} of {row[2]}",
        }),
    }  # fmt: skip
