"""Figures of the sweep: frames of runs in, matplotlib figures out."""

from collections.abc import Iterable, Iterator, Mapping
from math import ceil
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from study.report.experiments import Sweep, beside, by_number, prior_quantile, relative_changes
from study.report.figures.style import COLOURS, GREY, MARKERS, NAMES, df_label, look, style
from study.slides import SLIDES, Cell
from vaefill.metrics.statistics import mean_interval

#: Per metric what it is, and its unit.
PANELS = {
    "elbo": ("test ELBO (higher is better)", "nats per image"),
    "log_likelihood": ("test log-likelihood (higher is better)", "nats per image"),
    "active": ("active coordinates", "number"),
    "mse/random/imputation": ("random pixels missing", "MSE (lower is better)"),
    "mse/square/imputation": ("a square missing", "MSE (lower is better)"),
    "ssim_global/square/imputation": ("a square missing", "SSIM (higher is better)"),
}
DIFFERENCES = {
    "elbo": ("test ELBO (above 0: t is better)", "t − Gaussian, nats per image"),
    "mse/random/imputation": ("MSE, random pixels (below 0: t is better)", "t − Gaussian, %"),
    "mse/square/imputation": ("MSE, a square (below 0: t is better)", "t − Gaussian, %"),
}
#: Okabe and Ito's, of neither model; with the shapes, one per cell of the slides' MSE.
CELL_STYLES: dict[tuple[str, str], Any] = {
    ("random", "prediction"): {"color": "#009E73", "marker": "^", "ls": "--"},
    ("random", "imputation"): {"color": "#009E73", "marker": "v", "ls": "-"},
    ("square", "prediction"): {"color": "#CC79A7", "marker": "D", "ls": "--"},
    ("square", "imputation"): {"color": "#CC79A7", "marker": "P", "ls": "-"},
}


def draw(sweep: Sweep, *, slides: bool) -> dict[str, Figure]:
    """Draw every figure for which there are results, by name.

    With `slides` their claims stand beside them: only where the dataset is the same.
    """
    gauss, t, weighted = sweep.of("gauss"), sweep.of("t"), sweep.of("gauss", "kl_weight")
    figures: dict[str, Figure] = {}
    if len(t):
        figures |= {each.__name__: each(t, gauss) for each in (curve, coordinates, tails)}
    if len(beside(t, gauss)):
        figures["differences"] = differences(t, gauss)
    if beside(weighted, gauss)["kl_weight"].nunique() > 1:
        figures["weights"] = weights(weighted, gauss, slides=slides)
    return figures


@style()
def curve(t: pd.DataFrame, gauss: pd.DataFrame) -> Figure:
    """Plot each metric against df, with the Gaussian model as a band."""
    figure = Figure(figsize=(10, 6), layout="constrained")
    for ax, metric in _panels(figure.subplots(2, 3).flat, PANELS):
        if len(gauss):
            mean, *ends = mean_interval(_values(gauss, metric)["value"])
            if not np.isnan(ends).any():
                ax.axhspan(*ends, color=COLOURS["gauss"], alpha=0.18, lw=0)
            ax.axhline(mean, color=COLOURS["gauss"], lw=1.2)
        _against_df(ax, _values(t, metric))
    several = t["seed"].nunique() > 1
    ax = figure.axes[0]
    note = ": mean, 95 % interval, dots are seeds" * several
    handles = ax.plot([], [], **look("t"), ms=5, label=NAMES["t"] + note)
    if len(gauss):
        note = ": mean, band is its 95 % interval" * several
        handles += ax.plot([], [], color=COLOURS["gauss"], lw=1.2, label=NAMES["gauss"] + note)
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


@style()
def differences(t: pd.DataFrame, gauss: pd.DataFrame) -> Figure:
    """Plot t - Gaussian against df, paired by seed."""
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    for ax, metric in _panels(figure.subplots(1, 3), DIFFERENCES):
        pairs = _values(beside(t, gauss), metric)
        diff = pairs["value"] - pairs["reference"]
        if metric.startswith("mse"):
            diff *= 100 / pairs.groupby("df")["reference"].transform("mean")
        ax.axhline(0, color=COLOURS["gauss"], lw=1.4)
        _against_df(ax, pairs.assign(value=diff))
    return figure


@style()
def weights(weighted: pd.DataFrame, gauss: pd.DataFrame, *, slides: bool) -> Figure:
    """Plot the Gaussian model's scores against the weight of the KL in its training loss."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, *others = figure.subplots(1, 3, width_ratios=(1.5, 1, 1))
    changes = 100 * relative_changes(weighted, gauss)
    betas = list(changes["elbo"].index)
    for place, ((mechanism, output), own) in enumerate(CELL_STYLES.items()):
        change = changes[f"mse/{mechanism}/{output}"]
        left.plot(change.index, change, **own, ms=6, label=f"{mechanism}, {output}")
        if slides:
            claims = SLIDES[Cell(mechanism, output, "mse")]
            claim = 100 * (claims["t"] / claims["gauss"] - 1)
            hollow: Any = own | {"mfc": "white", "mew": 1.4, "ms": 8, "clip_on": False}
            # Side by side: two of the claims are nearly the same.
            x = 1.03 + 0.045 * place
            left.plot(x, claim, **hollow, transform=left.get_yaxis_transform())
    left.axhline(0, color="black", lw=0.8)
    usual = gauss["kl_weight"].iloc[0]
    left.set_ylabel(f"change of MSE from β = {usual:g} (%)\nbelow 0: better")
    left.set_title("hollow, to the right: the slides' t − VAE" if slides else "")
    figure.legend(loc="outside upper center", ncols=4, title="missing, output")
    shown = weighted[weighted["kl_weight"].isin(betas)]
    for ax, metric in _panels(others, {name: PANELS[name] for name in ("elbo", "active")}):
        by_weight = _values(shown, metric).groupby("kl_weight")["value"]
        _means(ax, by_weight, betas, "gauss", shift=0.025)
    for ax in figure.axes:
        ax.set_xticks(betas, [f"{beta:g}" for beta in betas])
        ax.set_xlabel("KL weight β")
        ax.margins(x=0.08)
    return figure


@style()
def coordinates(t: pd.DataFrame, gauss: pd.DataFrame) -> Figure:
    """Plot the KL per latent coordinate, sorted within each run, beside the Gaussian model's."""
    figure, axes = _small_multiples(t["df"].nunique(), height=2.5)
    for ax, (df, runs) in zip(axes, t.groupby("df"), strict=True):
        for model, shown in (("gauss", gauss), ("t", runs)):
            if len(shown):
                # Coordinates x seeds, the largest first within each seed.
                kl = -np.sort(-by_number(shown, "kl").to_numpy(), axis=0)
                rank = np.arange(1, len(kl) + 1)
                ax.plot(rank, kl.mean(axis=1), **look(model), ms=4, label=NAMES[model])
        ax.set(title=df_label(df), xlabel="coordinate, by its KL")
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    top = max(ax.get_ylim()[1] for ax in axes)
    for ax in axes:
        ax.set_ylim(0, top)
        if ax.get_subplotspec().is_first_col():  # type: ignore[union-attr]
            ax.set_ylabel("KL (nats per image)")
    axes[0].legend(fontsize=9)
    return figure


@style()
def tails(t: pd.DataFrame, gauss: pd.DataFrame) -> Figure:
    """Plot the quantiles of the aggregate posterior against those of the prior."""
    shown = [(df_label(df), "t", runs) for df, runs in t.groupby("df")]
    if len(gauss):
        shown.append((NAMES["gauss"], "gauss", gauss))
    figure, axes = _small_multiples(len(shown), height=2.7)
    for ax, (title, model, runs) in zip(axes, shown, strict=True):
        quantiles = by_number(runs, "quantile")
        prior = prior_quantile(runs["df"].iloc[0], quantiles.index)
        ax.axline((0, 0), slope=1, color=GREY, lw=1)
        ax.plot(prior, quantiles, color=COLOURS[model], lw=0.6, alpha=0.4)
        ax.plot(prior, quantiles.mean(axis=1), MARKERS[model], color=COLOURS[model], ms=3.5)
        reach = 1.05 * max(np.abs(prior).max(), quantiles.abs().to_numpy().max())
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        ax.set(title=title, xlabel="prior's quantile")
        ax.xaxis.set_major_locator(MaxNLocator(4, symmetric=True))
        ax.yaxis.set_major_locator(MaxNLocator(4, symmetric=True))
    figure.supylabel("aggregate posterior's quantile", fontsize=10)
    return figure


def _panels(axes: Iterable[Axes], panels: Mapping[str, Any]) -> Iterator[tuple[Axes, str]]:
    """Label one panel per metric."""
    for ax, (metric, (title, label)) in zip(axes, panels.items(), strict=True):
        whole: Any = {"integer": True, "min_n_ticks": 1} if metric == "active" else {}
        ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], **whole))
        ax.set(title=title, ylabel=label)
        yield ax, metric


def _values(runs: pd.DataFrame, metric: str) -> pd.DataFrame:
    return runs[runs["metric"] == metric]


def _small_multiples(number: int, *, height: float) -> tuple[Figure, list[Axes]]:
    """Lay out panels in as few rows of at most four as they need."""
    rows = ceil(number / 4)
    columns = ceil(number / rows)
    figure = Figure(figsize=(10, height * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for ax in axes[number:]:
        ax.set_visible(False)
    return figure, axes[:number]


def _against_df(ax: Axes, runs: pd.DataFrame) -> None:
    """Draw means by df: steps of equal ratio are equally long, and infinity stands at the end."""
    groups = runs.groupby("df")["value"]
    dfs = np.array([*groups.groups], float)
    last = np.log2(dfs[np.isfinite(dfs)].max(initial=1)) + 1.3
    places = np.minimum(np.log2(dfs), last)
    ax.set_xticks(places, [df_label(df).removeprefix("df = ") for df in dfs])
    ax.set_xlim(places[0] - 0.4, places[-1] + 0.4)
    if places[0] < last == places[-1]:
        ax.axvline(last - 0.65, color=GREY, lw=0.8, ls=":")
    ax.set_xlabel("df of the t prior (log scale)")
    ax.grid(visible=False, axis="x")
    _means(ax, groups, places, "t", shift=0.18)


def _means(ax: Axes, groups: Any, places: ArrayLike, model: str, *, shift: float) -> None:
    """Draw means, joined by a line, with their intervals and, `shift` beside them, their seeds."""
    ax.plot(places, groups.mean(), **look(model), ms=5, lw=1.2)
    dots = look(model) | {"ls": "", "ms": 2.8, "alpha": 0.55, "mew": 0}
    for place, (_, seeds) in zip(np.asarray(places), groups, strict=True):
        ax.plot(np.full(len(seeds), place + shift), seeds, **dots)
        _, *ends = mean_interval(seeds)
        if not np.isnan(ends).any():
            ax.plot([place, place], ends, color=COLOURS[model], lw=2, alpha=0.6)
