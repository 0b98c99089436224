"""The sweep's page: what its experiments show, question by question."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from study.report import verdicts
from study.report.experiments import (
    METRICS,
    SETTINGS,
    Sweep,
    by_number,
    changed,
    label,
    prior_quantile,
    relative_changes,
)
from study.report.figures.style import df_label
from study.report.formats import (
    NONE,
    difference,
    number,
    percent,
    plus_minus,
    relative,
    seeds,
    texts,
)
from study.slides import SLIDES
from study.trials.sweep import Experiment, Plan
from vaefill.metrics.statistics import Interval, mean_interval

CELLS = {f"mse/{c.mechanism}/{c.output}": v for c, v in SLIDES.items() if c.metric == "mse"}
#: What the findings look at; where the likelihood differs, its own score instead of the ELBO.
LOOKED_AT = ("elbo", "mse/random/imputation", "mse/square/imputation")
SCORES = ("elbo", "log_likelihood", *LOOKED_AT[1:], "ssim_global/square/imputation")
LATENT = ("kl_nats", "active", "dead_units")
#: What the table of differences of each section shows.
SECTIONS = {
    "curve": SCORES,
    "weights": ("elbo", "active", *CELLS),
    "joint": (*SCORES, "active"),
    "kl": (*SCORES, "active"),
    "likelihood": SCORES,
    "errors": SCORES[2:],
}
EQUIVALENT: dict[str, Callable[[Any], str]] = {
    "": lambda row: row.cell,
    "the slides' t": lambda row: percent(row.claim),
    "lowest here": lambda row: percent(row.lowest),
    "at β": lambda row: f"{row.at:g}",
    "as the slides' t at β": lambda row: f"{row.weight:.2f}".replace("nan", NONE),
}
_PAIR = ["section", "topic", "question", "place"]


def _pairs(plan: Plan[Experiment]) -> Iterator[tuple[str, ...]]:
    """Yield `_PAIR`, and the two experiments to compare; an empty topic is none of the findings."""
    usual, base = plan.defaults, label(plan.defaults.gaussian)
    changes = {e: changed(plan, e) for e in plan.experiments}
    for e in sorted(changes, key=lambda e: (changes[e], e.df or 0, e.kl_weight)):
        df, name = df_label(e.df or 0), label(e)
        match e.model, changes[e]:
            case "t", [] if e.df == np.inf:
                yield "curve", "control", "Control, t against the Gaussian", df, base, name
            case "t", []:
                yield "curve", "curve", "t against the Gaussian", df, base, name
            case "gauss", ["kl_weight"]:
                yield "weights", "", "", f"β = {e.kl_weight:g}", base, name
            case "t", ["joint" | "kl" as field]:
                default, value = (SETTINGS[getattr(t, field)] for t in (usual, e))
                question = f"{value[0].upper()}{value[1:]} against {default}"
                other = e._replace(**{field: getattr(usual, field)})
                yield field, field, question, df, label(other), name
            case "t", ["likelihood"]:
                question = "Other likelihood, t against the Gaussian"
                other = e._replace(likelihood=usual.likelihood)
                for t, topic in ((other, ""), (e, "likelihood")):
                    place = f"{SETTINGS[t.likelihood]}, {df}"
                    yield "likelihood", topic, question, place, label(t.gaussian), label(t)
                for first, second in ((other.gaussian, e.gaussian), (other, e)):
                    yield "errors", "", "", label(second), label(first), label(second)


def compared(sweep: Sweep) -> pd.DataFrame:
    """Compare every pair of experiments that some section shows, in every metric.

    Columns are ``section``, ``topic`` of the findings, if any, ``question``, ``place`` (with the
    seeds, where not all count), ``metric`` and those of `study.report.verdicts.paired`.
    """
    pairs = pd.DataFrame(_pairs(sweep.plan), columns=[*_PAIR, "first", "second"])
    sides = pairs.drop_duplicates().melt(_PAIR, var_name="side", value_name="experiment")
    scores = sides.merge(sweep.runs[sweep.runs["metric"].isin(METRICS)], on="experiment")
    found = verdicts.paired(scores, [*_PAIR, "metric"], side="side", sides=("first", "second"))
    only = [f" with {seeds(s)} only" if len(s) < len(sweep.seeds) else "" for s in found["seeds"]]
    # Of texts also where there is nothing: an empty list alone would be one of floats.
    return found.assign(place=found["place"] + pd.Series(only, found.index, dtype=str))


def looks(found: pd.DataFrame) -> pd.DataFrame:
    """Keep of `compared` what the findings rest on, and add the ``verdict`` on each."""
    bound = np.where(found["topic"] == "likelihood", "log_likelihood", "elbo")
    asked = (found["metric"] == bound) | found["metric"].isin(LOOKED_AT[1:])
    shown = found[asked & (found["topic"] != "")]
    ends = zip(shown["metric"], shown["low"], shown["high"], strict=True)
    return shown.assign(verdict=[verdicts.verdict(*end) for end in ends])


def findings(sweep: Sweep, *, slides: bool = True) -> pd.DataFrame:
    """Say what the sweep shows: a frame of texts, one row per question; none without a run.

    The question, then a column per verdict, which lists what it is the verdict on, with the
    difference and its interval where there is a direction; what cannot be told is a column only
    where there is any. `slides`: whether their claims are about the same dataset.
    """
    shown = looks(compared(sweep))
    # Of the curve each metric is a question of its own.
    part = shown["metric"].where(shown["topic"] == "curve", "")
    rows = [_finding(group) for _, group in shown.groupby([shown["question"], part], sort=False)]
    cells = equivalents(sweep)
    if slides and len(cells):
        done = cells["weight"].notna()
        at = cells["weight"].map(" at β = {:.2f}".format).where(done, " at no β tried")
        question = "Less KL instead of a t: gains as much as the slides' t, by means alone"
        words = done.map({True: verdicts.BETTER, False: verdicts.SAME})
        rows.append(_row(question, words, cells["cell"] + at))
    table = pd.DataFrame(rows, columns=["question", *verdicts.WORDS], dtype=str).fillna(NONE)
    return (
        table if (table[verdicts.UNKNOWN] != NONE).any() else table.drop(columns=verdicts.WORDS[-1])
    )


def _finding(shown: pd.DataFrame) -> dict[str, str]:
    """Group what was seen by its verdict; what all have in common belongs to the question."""
    places, metrics = shown["place"], shown["metric"].map(METRICS)
    question = shown["question"].iloc[0]
    if metrics.nunique() == 1:
        question, names = f"{question}: {metrics.iloc[0]}", places
    elif places.nunique() == 1:
        question, names = f"{question}: {places.iloc[0]}", metrics
    else:
        names = metrics + " at " + places
    entries = [
        f"{name} ({_size(look)})" if look.verdict in verdicts.WORDS[:2] else name
        for name, look in zip(names, shown.itertuples(), strict=True)
    ]
    return _row(question, shown["verdict"], entries)


def _row(question: str, words: pd.Series, entries: Iterable[str]) -> dict[str, str]:
    lists = pd.Series(list(entries), index=words).groupby(level=0).agg("; ".join)
    return {"question": question, **lists}


def _size(look: Any) -> str:
    """Format a difference: of an error relative to the first model, all others in nats."""
    if look.metric.startswith("mse"):
        return relative(look.diff, look.low, look.high, look.reference)
    return difference(look.diff, look.low, look.high, look.metric) + " nats"


def equivalents(sweep: Sweep) -> pd.DataFrame:
    """Find the KL weights at which the Gaussian model does what the slides' t prior does.

    Returns
    -------
    DataFrame
        Per cell of the slides' MSE, as relative changes: ``claim``, the ``lowest`` one here and
        its weight (``at``), and the ``weight`` that does it, or nan. No row where there are no
        two weights to compare.
    """
    changes = relative_changes(sweep.of("gauss", "kl_weight"), sweep.of("gauss")).unstack()
    usual = sweep.plan.defaults.kl_weight
    rows = []
    for metric, claims in CELLS.items() if changes.shape[1] > 1 else ():
        change, claim = changes.loc[metric], claims["t"] / claims["gauss"] - 1
        weight = equivalent_weight(change.index, change, claim, usual)
        rows.append((METRICS[metric], claim, change.min(), change.idxmin(), weight))
    return pd.DataFrame(rows, columns=["cell", "claim", "lowest", "at", "weight"])


def equivalent_weight(
    weights: Iterable[float], changes: Iterable[float], claim: float, start: float
) -> float:
    """Find the weight at which the change is `claim`, by straight lines between those tried.

    Of several the nearest to `start` is meant; nan where no neighbours have the claim between
    them. The weights rise.
    """
    found = [
        w0 if c0 == c1 else w0 + (w1 - w0) * (claim - c0) / (c1 - c0)
        for (w0, c0), (w1, c1) in pairwise(zip(weights, changes, strict=True))
        if min(c0, c1) <= claim <= max(c0, c1)
    ]
    return min(found, key=lambda weight: abs(weight - start), default=np.nan)


def page(sweep: Sweep, figures: Collection[str], *, slides: bool) -> dict[str, Any]:
    """Gather what the page says, beside these `figures`; `slides` as for `findings`."""
    found = compared(sweep)
    shown = looks(found)
    error = shown["metric"].isin(CELLS).map({True: "mse", False: "elbo"})
    topic = shown["topic"].where(shown["topic"] != "curve", error)
    control = shown.loc[topic == "control", ["diff", "low", "high"]]
    latent = [sweep.of("gauss"), *(runs for _, runs in sweep.of("t").groupby("df"))]
    latent = [runs for runs in latent if len(runs)]
    return {
        "sweep": sweep,
        "slides": slides,
        "figures": figures,
        "told": int((shown["verdict"] != verdicts.UNKNOWN).sum()),
        "excluding": int(shown["verdict"].isin(verdicts.WORDS[:2]).sum()),
        "places": defaultdict(list, shown.groupby([topic, "verdict"])["place"].agg(list)),
        "findings": findings(sweep, slides=slides),
        "differences": {name: differences(found, name) for name in SECTIONS},
        "equivalents": texts(equivalents(sweep), EQUIVALENT),
        "identical": len(control) > 0 and not control.any(axis=None),
        "tails": 2 * by_number(latent[0], "quantile").index[0] if latent else 0,
        "latent": pd.DataFrame(map(_latent, latent)),
        "means": pd.DataFrame(
            {"": name, "seeds": str(runs["seed"].nunique()), **_means(runs, [*SCORES, *LATENT])}
            for name, runs in sweep.runs.groupby("experiment", sort=False)
        ),
        "missing": _missing(sweep),
    }


def differences(found: pd.DataFrame, section: str) -> pd.DataFrame:
    """Write the differences of one section as texts; bold are those whose interval excludes 0."""
    rows = found[(found["section"] == section) & found["metric"].isin(SECTIONS[section])]
    cells = [
        f"**{text}**" if row.low > 0 or row.high < 0 else text
        for row in rows.itertuples()
        for text in [difference(row.diff, row.low, row.high, row.metric)]
    ]
    table = rows.assign(text=cells).pivot(index="place", columns="metric", values="text")
    table = table.reindex(index=rows["place"].unique(), columns=list(SECTIONS[section]))
    return table.rename(columns=METRICS).reset_index(names="")


def _means(runs: pd.DataFrame, metrics: Sequence[str]) -> dict[str, str]:
    """Write the means over seeds of one experiment."""
    values = dict(iter(runs.groupby("metric")["value"]))
    return {METRICS[metric]: _mean(mean_interval(values[metric]), metric) for metric in metrics}


def _mean(interval: Interval, metric: str) -> str:
    return plus_minus(interval.mean, (interval.high - interval.low) / 2, metric)


def _latent(runs: pd.DataFrame) -> dict[str, str]:
    """Write what one experiment does with its latent space, and where its tails begin."""
    quantiles = by_number(runs, "quantile")
    lowest = quantiles.index[0]
    prior = -float(prior_quantile(runs["df"].iloc[0], lowest))
    reach = mean_interval((quantiles.iloc[-1] - quantiles.iloc[0]) / 2)  # of both tails
    return {
        "": runs["experiment"].iloc[0],
        **_means(runs, LATENT),
        f"prior at {100 * lowest:g} %": number(prior, "kl"),
        f"aggregate posterior at {100 * lowest:g} %": _mean(reach, "kl"),
        "share of the prior's": f"{100 * reach.mean / prior:.0f} %",
    }


def _missing(sweep: Sweep) -> list[dict[str, Any]]:
    """Name the planned experiments that lack seeds, and the runs to look for."""
    run = sweep.runs.groupby("experiment")["seed"].agg(set)
    missing = []
    for e in sweep.plan.experiments:
        if lacking := [seed for seed in sweep.seeds if seed not in run.get(label(e), ())]:
            names = [e.name(seed) for seed in lacking]
            missing.append({"name": label(e), "seeds": lacking, "runs": names})
    return missing
