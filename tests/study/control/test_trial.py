"""The trial: the same rows for all, seed by seed."""

import pandas as pd
import pytest

from study.control.cases import COLUMNS, DIVERGED, LOG_LIKELIHOOD, METRICS, MODELS, ORACLE
from study.control.trial import run

SETTINGS = {
    "df": 3.0, "rows": 1000, "valid_rows": 50, "test_rows": 400, "columns": 8, "latent": 2,
    "noise": 0.5, "missing": [0.5],
    "training": {
        "epochs": 8, "batch_size": 50, "lr": 0.01, "warmup": 0.1, "clip": 10.0, "n_draws": 4,
    },
    "n_proposals": 100, "n_draws": 19,
}  # fmt: skip


def table(truth, codes, **changes):
    rows = run(truth, codes, 0, **{**SETTINGS, **changes})
    return pd.DataFrame(rows, columns=COLUMNS)


@pytest.fixture(scope="module")
def shared():
    return table("linear", "shared_t")


def test_every_model_has_every_score(shared):
    assert set(shared["model"]) == {*MODELS, ORACLE}
    assert set(shared["metric"]) == set(METRICS)
    assert (shared["missing"] == 0).equals(shared["metric"] == LOG_LIKELIHOOD)
    assert len(shared) == 4 * 4


def test_the_t_wins_where_it_is_true_and_loses_where_it_is_not(shared):
    def gain(scores, model):
        values = scores[scores["metric"] == LOG_LIKELIHOOD].set_index("model")["value"]
        return values[model] - values["gauss"]

    most = gain(shared, ORACLE)
    assert most / 2 < gain(shared, "multivariate_t") < most + 0.05
    mirror = table("linear", "gauss")
    assert gain(mirror, "t") < 0
    assert gain(mirror, "multivariate_t") < 0


def test_a_seed_decides_everything(shared):
    pd.testing.assert_frame_equal(shared, table("linear", "shared_t"))


def test_a_training_that_diverges_is_a_result():
    scores = table("linear", "t", training=SETTINGS["training"] | {"lr": 1e6})
    assert list(scores["model"]) == [*MODELS, ORACLE]
    assert (scores["metric"] == DIVERGED).all()
    assert (scores["value"] == 1).all()


def test_models_of_nonlinear_truths_bend():
    scores = table("nonlinear", "t", rows=200, test_rows=50, missing=[0.5, 0.9])
    assert scores["value"].notna().all()
    assert sorted(scores["missing"].unique()) == [0, 0.5, 0.9]
