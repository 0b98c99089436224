"""The sweep in words and tables: every sentence is computed from the results."""

from collections.abc import Collection, Iterable, Sequence
from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np

from study.report.summary import Comparison, compare, rounded
from study.report.tables import (
    NONE,
    difference,
    markdown,
    mean,
    number,
    percent,
    seed_names,
    verdict_of,
)
from study.slides import SLIDES
from study.trials.sweep import Experiment, Sweep, prior_quantile
from vaefill.metrics.statistics import Interval, mean_interval

METRICS = {
    "elbo": "test ELBO",
    "log_likelihood": "test log-likelihood",
    "kl_nats": "KL",
    "active": "active coordinates",
    "dead_units": "dead units",
    "mse/random/prediction": "prediction MSE of random pixels",
    "mse/square/prediction": "prediction MSE of a square",
    "mse/random/imputation": "imputation MSE of random pixels",
    "mse/square/imputation": "imputation MSE of a square",
    "ssim_global/random/imputation": "imputation SSIM of random pixels",
    "ssim_global/square/imputation": "imputation SSIM of a square",
}
#: Kind of a metric, as `study.report.tables` names it; of those not listed, the head of the path.
KINDS = {"kl_nats": "kl", "active": "units", "dead_units": "units"}
#: What the findings look at.
LOOKED_AT = ("elbo", "mse/random/imputation", "mse/square/imputation")
SCORES = ("elbo", "log_likelihood", *LOOKED_AT[1:], "ssim_global/square/imputation")
CELLS = [cell for cell in SLIDES if cell.metric == "mse"]

DIRECTIONS = ("better", "worse")
CONTROL = "Control, df = ∞ against the Gaussian"
SETTINGS = {
    "multivariate": "multivariate",
    "product": "product",
    "quadrature": "KL by quadrature",
    "monte_carlo": "Monte Carlo KL",
    "continuous_bernoulli": "continuous Bernoulli",
    "bernoulli": "Bernoulli",
}
CAPTIONS = {
    "curve": "Each metric against df. The infinite df stands at the end.",
    "differences": "t − Gaussian, paired by seed: mean, 95 % interval, and one dot per seed.",
    "weights": "The Gaussian model at other weights of the KL in its training loss. Left: change "
    "of the mean MSE.",
    "coordinates": "KL per latent coordinate on test images, sorted within each run, mean over "
    "seeds.",
    "tails": "Quantiles of the aggregate posterior, all active coordinates together, against those "
    "of the prior; thin lines are seeds. On the diagonal both agree; flatter ends mean that the "
    "posterior leaves the prior's tails empty.",
}
HOW_TO_RUN = (
    "`make sweep` runs what is missing and collects the results; `dvc queue logs NAME` shows why "
    "an experiment failed."
)
_INTERVALS = (
    " Intervals are 95 % Student-t intervals over seeds, of differences paired by seed; in the "
    "tables those that exclude 0 are **bold**. Each table adds looks of its own at the same runs."
)


class Look(NamedTuple):
    """One interval that a sentence rests on."""

    place: str
    metric: str
    comparison: Comparison

    @property
    def verdict(self) -> str:
        """What the interval shows of the second model against the first."""
        return verdict_of(_kind(self.metric), rounded(self.comparison))

    @property
    def size(self) -> str:
        """The difference and its interval: of an error relative to the first model."""
        first, _, diff = self.comparison
        if not self.metric.startswith("mse"):  # the others that are looked at are in nats
            return f"{difference(_kind(self.metric), rounded(self.comparison))} nats"
        shares = [percent(end / first.mean) for end in diff]
        return shares[0] if np.isnan(diff.low) else f"{shares[0]} [{shares[1]}, {shares[2]}]"


def findings(sweep: Sweep, *, slides: bool = True) -> list[str]:
    """Say what the sweep shows: one sentence or two per question.

    Parameters
    ----------
    sweep : Sweep
        All results.
    slides : bool, default=True
        Whether the slides' claims are about the same dataset.

    Returns
    -------
    list of str
        Markdown, without bullets. Directions are named only where an interval excludes 0.
    """
    if not sweep.runs:
        return [
            f"No experiment of the plan has a result on `{sweep.dataset}` with recipe "
            f"`{sweep.plan.recipe}`. {HOW_TO_RUN}"
        ]
    finite = [e for e in sweep.curve if e.df != np.inf]
    control = [e for e in sweep.curve if e.df == np.inf]
    topics: dict[str, list[Look]] = {
        f"{_upper(METRICS[metric])}, t against the Gaussian": _looks(
            sweep, [(_df(e), sweep.baseline, e) for e in finite], [metric]
        )
        for metric in LOOKED_AT
    }
    topics[CONTROL] = _looks(sweep, [("", sweep.baseline, e) for e in control])
    for field in ("kl", "joint"):
        default = getattr(sweep.plan.defaults, field)
        for e in sweep.variants(field):
            topic = f"{_upper(SETTINGS[getattr(e, field)])} against {SETTINGS[default]}"
            pair = (_df(e), e._replace(**{field: default}), e)
            topics.setdefault(topic, []).extend(_looks(sweep, [pair]))
    for e in sweep.variants("likelihood"):
        topic = f"Likelihood {SETTINGS[e.likelihood]}, t against the Gaussian"
        metrics = ("log_likelihood", *LOOKED_AT[1:])
        topics.setdefault(topic, []).extend(_looks(sweep, [(_df(e), e.gaussian, e)], metrics))
    sentences = [
        f"**{topic}:** {(_control if topic == CONTROL else _verdicts)(looks)}."
        for topic, looks in topics.items()
        if looks
    ]
    if slides and len(sweep.weights) > 1:
        sentences.append(f"**KL weight instead of a t:** {_weights(sweep)}")
    return [*sentences, _count(list(chain(*topics.values())))]


def _looks(
    sweep: Sweep,
    pairs: Iterable[tuple[str, Experiment, Experiment]],
    metrics: Sequence[str] = LOOKED_AT,
) -> list[Look]:
    """Compare each pair with the seeds that both have; without one there is nothing to say."""
    looks = []
    for place, first, second in pairs:
        seeds = sweep.seeds_of(first, second)
        some = "" if len(seeds) == len(sweep.seeds) else f" with {seed_names(seeds)} only"
        looks += [
            Look(f"{place}{some}".strip(), metric, compare(*sweep.values(metric, first, second)))
            for metric in metrics
            if seeds
        ]
    return looks


def _verdicts(looks: Sequence[Look]) -> str:
    """Group what was seen by its verdict; sizes only where there is a direction."""
    several = len({look.metric for look in looks}) > 1
    groups: dict[str, list[str]] = {}
    for look in looks:
        place = f"at {look.place}" if look.place and several else look.place
        named = f"{METRICS[look.metric]} {place}".strip() if several else place
        size = f" ({look.size})" if look.verdict in DIRECTIONS else ""
        groups.setdefault(look.verdict, []).append(named + size)
    texts = []
    for word in (*DIRECTIONS, "no difference found", "cannot be told"):
        places = groups.get(word, [])
        if several and len(places) == len(looks) and word not in DIRECTIONS:
            shared = {look.place for look in looks}
            where = f" at {shared.pop()}" if len(shared) == 1 and any(shared) else ""
            texts.append(f"{word} in any of {len(looks)} comparisons{where}")
        elif places:
            texts.append(f"{word}{':' if several else ' at'} {', '.join(places)}")
    return "; ".join(texts)


def _control(looks: Sequence[Look]) -> str:
    """Say whether the t model that is the Gaussian one comes out as it."""
    if all(look.comparison.diff == (0, 0, 0) for look in looks):
        return "the very same numbers"
    if any(look.verdict in DIRECTIONS for look in looks):
        return (
            f"{_verdicts(looks)}. The two differ in how training computes the KL alone: the noise "
            "of that, or chance, makes differences of this size"
        )
    return _verdicts(looks)


def _count(looks: Sequence[Look]) -> str:
    told = [look for look in looks if look.verdict != "cannot be told"]
    if not told:
        return (
            "One seed gives no interval: a spread needs at least two, and nothing here can tell a "
            "difference from chance."
        )
    excluding = sum(look.verdict != "no difference found" for look in told)
    return (
        f"These sentences rest on {len(told)} intervals, of which {excluding} exclude 0. Even if "
        f"no two models differed, about 1 in 20 would by chance: {len(told) / 20:.1f} of "
        f"{len(told)}."
    )


def equivalent_weight(
    weights: Sequence[float], changes: Sequence[float], claim: float, start: float
) -> float | None:
    """Find the KL weight at which the change is `claim`, between neighbours by a straight line.

    Parameters
    ----------
    weights : sequence of float
        Those tried, rising.
    changes : sequence of float
        Relative change at each.
    claim : float
        The change that is looked for.
    start : float
        Of several such weights the nearest to this one is meant.

    Returns
    -------
    float or None
        None where no neighbours have the claim between them.
    """
    found = [
        w0 if c0 == c1 else w0 + (w1 - w0) * (claim - c0) / (c1 - c0)
        for (w0, c0), (w1, c1) in pairwise(zip(weights, changes, strict=True))
        if min(c0, c1) <= claim <= max(c0, c1)
    ]
    return min(found, key=lambda weight: abs(weight - start), default=None)


def _weights(sweep: Sweep) -> str:
    """Find the KL weights that do what the slides' t prior does."""
    tried = [e for e in sweep.weights if sweep.seeds_of(e, sweep.baseline)]
    betas = [e.kl_weight for e in tried]
    reached, missed = [], []
    for cell in CELLS:
        metric = f"mse/{cell.mechanism}/{cell.output}"
        changes = [_change(*sweep.values(metric, sweep.baseline, e)) for e in tried]
        claim = SLIDES[cell]["t"] / SLIDES[cell]["gauss"] - 1
        beta = equivalent_weight(betas, changes, claim, sweep.baseline.kl_weight)
        lowest = int(np.argmin(changes)) if changes else 0
        if beta is not None:
            reached.append(f"at β = {beta:.2f} for {METRICS[metric]} ({percent(claim)})")
        elif changes:
            missed.append(
                f"{METRICS[metric]} (slides {percent(claim)}, here {percent(changes[lowest])} at "
                f"most, at β = {betas[lowest]:g})"
            )
    texts = []
    if reached:
        texts.append(
            "the change of the MSE that the slides attribute to the t prior is what the Gaussian "
            f"model shows {', '.join(reached)}, by straight lines between the β tried."
        )
    if missed:
        texts.append(f"None of the β tried gives it for {', '.join(missed)}.")
    text = " ".join(texts) or "there is no Gaussian run at the usual β to compare with."
    return _upper(text)


def _change(before: Sequence[float], after: Sequence[float]) -> float:
    return float(np.mean(after) / np.mean(before)) - 1


def render(sweep: Sweep, figures: Collection[str], *, slides: bool) -> str:
    """Write the page as Markdown.

    Parameters
    ----------
    sweep : Sweep
        All results.
    figures : collection of str
        Names of the figures that there are, of those in `CAPTIONS`.
    slides : bool
        As for `findings`.
    """
    parts = ["# The sweep: how heavy a tail, which t, how much KL", _bullets(sweep, slides=slides)]
    if sweep.runs:
        parts += [
            f"Dataset `{sweep.dataset}`, recipe `{sweep.plan.recipe}`, {seed_names(sweep.seeds)}."
            + _INTERVALS * (len(sweep.seeds) > 1),
            *_section(sweep, figures, slides=slides),
            "## Every experiment",
            f"Mean over seeds{' ± half the width of its 95 % interval' * (len(sweep.seeds) > 1)}.",
            _means_table(sweep, [e for e in sweep.plan.experiments if sweep.seeds_of(e)]),
            "## Missing or failed",
            _missing(sweep),
        ]
    return "\n\n".join(parts) + "\n"


def _section(sweep: Sweep, figures: Collection[str], *, slides: bool) -> list[str]:
    """Write the sections for which there are experiments."""
    base = sweep.baseline

    def shown(*names: str) -> list[str]:
        return [
            f"![{name}](sweep/{name}.png)\n\n*{CAPTIONS[name]}*"
            for name in names
            if name in figures
        ]

    def table(pairs: Iterable[tuple[str, Experiment, Experiment]], *metrics: str) -> str:
        return _differences_table(sweep, pairs, metrics or SCORES)

    parts: list[str] = []
    if sweep.curve:
        parts += [
            "## Against df", *shown("curve", "differences"), "t − Gaussian:",
            table((_df(e), base, e) for e in sweep.curve),
        ]  # fmt: skip
    if len(sweep.weights) > 1:
        lighter = [(f"β = {e.kl_weight:g}", base, e) for e in sweep.weights if e != base]
        mse = [f"mse/{cell.mechanism}/{cell.output}" for cell in CELLS]
        parts += [
            "## The control for over-regularisation: less KL", *shown("weights"),
            f"The Gaussian model trained with β KL, against β = {base.kl_weight:g}:",
            table(lighter, "elbo", "active", *mse), *(_claims() if slides else []),
        ]  # fmt: skip
    if sweep.curve:
        parts += ["## Why", _tails(sweep), _latent_table(sweep), *shown("coordinates", "tails")]
    for field, title in {"joint": "Which t", "kl": "The KL in training"}.items():
        default = getattr(sweep.plan.defaults, field)
        pairs = [
            (f"{_df(e)}, {SETTINGS[getattr(e, field)]}", e._replace(**{field: default}), e)
            for e in sweep.variants(field)
        ]
        if pairs:
            note = f"Against {SETTINGS[default]} with the same df:"
            parts += [f"## {title}", note, table(pairs, *SCORES, "active")]
    others = sweep.variants("likelihood")
    if others:
        default = sweep.plan.defaults
        rows = [(f"{SETTINGS[e.likelihood]}, {_df(e)}", e.gaussian, e) for e in (default, *others)]
        pairs = [
            (_label(e), e._replace(likelihood=default.likelihood), e)
            for t in others
            for e in (t.gaussian, t)
        ]
        parts += [
            "## Likelihood",
            "Nats under different likelihoods are not comparable with each other: each row is "
            "t − Gaussian under one likelihood.",
            table(rows),
            f"Scores that are not in nats, against {SETTINGS[default.likelihood]}:",
            table(pairs, *(metric for metric in SCORES if "/" in metric)),
        ]
    return parts


def _bullets(sweep: Sweep, *, slides: bool) -> str:
    return "\n".join(f"- {sentence}" for sentence in findings(sweep, slides=slides))


def _differences_table(
    sweep: Sweep, pairs: Iterable[tuple[str, Experiment, Experiment]], metrics: Sequence[str]
) -> str:
    rows = []
    for place, first, second in pairs:
        looks = _looks(sweep, [(place, first, second)], metrics)
        cells = [_cell(look) for look in looks] or [NONE] * len(metrics)
        rows.append([looks[0].place if looks else place, *cells])
    return markdown(["", *(METRICS[metric] for metric in metrics)], rows)


def _cell(look: Look) -> str:
    text = difference(_kind(look.metric), rounded(look.comparison))
    _, low, high = look.comparison.diff
    return f"**{text}**" if low > 0 or high < 0 else text


def _means_table(sweep: Sweep, experiments: Iterable[Experiment]) -> str:
    columns = (*SCORES, "kl_nats", "active", "dead_units")
    rows = []
    for e in experiments:
        means = [mean(_kind(m), mean_interval(sweep.values(m, e)[0])) for m in columns]
        rows.append([_label(e), str(len(sweep.seeds_of(e))), *means])
    return markdown(["", "seeds", *(METRICS[metric] for metric in columns)], rows)


def _latent_table(sweep: Sweep) -> str:
    """Set side by side what the runs do with their latent spaces."""
    shown = [e for e in (sweep.baseline, *sweep.curve) if sweep.seeds_of(e)]
    rows = []
    for e in shown:
        metrics = ("kl_nats", "active", "dead_units")
        means = [mean(_kind(m), mean_interval(sweep.values(m, e)[0])) for m in metrics]
        probability, prior, reach = tail_reach(sweep, e)
        rows.append([_label(e), *means, number("kl", prior), mean("kl", reach)])
    names = ["KL, nats", "active coordinates", "dead units"]
    tail = f"at {100 * probability:g} %"
    return markdown(["", *names, f"prior {tail}", f"aggregate posterior {tail}"], rows)


def _tails(sweep: Sweep) -> str:
    """Say how far into the prior's tails the aggregate posterior reaches."""
    parts = []
    for e in [e for e in (sweep.baseline, *sweep.curve) if sweep.seeds_of(e)]:
        probability, prior, reach = tail_reach(sweep, e)
        parts.append(f"{100 * reach.mean / prior:.0f} % ({_label(e)})")
    return (
        f"A prior is used up to its tails where the outermost {200 * probability:g} % of the codes "
        "begin as far out as the prior's own do. The aggregate posterior's begin at this share of "
        f"the prior's distance from 0: {', '.join(parts)}."
    )


def tail_reach(sweep: Sweep, experiment: Experiment) -> tuple[float, float, Interval]:
    """Measure the aggregate posterior's tails at the smallest probability that was recorded.

    Returns
    -------
    probability : float
        Of each tail.
    prior : float
        Distance from 0 at which the prior's tail of this probability begins.
    reach : Interval
        The same of the aggregate posterior, a mean of both tails, over seeds.
    """
    quantiles = sweep.by_number("quantile", experiment)
    low, high = min(quantiles), max(quantiles)
    spread = (np.array(quantiles[high]) - np.array(quantiles[low])) / 2
    return low, -float(prior_quantile(experiment, [low])[0]), mean_interval(spread)


def _claims() -> list[str]:
    claims = [
        f"{METRICS[f'mse/{c.mechanism}/{c.output}']} {percent(v['t'] / v['gauss'] - 1)}"
        for c, v in SLIDES.items()
        if c.metric == "mse"
    ]
    return [f"The slides' t prior changes theirs by: {', '.join(claims)}."]


def _missing(sweep: Sweep) -> str:
    if not sweep.missing:
        return "None: every experiment of the plan has a result with every seed."
    lines = [
        f"- {_label(e)}: {seed_names(seeds)} ({', '.join(f'`{e.name(seed)}`' for seed in seeds)})"
        for e, seeds in sweep.missing.items()
    ]
    note = "Comparisons use the seeds that both sides have."
    return "\n".join([*lines, "", f"{note} {HOW_TO_RUN}"])


def _kind(metric: str) -> str:
    return KINDS.get(metric, metric.split("/")[0])


def _df(experiment: Experiment) -> str:
    df = experiment.df
    return "df = ∞" if df == np.inf else f"df = {df:g}"


def _label(experiment: Experiment) -> str:
    """Name an experiment in words, and only what a reader may not expect."""
    parts = ["Gaussian" if experiment.df is None else f"t, {_df(experiment)}"]
    parts += [
        SETTINGS[str(value)]
        for key, value in experiment.settings.items()
        if key not in ("df", "kl_weight") and value not in ("product", "monte_carlo", "bernoulli")
    ]
    return ", ".join(parts + [f"β = {experiment.kl_weight:g}"] * (experiment.kl_weight != 1))


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]
