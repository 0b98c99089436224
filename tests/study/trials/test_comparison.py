import json
from itertools import product

import numpy as np
import pytest
from scipy import stats

from stages import compare as compare_stage
from stages import images as stage
from study.trials.comparison import (
    ELBO,
    FIGURES,
    MODELS,
    NAMES,
    averages,
    compare,
    load_figures,
    load_scores,
    outliers,
    over_images,
    rows,
)
from vaefill.errors import InputError
from vaefill.storage import save_arrays, save_table

SEEDS = (3, 0, 8)
MSE = "square/single_pass/imputation/image/mse"
PARAMS = """
seeds: [3, 0, 8]
recipes: [slow, quick]
compare: {seed: 11, n_resamples: 100, outliers: 0.05}
threads: 1
"""
ARGUMENTS = ["--scores=scores", "--out=reports/images.json"]


def runs(n_images=40):
    """One file's content per model and seed, all numbers different; some are not compared."""
    rng = np.random.default_rng(0)
    return {
        f"{model}/{seed}": {name: rng.normal(size=n_images) for name in NAMES}
        | {"importance///image/ess": rng.normal(size=7)}
        for model, seed in product(MODELS, SEEDS)
    }


def save(directory, content):
    for run, arrays in content.items():
        save_arrays(directory / f"{run}.npz", arrays)
    return directory


def constant(value, n_images=40):
    return {name: np.full((len(MODELS), len(SEEDS), n_images), value) for name in NAMES}


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def test_scores_are_by_model_seed_and_image(tmp_path):
    content = runs()
    content["gauss/77"] = {}  # of a seed that params.yaml no longer has
    scores = load_scores(save(tmp_path, content), SEEDS)
    assert tuple(scores) == NAMES
    for name in NAMES:
        expected = [[content[f"{model}/{seed}"][name] for seed in SEEDS] for model in MODELS]
        np.testing.assert_array_equal(scores[name], expected)


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        (("square", "imputation", "mse"), MSE),
        (("random", "prediction", "ssim"), "random/single_pass/prediction/image/ssim"),
        (("elbo", "elbo"), ELBO),
    ],
    ids="-".join,
)
def test_intervals_over_images_are_scipys(tmp_path, rng, cell, name):
    content = runs()
    found = compare(save(tmp_path, content), SEEDS, n_resamples=150, share=0.1, seed=11)
    assert (found["images"], found["resamples"]) == (40, 150)
    level = found["bootstrap"]
    for key in cell:
        level = level[key]
    differences = np.stack([content[f"t/{s}"][name] - content[f"gauss/{s}"][name] for s in SEEDS])
    low, high = stats.bootstrap(
        (differences,), np.mean, n_resamples=150, method="percentile", axis=1, rng=rng
    ).confidence_interval
    assert list(level) == ["3", "0", "8"]
    for i, entry in enumerate(level.values()):
        assert entry == pytest.approx(
            {"diff": differences[i].mean(), "low": low[i], "high": high[i]}, rel=1e-12
        )


def test_every_cell_of_the_slides_and_ssim_is_compared(rng):
    table = over_images(constant(0.0, n_images=3), SEEDS, n_resamples=100, rng=rng)
    assert table.pop("elbo").keys() == {"elbo"}
    for outputs in (table.pop("random"), table.pop("square")):
        for output in ("prediction", "imputation"):
            assert set(outputs.pop(output)) == {"mse", "ssim_global", "ssim"}
        assert not outputs
    assert not table


def test_leaving_out_a_seed_changes_no_other(tmp_path):
    save(tmp_path, runs())
    settings = {"n_resamples": 100, "share": 0.1, "seed": 11}
    every, fewer = (compare(tmp_path, s, **settings)["bootstrap"] for s in (SEEDS, SEEDS[:2]))
    del every["elbo"]["elbo"]["8"]
    for seed, entry in fewer["elbo"]["elbo"].items():
        assert entry == pytest.approx(every["elbo"]["elbo"][seed], rel=1e-12)


def test_the_same_model_twice_differs_nowhere(rng):
    table = over_images(constant(0.1), SEEDS, n_resamples=100, rng=rng)
    assert table["elbo"]["elbo"]["0"] == {"diff": 0, "low": 0, "high": 0}


def test_one_image_has_no_interval(rng):
    table = over_images(constant(0.0, n_images=1), SEEDS, n_resamples=100, rng=rng)
    assert table["elbo"]["elbo"]["0"] == {"diff": 0, "low": None, "high": None}


def test_outliers_by_hand():
    scores = constant(0.0, n_images=4)
    scores[ELBO][0] = [[-10, -90, -20, -80], [-1, -2, -3, -4], [-5, -6, -7, -8]]
    scores[ELBO][1] = [[-99, -99, -99, -99], [-2, -4, -6, -8], [-1, -1, -1, -3]]
    scores[MSE][0] = [[9, 9, 9, 9], [1, 2, 3, 4], [5, 6, 7, 8]]
    scores[MSE][1] = [[9, 9, 9, 9], [4, 3, 2, 1], [0, 1, 0, 2]]
    found = outliers(scores, SEEDS, share=0.5)  # images 1 and 3
    assert (found["chosen_on"], found["images"]) == (3, 2)
    assert found["elbo"] == {"gauss": {"0": -3, "8": -7}, "t": {"0": -6, "8": -2}}
    assert found["scores"]["square"]["imputation"]["mse"] == {
        "gauss": {"0": 3, "8": 7},
        "t": {"0": 2, "8": 1.5},
    }
    assert found["scores"]["random"]["imputation"]["mse"]["t"] == {"0": 0, "8": 0}


def test_choosing_on_one_run_does_not_favour_the_other_model():
    # No image is hard, only noise: scored on the run that chose, t would win by far.
    rng = np.random.default_rng(0)
    scores = constant(0.0, 10_000) | {ELBO: rng.normal(size=(2, 3, 10_000))}
    found = outliers(scores, SEEDS, share=0.05)["elbo"]
    chosen = np.argsort(scores[ELBO][0, 0])[:500]
    assert scores[ELBO][:, 0, chosen].mean(axis=1) == pytest.approx((-2, 0), abs=0.2)
    for model in MODELS:
        assert list(found[model].values()) == pytest.approx([0, 0], abs=4 / 500**0.5)


@pytest.mark.parametrize(("share", "n_chosen"), [(0.05, 2), (0.001, 1), (0.999, 40)])
def test_share_of_outliers(share, n_chosen):
    assert outliers(constant(0.0), SEEDS, share=share)["images"] == n_chosen


def test_one_seed_has_no_outliers_to_score():
    assert outliers({name: np.zeros((2, 1, 40)) for name in NAMES}, [0], share=0.05) is None


def refusal(directory, content):
    with pytest.raises(InputError) as refused:
        load_scores(save(directory, content), SEEDS)
    return str(refused.value)


def test_a_missing_run_is_named(tmp_path):
    message = refusal(tmp_path, {run: a for run, a in runs().items() if run != "t/8"})
    assert message.startswith(f"{tmp_path / 't' / '8.npz'}: no such file")


def test_runs_of_other_images_are_refused(tmp_path):
    other = runs() | {"t/0": runs(n_images=39)["t/0"]}
    assert "0.npz: scores of 39 images, but of 40 in " in refusal(tmp_path, other)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(39), r"mse of shape (39,) beside an ELBO of shape (40,)"),
        (np.zeros((40, 1)), r"mse of shape (40, 1) beside an ELBO of shape (40,)"),
        (np.r_[np.nan, np.zeros(38), np.inf], "mse is not finite for 2 of 40 images"),
        (None, f"no score {MSE}"),
    ],
    ids=["short", "2d", "nan", "absent"],
)
def test_scores_that_cannot_be_compared_are_refused(tmp_path, values, message):
    content = runs()
    del content["t/0"][MSE]
    if values is not None:
        content["t/0"][MSE] = values
    found = refusal(tmp_path, content)
    assert found.startswith(f"{tmp_path / 't' / '0.npz'}: ")
    assert message in found


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


# The stage


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


def test_stage_compares_every_recipe_alike(project):
    stage.main(ARGUMENTS)
    content = (project / "reports/images.json").read_bytes()
    written = json.loads(content)
    assert set(written) == {"slow", "quick"}
    assert written["slow"] == written["quick"]  # the same scores, thus the same resamples
    assert written["slow"]["outliers"]["images"] == 2
    expected = compare("scores/slow", SEEDS, n_resamples=100, share=0.05, seed=11)
    entry = expected["bootstrap"]["square"]["imputation"]["mse"]["8"]
    assert written["slow"]["bootstrap"]["square"]["imputation"]["mse"]["8"] == {
        end: float(f"{value:.6g}") for end, value in entry.items()
    }
    stage.main(ARGUMENTS)
    assert (project / "reports/images.json").read_bytes() == content


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
        stage.main(ARGUMENTS)
    assert not (project / "reports").exists()
