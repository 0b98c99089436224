import json
from itertools import product

import numpy as np
import pytest
from scipy import stats

from stages import compare as compare_stage
from stages import images as stage
from study.slides import SLIDES
from study.trials.comparison import (
    CELLS,
    COLUMNS,
    ELBO,
    FIGURES,
    MODELS,
    NAMES,
    averages,
    load_figures,
    load_scores,
    outliers,
    over_images,
    rows,
)
from vaefill.errors import InputError
from vaefill.storage import load_table, save_arrays, save_table

SEEDS = (3, 0, 8)
MSE = "square/single_pass/imputation/image/mse"
PARAMS = """
seeds: [3, 0, 8]
recipes: [slow, quick]
compare: {seed: 11, n_resamples: 100, outliers: 0.05}
threads: 1
"""


def runs(n_images=40):
    """The scores of each model and seed, all numbers different; some are not compared."""
    rng = np.random.default_rng(0)
    return {
        f"{model}/{seed}": {name: rng.normal(size=n_images) for name in NAMES}
        | {"importance///image/ess": rng.normal(size=7)}
        for model, seed in product(MODELS, SEEDS)
    }


def save(directory, content):
    """A file per model."""
    models = {}
    for run, arrays in content.items():
        model, seed = run.split("/")
        kept = {f"{seed}/{name}": values for name, values in arrays.items()}
        models.setdefault(model, {}).update(kept)
    for model, arrays in models.items():
        save_arrays(directory / f"{model}.npz", arrays)
    return directory


def constant(value, n_images=40, n_seeds=3):
    return np.full((len(CELLS), len(MODELS), n_seeds, n_images), float(value))


def resampled(scores, n_resamples=100):
    return over_images(scores, n_resamples=n_resamples, rng=np.random.default_rng(11))


def test_scores_are_by_cell_model_seed_and_image(tmp_path):
    content = runs()
    content["gauss/77"] = {}  # of a seed that params.yaml no longer has
    scores = load_scores(save(tmp_path, content), SEEDS)
    expected = [[[content[f"{m}/{s}"][name] for s in SEEDS] for m in MODELS] for name in NAMES]
    np.testing.assert_array_equal(scores, expected)
    assert NAMES[CELLS.index(("square", "imputation", "mse"))] == MSE
    assert NAMES[-1] == ELBO == "none///image/elbo"


def test_intervals_over_images_are_scipys(tmp_path):
    scores = load_scores(save(tmp_path, runs()), SEEDS)
    differences = scores[:, 1] - scores[:, 0]
    low, high = stats.bootstrap(
        (differences,), np.mean, n_resamples=150, method="percentile", axis=-1,
        rng=np.random.default_rng(11),
    ).confidence_interval  # fmt: skip
    expected = np.stack([differences.mean(axis=-1), low, high], axis=-1)
    np.testing.assert_allclose(resampled(scores, 150), expected, rtol=1e-11)
    # Leaving out a seed changes no other.
    np.testing.assert_allclose(resampled(scores[:, :, :2], 150), expected[:, :2], rtol=1e-11)


@pytest.mark.parametrize(("n_images", "end"), [(40, 0), (1, np.nan)])
def test_equal_models_differ_nowhere_and_one_image_has_no_interval(n_images, end):
    found = resampled(constant(0.1, n_images))
    np.testing.assert_array_equal(found, np.broadcast_to([0, end, end], found.shape))


def test_outliers_by_hand():
    scores, mse = constant(0, n_images=4), NAMES.index(MSE)
    scores[-1, 0] = [[-10, -90, -20, -80], [-1, -2, -3, -4], [-5, -6, -7, -8]]
    scores[-1, 1] = [[-99, -99, -99, -99], [-2, -4, -6, -8], [-1, -1, -1, -3]]
    scores[mse, 0] = [[9, 9, 9, 9], [1, 2, 3, 4], [5, 6, 7, 8]]
    scores[mse, 1] = [[9, 9, 9, 9], [4, 3, 2, 1], [0, 1, 0, 2]]
    n_chosen, means = outliers(scores, share=0.5)  # images 1 and 3
    assert n_chosen == 2
    np.testing.assert_array_equal(means[-1], [[np.nan, -3, -7], [np.nan, -6, -2]])
    np.testing.assert_array_equal(means[mse], [[np.nan, 3, 7], [np.nan, 2, 1.5]])
    np.testing.assert_array_equal(means[0], [[np.nan, 0, 0]] * 2)


def test_choosing_on_one_run_does_not_favour_the_other_model():
    # No image is hard, only noise: scored on the run that chose, t would win by far.
    scores = constant(0, 10_000)
    scores[-1] = np.random.default_rng(0).normal(size=(2, 3, 10_000))
    _, means = outliers(scores, share=0.05)
    chosen = np.argsort(scores[-1, 0, 0])[:500]
    assert scores[-1, :, 0, chosen].mean(axis=0) == pytest.approx((-2, 0), abs=0.2)
    np.testing.assert_allclose(means[-1, :, 1:], 0, atol=4 / 500**0.5)


@pytest.mark.parametrize(
    ("share", "n_seeds", "n_chosen"), [(0.05, 3, 2), (0.001, 3, 1), (0.999, 3, 40), (0.05, 1, 2)]
)
def test_share_of_outliers_and_one_seed_that_leaves_none_to_score_them(share, n_seeds, n_chosen):
    found, means = outliers(constant(0, n_seeds=n_seeds), share)
    assert found == n_chosen
    assert np.isfinite(means).all(axis=(0, 1)).tolist() == [False, True, True][:n_seeds]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({MSE: np.zeros(39)}, "square/.*/mse of shape .39,. beside an ELBO of shape .40,"),
        ({MSE: np.zeros((40, 1))}, "square/.*/mse of shape .40, 1. beside an ELBO of shape .40,"),
        ({MSE: np.r_[np.nan, np.zeros(38), np.inf]}, "square/.*/mse is not finite for 2 of 40"),
        ({name: np.zeros(39) for name in NAMES}, "scores of 39 images, but of 40 in "),
        (dict.fromkeys([MSE]), f"no score {MSE}"),
    ],
    ids=["short", "2d", "nan", "other images", "no score"],
)
def test_scores_that_cannot_be_compared_are_refused(tmp_path, change, message):
    content = runs()
    changed = content["t/0"] | change
    content["t/0"] = {name: x for name, x in changed.items() if x is not None}
    save(tmp_path, content)
    with pytest.raises(InputError, match=f"^{tmp_path}/t.npz: seed 0: {message}"):
        load_scores(tmp_path, SEEDS)


def test_a_model_or_a_seed_without_scores_is_named(tmp_path):
    save(tmp_path, runs())
    with pytest.raises(InputError, match=r"/gauss\.npz: seed 5: no score "):
        load_scores(tmp_path, (*SEEDS, 5))
    (tmp_path / "t.npz").unlink()
    with pytest.raises(InputError, match=r"/t\.npz: no such file"):
        load_scores(tmp_path, SEEDS)


def metrics(directory):
    """The metrics of both models, all numbers different; those of other seeds and names too."""
    for offset, model in enumerate(MODELS):
        table = [
            [seed, *(seed**2 + offset * (seed + 1) + i for i in range(len(FIGURES))), "x"]
            for seed in (*SEEDS, 77)
        ]
        save_table(directory / f"{model}.csv", ("seed", *FIGURES.values(), "other"), table)
    return directory


def test_figures_over_seeds_by_hand(tmp_path):
    figures = load_figures(metrics(tmp_path), SEEDS)
    assert figures["elbo"] == ([9, 0, 64], [13, 1, 73])
    assert averages(figures)["t"] == {name: 29 + number for number, name in enumerate(FIGURES)}
    name, gauss, t, difference, low, high = rows(figures)[0]
    assert (name, gauss, t) == ("elbo", 73 / 3, 29)
    interval = stats.ttest_rel([13, 1, 73], [9, 0, 64]).confidence_interval()
    np.testing.assert_allclose((difference, low, high), (14 / 3, *interval))


@pytest.mark.parametrize(
    ("old", "new"), [("seed,", "sead,"), ("elbo.elbo", "e"), ("\n0,", "\n1,"), ("64", "x")]
)
def test_metrics_that_lack_a_number_are_refused(tmp_path, old, new):
    file = metrics(tmp_path) / "gauss.csv"
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=r"gauss\.csv: not the metrics of seeds \(3, 0, 8\)"):
        load_figures(tmp_path, SEEDS)


# The stages


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(PARAMS)
    for recipe in ("slow", "quick", "no_longer_in_params"):
        save(tmp_path / "scores" / recipe, runs())
        metrics(tmp_path / "metrics" / recipe)
    return tmp_path


def test_means_of_every_recipe_are_shown(project, capsys):
    (project / "params.yaml").write_text("seeds: [3, 0, 8]\nrecipes: [slow, quick]\n")
    compare_stage.main(["--metrics=metrics", "--out=metrics.json"])
    assert capsys.readouterr().out.count("| elbo ") == 2
    assert json.loads((project / "metrics.json").read_text())["quick"]["t"]["elbo"] == 29


def test_a_row_per_recipe_cell_and_seed(project):
    arguments = ["--scores=scores", "--out=reports/images.csv"]
    stage.main(arguments)
    file = project / "reports/images.csv"
    content, table = file.read_bytes(), load_table(file)
    assert tuple(table[0]) == ("recipe", *COLUMNS)
    keys = [tuple(row.values())[:5] for row in table]
    assert keys == [
        (recipe, *cell, str(seed))
        for recipe, cell, seed in product(("slow", "quick"), CELLS, SEEDS)
    ]
    assert {*SLIDES} < {*CELLS}
    half = len(table) // 2  # the same scores, thus the same resamples
    assert [row | {"recipe": "quick"} for row in table[:half]] == table[half:]
    scores = load_scores("scores/slow", SEEDS)
    n_outliers, means = outliers(scores, 0.05)
    numbers = np.concatenate([resampled(scores), means.swapaxes(1, 2)], axis=-1).reshape(-1, 5)
    assert [[*row.values()][5:] for row in table[:half]] == [
        [*(f"{x:.6g}".replace("nan", "") for x in row), "40", "100", str(n_outliers)]
        for row in numbers
    ]
    stage.main(arguments)
    assert file.read_bytes() == content


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("outliers: 0.05", "outliers: 1", "compare.outliers"),
        ("outliers: 0.05", "outliers: 0.0", "compare.outliers"),
        ("n_resamples: 100", "n_resamples: 99", "compare.n_resamples"),
        ("seed: 11", "seed: -1", "compare.seed"),
        ("[slow, quick]", "[]", "recipes"),
        ("[3, 0, 8]", "[]", "seeds"),
    ],
)
def test_bad_params_are_named(project, old, new, key):
    (project / "params.yaml").write_text(PARAMS.replace(old, new))
    with pytest.raises(InputError, match=rf"params\.yaml: {key} = "):
        stage.main(["--scores=scores", "--out=reports/images.csv"])
    assert not (project / "reports").exists()
