"""How numbers and tables read: decimals by metric, a true minus sign, a dash where nothing is."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

NONE = "–"
MECHANISMS = {"none": "nothing", "random": "random pixels", "square": "a square"}
METRICS = {"mse": "MSE", "ssim_global": "SSIM", "ssim": "SSIM, 7 × 7 windows", "elbo": "ELBO"}
MODELS = {"gauss": "Gaussian", "t": "t prior"}
#: By metric; a metric with a path is named by its head, such as ``mse/random/imputation``.
DECIMALS = {
    "mse": 5, "ssim": 4, "ssim_global": 4, "crps": 4, "rmse": 4, "coverage_0.9": 4,
    "elbo": 2, "reconstruction": 2, "kl": 2, "log_likelihood": 2,
    "ess": 1, "ess_low": 1, "units": 1, "slides": 4, "miss": 1, "code": 3, "grey_levels": 1,
    "kl_nats": 2, "active": 1, "dead_units": 1,
}  # fmt: skip


def number(value: float, metric: str) -> str:
    """Format a score with the decimals of its metric; a dash for nan."""
    return NONE if value != value else f"{value:.{_decimals(metric)}f}".replace("-", "−")


def signed(value: float, metric: str, more: int = 0) -> str:
    """Format a difference of scores: with its sign, except where it rounds to 0."""
    return NONE if value != value else _sign(f"{value:+.{_decimals(metric) + more}f}")


def percent(share: float, more: int = 0) -> str:
    """Format a relative difference, with its sign, except where it rounds to 0."""
    return NONE if share != share else _sign(f"{100 * share:+.{1 + more}f}") + " %"


def plus_minus(mean: float, half: float, metric: str) -> str:
    """Format a mean with half the width of its interval, where it has one."""
    text = number(mean, metric)
    return text if half != half else f"{text} ± {number(half, metric)}"


def difference(mean: float, low: float, high: float, metric: str) -> str:
    """Format a difference with its interval, where it has one."""
    return _bracketed(mean, low, high, lambda value, more: signed(value, metric, more))


def relative(mean: float, low: float, high: float, reference: float) -> str:
    """Format a difference relative to `reference`, with its interval, where it has one."""
    return _bracketed(mean, low, high, lambda value, more: percent(value / reference, more))


def chance(probability: float) -> str:
    """Format a probability: the smaller, the more decimals; a dash for nan."""
    if not probability >= 1e-4:
        return NONE if probability != probability else "< 0.01 %"
    decimals = next(d for d, bound in enumerate((0.1, 0.01, 0)) if probability >= bound)
    return f"{100 * probability:.{decimals}f} %"


def times(ratio: float) -> str:
    """Format how many times another difference one is."""
    return NONE if ratio != ratio else f"{ratio:.1f} ×".replace("-", "−")


def share(value: float, decimals: int = 1) -> str:
    """Format a share in percent, without the sign of it; a dash for nan."""
    return NONE if value != value else f"{100 * value:.{decimals}f}"


def duration(seconds: float) -> str:
    """Format seconds: two significant digits, or whole ones; a dash for nan."""
    if seconds != seconds:
        return NONE
    if seconds >= 9.95:
        return f"{seconds:,.0f}"
    return np.format_float_positional(seconds, precision=2, fractional=False, trim="-")


def seeds(values: Sequence[int]) -> str:
    """Name seeds in a sentence."""
    return f"seed{'s' if len(values) > 1 else ''} {', '.join(map(str, values))}"


def texts(frame: pd.DataFrame, columns: Mapping[str, Callable[[Any], str]]) -> pd.DataFrame:
    """Turn each row of `frame` into texts: one column per name, from what it says of a row."""
    rows = list(frame.itertuples(index=False))
    return pd.DataFrame({name: [text(row) for row in rows] for name, text in columns.items()})


def table(frame: pd.DataFrame, names: int = 1) -> str:
    """Render a frame of texts as Markdown: the first `names` columns to the left, others right."""
    align = ["left"] * names + ["right"] * (frame.shape[1] - names)
    text: str = frame.to_markdown(index=False, disable_numparse=True, colalign=align)
    return text


def _decimals(metric: str) -> int:
    return DECIMALS[metric.partition("/")[0]]


def _bracketed(mean: float, low: float, high: float, text: Callable[[float, int], str]) -> str:
    """Put the ends beside the mean; `text` gives a number with so many decimals more.

    Of an interval that excludes 0, which decides what is said beside it, no end reads as 0.
    """
    if low != low or high != high:
        return text(mean, 0)

    def end(value: float) -> str:
        texts = [text(value, more) for more in (range(4) if low * high > 0 else range(1))]
        return next(filter(_nonzero, texts), texts[0])

    return f"{text(mean, 0)} [{end(low)}, {end(high)}]"


def _nonzero(text: str) -> bool:
    return any(digit in text for digit in "123456789")


def _sign(text: str) -> str:
    return text.replace("-", "−") if _nonzero(text) else text[1:]
