"""What the control shows: the tracked scores of models whose truth is known.

A gain is what a t model has over the Gaussian one that learned from the same rows with the same
seed: of the log-likelihood in nats per row, of an error relative to the Gaussian's of that seed.
"""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from study.control.cases import (
    CODES,
    COVERAGE,
    DIVERGED,
    LOG_LIKELIHOOD,
    METRICS,
    MODELS,
    ORACLE,
    TRUTHS,
)
from study.report import formats
from study.report.frames import Column, read
from study.report.verdicts import paired, verdict
from vaefill.errors import InputError

COLUMNS = {
    "truth": Column(among=tuple(TRUTHS)), "codes": Column(among=tuple(CODES)),
    "model": Column(among=(*MODELS, ORACLE)), "seed": Column(int, low=0),
    "missing": Column(float, low=0), "metric": Column(among=(*METRICS, DIVERGED)),
    "value": Column(float),
}  # fmt: skip
CELL = ["truth", "codes", "missing", "metric"]
CODE_NAMES = {"gauss": "Gaussian", "t": "independent t", "shared_t": "multivariate t"}
MODEL_NAMES = {
    "gauss": "Gaussian", "t": "t prior", "multivariate_t": "multivariate t", ORACLE: "oracle",
}  # fmt: skip
#: The t model that is held to the Gaussian one, by codes: where there is one, the right one.
RIVALS = {"gauss": "t", "t": "t", "shared_t": "multivariate_t"}
#: Where the t must win in every seed, by so many nats per row at least, and where it must not.
WON, LEAST, LOST = ("linear", "shared_t"), 0.4, ("linear", "gauss")

_Columns = Mapping[str, Callable[[Any], str]]
_CASE: _Columns = {
    "codes": lambda row: CODE_NAMES[row.codes],
    "decoder": lambda row: row.truth,
}
_GAINS: _Columns = {
    "log-likelihood, nats per row": lambda row: formats.difference(
        row.diff, row.low, row.high, LOG_LIKELIHOOD
    ),
    "oracle, nats": lambda row: formats.signed(row.diff_oracle, LOG_LIKELIHOOD),
    "RMSE": lambda row: formats.relative(row.diff_rmse, row.low_rmse, row.high_rmse, 1),
    "oracle, RMSE": lambda row: formats.percent(row.diff_rmse_oracle),
    "by log-likelihood, t is": lambda row: verdict(LOG_LIKELIHOOD, row.low, row.high),
}
_DIVERGED: _Columns = {
    "model": lambda row: MODEL_NAMES[row.model],
    "seed": lambda row: f"{row.seed}",
    "epoch": lambda row: f"{row.value:.0f}",
}


def load(path: str | Path) -> pd.DataFrame:
    """Read the table of the control.

    Raises
    ------
    InputError
        When it is missing or breaks a rule of `study.report.frames.read`, or lacks what the
        answer is about.
    """
    scores = read(path, COLUMNS, key=list(COLUMNS)[:-1])
    for truth, codes in (WON, LOST):
        if by_seed(scores, truth, codes)[RIVALS[codes]].isna().all():
            raise InputError(
                f"{path}: no seed has both models' scores of truth {truth} and codes {codes};"
                f" control.truths in params.yaml must hold {truth}, and control.training converge"
            )
    return scores


def relative(scores: pd.DataFrame) -> pd.DataFrame:
    """Divide every error by the Gaussian model's of the same seed: truths are not alike in size."""
    wide = scores.pivot(index=[*CELL, "seed"], columns="model", values="value")
    errors = wide.index.get_level_values("metric") != LOG_LIKELIHOOD
    wide[errors] = wide[errors].div(wide.loc[errors, "gauss"], axis="index")
    return wide.stack().rename("value").reset_index()


def gains(scores: pd.DataFrame) -> pd.DataFrame:
    """Set the t model of `RIVALS`, and the oracle, side by side with the Gaussian model.

    Returns
    -------
    DataFrame
        `CELL`, ``model`` and the numbers of `study.report.verdicts.compare`, paired by seed.
    """
    scores = relative(scores)
    pairs = [
        paired(scores, CELL, sides=("gauss", model)).assign(model=model)
        for model in (*MODELS, ORACLE)
        if model != "gauss"
    ]
    found = pd.concat(pairs, ignore_index=True)
    return found[(found["model"] == ORACLE) | (found["model"] == found["codes"].map(RIVALS))]


def by_seed(scores: pd.DataFrame, truth: str, codes: str) -> pd.DataFrame:
    """Return the gain of the log-likelihood over the Gaussian model: seeds by models."""
    own = scores[(scores["truth"] == truth) & (scores["codes"] == codes)]
    own = own[own["metric"] == LOG_LIKELIHOOD]
    wide = own.pivot(index="seed", columns="model", values="value")
    wide = wide.reindex(columns=list(MODEL_NAMES))  # one that always diverged, too
    return wide.sub(wide.pop("gauss"), axis="index")


def section(scores: pd.DataFrame) -> dict[str, Any]:
    """Return what ``control.md.j2`` says.

    Parameters
    ----------
    scores : DataFrame
        As from `load`.
    """
    diverged = scores["metric"] == DIVERGED
    covered = scores[(scores["model"] == ORACLE) & (scores["metric"] == COVERAGE)]
    cases = _cases(gains(scores), scores["missing"].max())
    of_case = cases.set_index(CELL[:2])
    first, mirror = of_case.loc[WON], of_case.loc[LOST]
    won = by_seed(scores, *WON)[RIVALS[WON[1]]]
    lost = by_seed(scores, *LOST).drop(columns=ORACLE).max(axis="columns")  # by any t
    return {
        "won": first.to_dict(),
        "lost": mirror.to_dict(),
        "held": won.min() > LEAST and lost.max() < 0 and first["low"] > 0 > mirror["high"],
        "won_least": won.min(),
        "lost_most": lost.max(),
        "least": LEAST,
        "seeds": len(won),
        "most_missing": scores["missing"].max(),
        "covered": covered.groupby(CELL)["value"].mean().agg(["min", "max"]).to_dict(),
        "gains": formats.texts(cases, {**_CASE, **_GAINS}),
        "diverged": formats.texts(scores[diverged], {**_CASE, **_DIVERGED}),
        "means": _means(scores[~diverged]),
    }


def _cases(found: pd.DataFrame, most: float) -> pd.DataFrame:
    """Give a row per truth and codes: gains of log-likelihood and, `most` missing, of RMSE."""
    parts = []
    for metric, missing, name in ((LOG_LIKELIHOOD, 0, ""), ("rmse", most, "_rmse")):
        rows = found[(found["metric"] == metric) & (found["missing"] == missing)]
        for own, suffix in ((rows["model"] != ORACLE, ""), (rows["model"] == ORACLE, "_oracle")):
            numbers = rows[own].set_index(CELL[:2])[["diff", "low", "high"]]
            parts.append(numbers.add_suffix(name + suffix))
    wide = pd.concat(parts, axis=1)
    return wide.loc[[case for case in product(TRUTHS, CODES) if case in wide.index]].reset_index()


def _means(scores: pd.DataFrame) -> pd.DataFrame:
    """Texts: every score of every model, means over seeds."""
    wide = scores.pivot_table(index=CELL, columns="model", values="value", sort=False)
    rows = wide.reindex(columns=list(MODEL_NAMES)).reset_index()
    models = {MODEL_NAMES[model]: partial(_mean, model=model) for model in MODEL_NAMES}
    names = {
        "missing": lambda row: f"{formats.share(row.missing, 0)} %",
        "score": lambda row: row.metric.replace("_", " "),
    }
    return formats.texts(rows, {**_CASE, **names, **models})


def _mean(row: Any, model: str) -> str:
    return formats.number(getattr(row, model), row.metric)
