"""What runs of several seeds show: paired differences, and the words for their intervals.

Better and worse are said only where an interval excludes 0.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.special import nctdtrinc

from vaefill.metrics.statistics import mean_interval, paired_difference

BETTER, WORSE = "better", "worse"
SAME, UNKNOWN = "no difference found", "cannot be told"
WORDS = (BETTER, WORSE, SAME, UNKNOWN)
#: Of what is not listed neither direction is the better one.
LOWER_IS_BETTER = {
    "mse": True, "crps": True, "miss": True,
    "ssim": False, "ssim_global": False, "elbo": False, "log_likelihood": False,
}  # fmt: skip


def verdict(metric: str, low: float, high: float) -> str:
    """Say what an interval of a difference shows of the second of two, in one of four words.

    Parameters
    ----------
    metric : str
        A key of `LOWER_IS_BETTER`, or a path that begins with one.
    low, high : float
        Ends of the interval; nan where there is none, as with one seed.
    """
    if np.isnan(low) or np.isnan(high):
        return UNKNOWN
    if low <= 0 <= high:
        return SAME
    return BETTER if (high < 0) == LOWER_IS_BETTER[metric.partition("/")[0]] else WORSE


def compare(reference: ArrayLike, other: ArrayLike) -> dict[str, float]:
    """Set two models side by side: one value of each per seed, in one order.

    Returns
    -------
    dict of str to float
        ``reference`` and ``other`` (means over seeds), ``reference_half`` and ``other_half``
        (half the width of their 95 % intervals), ``diff`` (other - reference, paired), ``low``
        and ``high`` (its 95 % interval), ``sd`` (of the differences); what needs two seeds is nan
        with one. ``n`` is the number of seeds.
    """
    first, second = mean_interval(reference), mean_interval(other)
    diff = paired_difference(reference, other)
    differences = np.asarray(other) - np.asarray(reference)
    return {
        "reference": first.mean,
        "other": second.mean,
        "reference_half": (first.high - first.low) / 2,
        "other_half": (second.high - second.low) / 2,
        "diff": diff.mean,
        "low": diff.low,
        "high": diff.high,
        "sd": float(differences.std(ddof=1)) if len(differences) > 1 else np.nan,
        "n": len(differences),
    }


def paired(
    scores: pd.DataFrame,
    by: Sequence[str],
    *,
    side: str = "model",
    sides: tuple[Any, Any] = ("gauss", "t"),
) -> pd.DataFrame:
    """Compare two sides of a long frame, paired by seed, for every combination of `by`.

    Parameters
    ----------
    scores : DataFrame
        Long form, with columns `by`, `side`, ``seed`` and ``value``; one row per number.
    by : sequence of str
        Columns that name a score; their order of appearance is kept.
    side : str
        The column that tells the two sides apart.
    sides : pair
        Its values: the reference, and the other. Only seeds that both have count.

    Returns
    -------
    DataFrame
        One row per score that both sides have: `by`, the numbers of `compare`, ``seeds``
        (a tuple).
    """
    chosen = scores[scores[side].isin(sides)]
    wide = chosen.pivot(index=[*by, "seed"], columns=side, values="value").reindex(columns=sides)
    wide = wide.dropna().reset_index()
    order = scores[list(by)].drop_duplicates()
    rows = [
        dict(zip(by, names, strict=True))
        | compare(group[sides[0]], group[sides[1]])
        | {"seeds": tuple(group["seed"])}
        for names, group in wide.groupby(list(by), sort=False)
    ]
    if not rows:
        return order.iloc[:0].assign(**dict.fromkeys([*compare([0], [0]), "seeds"], ()))
    return order.merge(pd.DataFrame(rows), on=list(by))


def spread(claim: ArrayLike, diff: ArrayLike, sd: ArrayLike, n: ArrayLike) -> NDArray[np.float64]:
    r"""Hold a difference that somebody claims to a normal distribution fitted to n others.

    With differences of mean :math:`\bar d` and standard deviation :math:`s`, one more difference
    :math:`d` of the same normal distribution has

    .. math:: \frac{d - \bar d}{s \sqrt{1 + 1/n}} \sim t_{n-1}

    (its prediction interval), because mean and spread are themselves known from n only.

    Parameters
    ----------
    claim : array-like of shape (k,)
        The differences claimed, none of them 0.
    diff, sd, n : array-like of shape (k,)
        Mean, standard deviation and number of the others, as from `compare`.

    Returns
    -------
    float64 array of shape (2, k)
        Distance of the claim from the mean, in sd; and the probability that one more difference
        goes at least as far, in the direction of the claim. nan where n is 1.
    """
    # Where both models are one and the same, as at df = inf, sd is 0.
    claims, means, sds, sizes = (np.asarray(x, np.float64) for x in (claim, diff, sd, n))
    with np.errstate(divide="ignore", invalid="ignore"):
        units = (claims - means) * np.sign(claims) / sds
        chance = stats.t.sf(units / np.sqrt(1 + 1 / sizes), sizes - 1)
    return np.stack([np.abs(units), chance])


def detectable(sd: float, n: int, *, power: float = 0.8, level: float = 0.95) -> float:
    r"""Find how large a difference is that paired runs would have shown.

    The interval of n differences of mean :math:`\delta` and standard deviation :math:`s` excludes
    0 when :math:`\sqrt n \, |\bar d| / s > t_{n-1, (1 + level)/2}`, and the left side is a
    noncentral t with :math:`n - 1` degrees of freedom and noncentrality
    :math:`\delta \sqrt n / s` (J. Cohen, *Statistical power analysis for the behavioral
    sciences*, 1988, chapter 2): solved for the :math:`\delta` at which that happens with
    probability `power`.

    Parameters
    ----------
    sd : float
        Of one difference, as from `compare`; the result is in its unit.
    n : int
        How many there are; with one the result is nan.
    power : float, default=0.8
        Above 1 - `level`.
    level : float, default=0.95
        Of the interval.
    """
    if n < 2:
        return np.nan
    edge = stats.t.ppf((1 + level) / 2, n - 1)
    # That the interval lies wholly on the wrong side of 0 is left out: less than once in 10^4.
    return float(nctdtrinc(n - 1, 1 - power, edge) * sd / np.sqrt(n))
