"""Scores of imputers, by hand and against the pieces they are made of."""

import numpy as np
import pytest
from scipy import stats

from study.trials.assessment import (
    Source,
    accuracy_rows,
    in_order,
    ink_rows,
    source_rows,
    uncertainty_rows,
)
from vaefill.metrics.calibration import CURVE, score_draws

SOURCE = Source("conv", "t", 3, "draws")


def as_dict(rows):
    rows = list(rows)
    assert all(row[:6] == ("conv", "t", 3, "random", "draws", "imputation") for row in rows)
    return {"/".join(row[6:-1]): row[-1] for row in rows}


def test_errors_by_hand_and_the_digit_of_the_imputation():
    rng = np.random.default_rng(0)
    images, missing = rng.random((12, 8, 8)).astype(np.float32), rng.random((12, 8, 8)) < 0.4
    prediction = rng.random((12, 8, 8)).astype(np.float16)
    seen = []

    def recognised(filled):
        seen.append(filled)
        return 0.75

    rows = accuracy_rows(SOURCE, "random", prediction, images, missing, recognised=recognised)
    found = as_dict(rows)
    filled = np.where(missing, prediction.astype(np.float32), images)
    np.testing.assert_array_equal(seen, [filled])
    error = np.square(filled.astype(float) - images)
    per_image = error.sum((1, 2)) / missing.sum((1, 2))
    assert found.pop("image/mse") == pytest.approx(error.mean())
    assert found.pop("missing/mse") == pytest.approx(per_image.mean())
    assert found.pop("image/accuracy") == 0.75
    assert set(found) == {"image/ssim", "image/ssim_global"}


def test_a_source_is_scored_under_every_mechanism_on_the_images_that_it_imputed():
    rng = np.random.default_rng(0)
    images = rng.random((12, 8, 8)).astype(np.float32)
    missing = {name: rng.random((12, 8, 8)) < 0.4 for name in ("random", "square")}
    found = {f"{name}/mean": rng.random((5, 8, 8)).astype(np.float16) for name in missing}
    draws = rng.integers(256, size=(39, 5, 8, 8), dtype=np.uint8)
    scores = score_draws(draws, draws[0], missing["square"][:5], CURVE)
    found |= {f"square/uncertainty/{key}": value for key, value in scores.items()}

    def recognised(filled):
        return float(len(filled))

    rows = list(source_rows(SOURCE, found, images, missing, recognised=recognised))
    expected = []
    for name, gaps in missing.items():
        part = (found[f"{name}/mean"], images[:5], gaps[:5])
        expected += accuracy_rows(SOURCE, name, *part, recognised=recognised)
    draws = {f"uncertainty/{key}": value for key, value in scores.items()}
    expected += uncertainty_rows(SOURCE, "square", draws)
    assert rows == expected
    assert {row[-1] for row in rows if row[-2] == "accuracy"} == {5.0}


def test_honest_draws_cover_what_they_promise():
    # The truth is one more draw of the same law, half of it exactly 0.
    rng = np.random.default_rng(0)
    levels = rng.integers(1, 255, size=(80, 60, 8, 8)) * (rng.random((80, 60, 8, 8)) < 0.5)
    truth, draws = levels[0].astype(np.uint8), levels[1:].astype(np.uint8)
    missing = rng.random((60, 8, 8)) < 0.5
    scores = score_draws(draws, truth, missing, CURVE)
    found = {f"uncertainty/{key}": value for key, value in scores.items()}
    # A method without chains or weights has no flags.
    assert "image/flagged" not in as_dict(uncertainty_rows(SOURCE, "random", found))
    found["diagnostics/rhat"] = np.array([1.0, 1.2, np.nan, 1.01])
    found["diagnostics/ess"] = np.array([10.0, 20.0, np.nan, 30.0])
    rows = as_dict(uncertainty_rows(SOURCE, "random", found))
    assert rows["image/flagged"] == 0.25
    assert rows["image/ess"] == pytest.approx(20)
    assert rows["missing/crps"] == pytest.approx(scores["crps"].sum() / missing.sum())
    for level in CURVE:
        low, high = stats.binom.interval(0.9999, missing.sum(), level) / missing.sum()
        assert low <= rows[f"missing/coverage_{level:g}"] <= high
        # With the ends included it is more: half of the truth ties with an end at 0.
        assert rows[f"missing/covered_{level:g}"] > level


def test_ink_from_multiple_imputations_is_pooled_and_single_ones_are_not():
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(40, 8, 8)).astype(np.uint8)
    missing = np.zeros((40, 8, 8), bool)
    missing[:, :4] = True
    ink = rng.normal(0.5, 0.05, size=(10, 40))
    found = ink_rows(images, missing, np.full((40, 8, 8), 0.5), ink, np.repeat([3, 8], 20))
    rows = {row[:2]: row[2:] for row in found}
    assert set(rows) == {(d, s) for d in (3, 8) for s in ("complete", "zero", "mean", "multiple")}
    true = images[20:].mean((1, 2)) / 255
    ends = stats.t.interval(0.95, 19, true.mean(), true.std(ddof=1) / np.sqrt(20))
    *numbers, fmi = rows[8, "complete"]
    assert numbers == pytest.approx([true.mean(), *ends])
    assert fmi == ""
    halves = images[20:, 4:].mean((1, 2)) / 255 / 2
    assert rows[8, "zero"][0] == pytest.approx(halves.mean())
    assert rows[8, "mean"][0] == pytest.approx(halves.mean() + 0.25)
    # Rubin's rules by hand.
    q, u = ink[:, 20:].mean(1), ink[:, 20:].var(1, ddof=1) / 20
    estimate, low, high, fmi = rows[8, "multiple"]
    assert estimate == pytest.approx(q.mean(), rel=1e-6)
    assert high - low > 2 * 1.96 * np.sqrt(u.mean() + 1.1 * q.var(ddof=1))
    assert 0 < fmi < 1


def test_baselines_without_a_seed_sort_beside_the_others():
    rows = [("mlp", "t", 10, "random"), ("", "knn", "", "square"), ("mlp", "t", 9, "random")]
    rows = [(*row, "m", "imputation", "image", "mse", 1.0) for row in rows]
    assert in_order(rows)[0][1] == "knn"
    assert in_order(rows[::-1]) == in_order(rows)
