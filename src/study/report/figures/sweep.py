"""Figures of the sweep: the results of experiments in, matplotlib figures out."""

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from study.report.figures.style import COLOURS, GREY, LINES, MARKERS, NAMES, df_label, style
from study.slides import SLIDES, Cell
from study.trials.sweep import Experiment, Sweep, prior_quantile
from vaefill.metrics.statistics import Interval, mean_interval, paired_difference

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
SHIFT = 0.18  # of the seeds' dots, clear of the bar
#: Okabe and Ito's, of neither model; with the shapes, one per cell of the slides' MSE.
CELL_STYLES: dict[tuple[str, str], Any] = {
    ("random", "prediction"): {"color": "#009E73", "marker": "^", "ls": "--"},
    ("random", "imputation"): {"color": "#009E73", "marker": "v", "ls": "-"},
    ("square", "prediction"): {"color": "#CC79A7", "marker": "D", "ls": "--"},
    ("square", "imputation"): {"color": "#CC79A7", "marker": "P", "ls": "-"},
}


def draw(sweep: Sweep, *, slides: bool) -> dict[str, Figure]:
    """Draw every figure for which there are results.

    Parameters
    ----------
    sweep : Sweep
        All results.
    slides : bool
        Whether the slides' claims may stand beside them: the same dataset.

    Returns
    -------
    dict of str to Figure
        By name.
    """
    figures = {}
    if sweep.curve:
        figures["curve"] = curve(sweep)
        if _with_baseline(sweep, sweep.curve):
            figures["differences"] = differences(sweep)
    if len(_with_baseline(sweep, sweep.weights)) > 1:
        figures["weights"] = weights(sweep, slides=slides)
    if sweep.curve:
        figures["coordinates"] = coordinates(sweep)
        figures["tails"] = tails(sweep)
    return figures


def _with_baseline(sweep: Sweep, experiments: Sequence[Experiment]) -> list[Experiment]:
    return [e for e in experiments if sweep.seeds_of(e, sweep.baseline)]


@style()
def curve(sweep: Sweep) -> Figure:
    """Plot each metric against df, with the Gaussian model as a band."""
    figure = Figure(figsize=(10, 6), layout="constrained")
    has_gauss = bool(sweep.seeds_of(sweep.baseline))
    for ax, (metric, (title, label)) in zip(
        figure.subplots(2, 3).flat, PANELS.items(), strict=True
    ):
        if has_gauss:
            _band(ax, sweep.values(metric, sweep.baseline)[0])
        places = _df_axis(ax, sweep.curve)
        values = [sweep.values(metric, experiment)[0] for experiment in sweep.curve]
        intervals = [mean_interval(seeds) for seeds in values]
        _bars(ax, places, intervals, "t")
        for place, seeds in zip(places, values, strict=True):
            ax.plot(
                np.full(len(seeds), place + SHIFT), seeds, MARKERS["t"], color=COLOURS["t"],
                ms=2.8, alpha=0.55, mew=0,
            )  # fmt: skip
        ax.set(title=title, ylabel=label)
        ax.yaxis.set_major_locator(_ticks(metric))
    figure.legend(
        handles=_model_handles(figure.axes[0], sweep, gauss=has_gauss),
        loc="outside upper center",
        ncols=3,
    )
    return figure


@style()
def differences(sweep: Sweep) -> Figure:
    """Plot t - Gaussian against df, paired by seed."""
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    shown = _with_baseline(sweep, sweep.curve)
    for ax, (metric, (title, label)) in zip(
        figure.subplots(1, 3), DIFFERENCES.items(), strict=True
    ):
        places = _df_axis(ax, shown)
        intervals = []
        for place, experiment in zip(places, shown, strict=True):
            gauss, t = (np.array(v) for v in sweep.values(metric, sweep.baseline, experiment))
            scale = 100 / gauss.mean() if metric.startswith("mse") else 1.0
            intervals.append(Interval(*(scale * end for end in paired_difference(gauss, t))))
            ax.plot(
                np.full(len(t), place + SHIFT), scale * (t - gauss), MARKERS["t"],
                color=COLOURS["t"], ms=2.8, alpha=0.55, mew=0,
            )  # fmt: skip
        ax.axhline(0, color=COLOURS["gauss"], lw=1.4)
        _bars(ax, places, intervals, "t")
        ax.set(title=title, ylabel=label)
        ax.yaxis.set_major_locator(_ticks(metric))
    return figure


@style()
def weights(sweep: Sweep, *, slides: bool) -> Figure:
    """Plot the Gaussian model's scores against the weight of the KL in its training loss."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, *others = figure.subplots(1, 3, width_ratios=(1.5, 1, 1))
    shown = _with_baseline(sweep, sweep.weights)
    betas = [e.kl_weight for e in shown]
    for (mechanism, output), look in CELL_STYLES.items():
        pairs = [sweep.values(f"mse/{mechanism}/{output}", sweep.baseline, e) for e in shown]
        changes = [100 * (np.mean(b) / np.mean(a) - 1) for a, b in pairs]
        left.plot(betas, changes, **look, ms=6, label=f"{mechanism}, {output}")
        if slides:
            claims = SLIDES[Cell(mechanism, output, "mse")]
            claim = 100 * (claims["t"] / claims["gauss"] - 1)
            hollow: Any = look | {"mfc": "white", "mew": 1.4, "ms": 8, "clip_on": False}
            left.plot(1.05, claim, **hollow, transform=left.get_yaxis_transform())
    left.axhline(0, color="black", lw=0.8)
    left.set_ylabel(f"change of MSE from β = {sweep.baseline.kl_weight:g} (%)\nbelow 0: better")
    left.set_title("hollow, to the right: the slides' t − VAE" if slides else "")
    figure.legend(loc="outside upper center", ncols=4, title="missing, output")
    for ax, metric in zip(others, ("elbo", "active"), strict=True):
        values = [sweep.values(metric, e)[0] for e in shown]
        for beta, seeds in zip(betas, values, strict=True):
            ax.plot(
                np.full(len(seeds), beta + 0.025), seeds, MARKERS["gauss"],
                color=COLOURS["gauss"], ms=3, alpha=0.55, mew=0,
            )  # fmt: skip
        _bars(ax, betas, [mean_interval(seeds) for seeds in values], "gauss")
        title, label = PANELS[metric]
        ax.set(title=title, ylabel=label)
        ax.yaxis.set_major_locator(_ticks(metric))
    for ax in figure.axes:
        ax.set_xticks(betas, [f"{beta:g}" for beta in betas])
        ax.set_xlabel("KL weight β")
        ax.margins(x=0.08)
    return figure


@style()
def coordinates(sweep: Sweep) -> Figure:
    """Plot the KL per latent coordinate, sorted within each run, beside the Gaussian model's."""
    figure, axes = _small_multiples(len(sweep.curve), height=2.5)
    gauss = _sorted_kl(sweep, sweep.baseline) if sweep.seeds_of(sweep.baseline) else None
    for ax, experiment in zip(axes, sweep.curve, strict=True):
        for model, kl in (("gauss", gauss), ("t", _sorted_kl(sweep, experiment))):
            if kl is not None:
                rank = np.arange(1, len(kl) + 1)
                look: Any = {"color": COLOURS[model], "ls": LINES[model], "marker": MARKERS[model]}
                ax.plot(rank, kl.mean(axis=1), **look, ms=4, label=NAMES[model])
        ax.set(title=df_label(experiment.df or np.inf), xlabel="coordinate, by its KL")
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        ax.set_ylim(bottom=0)
    _share_y(axes, "KL (nats per image)")
    axes[0].legend(fontsize=9)
    return figure


def _sorted_kl(sweep: Sweep, experiment: Experiment) -> Any:
    """Coordinates x seeds, the largest first within each seed."""
    return -np.sort(-np.array(list(sweep.by_number("kl", experiment).values())), axis=0)


@style()
def tails(sweep: Sweep) -> Figure:
    """Plot the quantiles of the aggregate posterior against those of the prior."""
    shown = [*sweep.curve]
    if sweep.seeds_of(sweep.baseline):
        shown.append(sweep.baseline)
    figure, axes = _small_multiples(len(shown), height=2.7)
    for ax, experiment in zip(axes, shown, strict=True):
        quantiles = sweep.by_number("quantile", experiment)
        prior = prior_quantile(experiment, list(quantiles))
        runs = np.array(list(quantiles.values()))
        model = experiment.model
        ax.axline((0, 0), slope=1, color=GREY, lw=1)
        ax.plot(prior, runs, color=COLOURS[model], lw=0.6, alpha=0.4)
        ax.plot(prior, runs.mean(axis=1), MARKERS[model], color=COLOURS[model], ms=3.5)
        reach = 1.05 * max(np.abs(prior).max(), np.abs(runs).max())
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        ax.set_title("Gaussian" if experiment.df is None else df_label(experiment.df))
        ax.set_xlabel("prior's quantile")
        ax.xaxis.set_major_locator(MaxNLocator(4, symmetric=True))
        ax.yaxis.set_major_locator(MaxNLocator(4, symmetric=True))
    figure.supylabel("aggregate posterior's quantile", fontsize=10)
    return figure


def _small_multiples(number: int, *, height: float) -> tuple[Figure, list[Axes]]:
    """Lay out panels in as few rows of at most four as they need."""
    rows = ceil(number / 4)
    columns = ceil(number / rows)
    figure = Figure(figsize=(10, height * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for ax in axes[number:]:
        ax.set_visible(False)
    return figure, axes[:number]


def _ticks(metric: str) -> MaxNLocator:
    return MaxNLocator(5, steps=[1, 2, 5, 10], integer=metric == "active")


def _share_y(axes: Sequence[Axes], label: str) -> None:
    top = max(ax.get_ylim()[1] for ax in axes)
    for ax in axes:
        ax.set_ylim(0, top)
        if ax.get_subplotspec().is_first_col():  # type: ignore[union-attr]
            ax.set_ylabel(label)


def _df_axis(ax: Axes, experiments: Sequence[Experiment]) -> list[float]:
    """Label the axis: steps of equal ratio are equally long, and infinity stands at the end."""
    finite = [float(np.log2(e.df)) for e in experiments if e.df and np.isfinite(e.df)]
    last = max(finite, default=0.0) + 1.3
    places = [float(np.log2(e.df)) if e.df and np.isfinite(e.df) else last for e in experiments]
    ax.set_xticks(places, [df_label(e.df or np.inf).removeprefix("df = ") for e in experiments])
    ax.set_xlim(min(places) - 0.4, max(places) + 0.4)
    if finite and len(finite) < len(places):
        ax.axvline(last - 0.65, color=GREY, lw=0.8, ls=":")
    ax.set_xlabel("df of the t prior (log scale)")
    ax.grid(visible=False, axis="x")
    return places


def _band(ax: Axes, values: Sequence[float]) -> None:
    mean, low, high = mean_interval(values)
    if not np.isnan(low):
        ax.axhspan(low, high, color=COLOURS["gauss"], alpha=0.18, lw=0)
    ax.axhline(mean, color=COLOURS["gauss"], lw=1.2)


def _bars(ax: Axes, places: Sequence[float], intervals: Sequence[Interval], model: str) -> None:
    """Draw means, joined by a line, with their intervals where they have one."""
    means = [interval.mean for interval in intervals]
    look: Any = {"color": COLOURS[model], "ls": LINES[model], "marker": MARKERS[model]}
    ax.plot(places, means, **look, ms=5, lw=1.2)
    for place, interval in zip(places, intervals, strict=True):
        if not np.isnan(interval.low):
            ends = [interval.low, interval.high]
            ax.plot([place, place], ends, color=COLOURS[model], lw=2, alpha=0.6)


def _model_handles(ax: Axes, sweep: Sweep, *, gauss: bool) -> list[Any]:
    several = len(sweep.seeds) > 1
    look: Any = {"color": COLOURS["t"], "ls": LINES["t"], "marker": MARKERS["t"]}
    label = "t prior" + ": mean, 95 % interval, dots are seeds" * several
    handles = ax.plot([], [], **look, ms=5, label=label)
    if gauss:
        label = "Gaussian" + ": mean, band is its 95 % interval" * several
        handles += ax.plot([], [], color=COLOURS["gauss"], lw=1.2, label=label)
    return list(handles)
