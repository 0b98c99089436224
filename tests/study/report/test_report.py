"""The report's page: every number recomputed from the files, every verdict from the numbers."""

import re
import shutil
from itertools import product

import control_files
import factor_files
import imputation_files
import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT
from scipy import stats

from stages.report import ReportParams, main
from study.params import read_params, read_yaml
from study.report.factors import read_factors
from study.report.pages import report
from study.report.render import render
from study.report.runs import MODELS, load_histories, load_images, load_metrics
from study.slides import SLIDES, Cell
from study.trials.comparison import CELLS, COLUMNS
from study.trials.tiles import save_tiles
from vaefill.errors import InputError
from vaefill.storage import load_json, load_table, save_table

SEEDS = (0, 1, 10)
RECIPES = ("slides", "converged")
ARGS = ["--reports", "reports", "--sweep", "reports/sweep.csv", "--plan", "sweep.yaml"]
ARGS += ["--factors", "factors.yaml"]
PLAN = "recipe: converged\nexperiments: [{model: gauss, kl_weight: [0.5, 1]}]\n"
PARAMS = read_params(ReportParams, ROOT).model_dump()
ENVIRONMENT = {"device": "cpu", "python": "3.11", "torch": "2.13.0", "precision": "float32"}
IMPUTED = Cell("square", "imputation", "mse")

# What a run of each model scores, before its seed's own small change.
ERRORS = {
    ("random", "prediction"): {"mse": 0.0281, "ssim": 0.283, "ssim_global": 0.236},
    ("random", "imputation"): {"mse": 0.0092, "ssim": 0.083, "ssim_global": 0.058},
    ("square", "prediction"): {"mse": 0.0491, "ssim": 0.445, "ssim_global": 0.418},
    ("square", "imputation"): {"mse": 0.0245, "ssim": 0.198, "ssim_global": 0.175},
}
OTHERS = {
    "elbo.elbo": -107.8, "elbo.reconstruction": -91.0, "elbo.kl": 16.8,
    "likelihood.log_likelihood": -101.0, "likelihood.ess": 31.0, "likelihood.ess_low": 4.0,
    "likelihood.images": 1000.0, "latent.kl.0": 1.0, "latent.kl.1": 3.0, "latent.kl.2": 2.0,
    "latent.quantiles.0.01": -2.2, "latent.quantiles.0.99": 2.2,
    "scores.none.single_pass.prediction.image.mse": 0.0153,
}  # fmt: skip


def path_of(cell):
    return "scores.{}.single_pass.{}.image.{}".format(*cell)


def metrics_of_run(recipe, model, seed, gain):
    """Make up the numbers of one run; `gain` takes that share off each error."""
    rng = np.random.default_rng([seed, model == "t", recipe == "slides"])
    row = dict(OTHERS)
    for names, errors in ERRORS.items():
        for metric, error in errors.items():
            error *= 1 - gain
            row[path_of((*names, metric))] = error if metric == "mse" else 1 - error
    row = {name: value * (1 + 0.002 * rng.normal()) for name, value in row.items()}
    row |= {"latent.active": 8 + seed % 2, "latent.dead_units.decoder.0": 3}
    return {"seed": seed, **row, "latent.dead_units.encoder.0": 380 + seed}


def write_rows(path, rows):
    save_table(path, list(rows[0]), [list(row.values()) for row in rows])


def write_history(reports, recipe, model, seed, **environment):
    """Write the losses of one training."""
    names = [f"{p}_{t}" for p in ("train", "valid") for t in ("loss", "reconstruction", "kl")]
    rows = [
        {"epoch": n, **dict.fromkeys(names, 100 + 50 / n), **ENVIRONMENT, **environment}
        for n in range(1, 6)
    ]
    write_rows(reports / f"training/{recipe}/{model}-{seed}.csv", rows)


def write_images(reports, recipes, seeds):
    """Write a comparison over images: t is higher in seed 1, and lower in the others."""
    rows = []
    for recipe, cell, seed in product(recipes, CELLS, seeds):
        diff = 0.02 if seed == 1 else -0.02
        means = ("", "") if seed == seeds[0] else (0.1 + 0.001 * seed, 0.05 + 0.002 * seed)
        ends = (diff, diff - 0.01, diff + 0.01)
        rows.append((recipe, *cell, seed, *ends, *means, 10000, 2000, 500))
    save_table(reports / "images.csv", ("recipe", *COLUMNS), rows)


def write(reports, recipes=RECIPES, seeds=SEEDS, gains=(0.11, 0.0)):
    """Write the numbers of all runs.

    `gains`, one per recipe, are the t prior's: 11 % is about as much as in the slides' MSE.
    """
    for (recipe, gain), model in product(zip(recipes, gains, strict=False), MODELS):
        rows = [metrics_of_run(recipe, model, seed, gain * (model == "t")) for seed in seeds]
        write_rows(reports / f"metrics/{recipe}/{model}.csv", rows)
        for seed in seeds:
            write_history(reports, recipe, model, seed)
    write_images(reports, recipes, seeds)
    return reports


def trainings(reports, seeds=SEEDS):
    """Read the trainings of a project; none where it has no table."""
    params = factor_files.PARAMS.model_copy(update={"seeds": list(seeds)})
    return read_factors(reports / "factors.csv", factor_files.PLAN, params)


def words(reports, recipes=RECIPES, seeds=SEEDS, *, dataset="mnist", **tables):
    """Read the numbers, and return the page."""
    content = report.page(
        load_metrics(reports, recipes, seeds),
        load_histories(reports, product(recipes, MODELS, seeds)),
        load_images(reports / "images.csv", recipes, seeds),
        PARAMS | {"recipes": recipes, "seeds": seeds, "dataset": dataset},
        factors=trainings(reports, seeds),
        **{"findings": pd.DataFrame(), "imputers": {}, "control": {}} | tables,
    )
    return render("report.md.j2", content)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A project of two recipes and three seeds, with all that the stage reads."""
    folder = tmp_path_factory.mktemp("written")
    reports = write(folder / "reports")
    params = read_yaml(ROOT / "params.yaml") | {"seeds": [*SEEDS], "recipes": [*RECIPES]}
    (folder / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"all": {"params": [*params]}}}))
    (folder / "sweep.yaml").write_text(PLAN, "utf-8")
    tiles = np.random.default_rng(1).integers(256, size=(10, 6, 28, 28), dtype=np.uint8)
    tiles[:, [2, 4]] = np.where(tiles[:, [2, 4]] < 77, 255, 0)
    for model in MODELS:
        save_tiles(reports / f"examples/converged/{model}/0.png", tiles)
        save_tiles(reports / f"samples/converged/{model}/0.png", tiles[:8, [1] * 8])
        tiles[:, [1, 3, 5]] //= 2  # images and masks are those of all models
        for recipe in ("slides", "mlp", "conv"):  # what the imputers use
            write_history(reports, recipe, model, 0, precision="bfloat16")
    imputation_files.write(reports)
    shutil.copyfile(factor_files.PLAN, folder / "factors.yaml")
    factor_files.write(reports / "factors.csv", SEEDS)
    control = control_files.scores()
    save_table(reports / "control.csv", list(control), control.itertuples(index=False))
    return folder


@pytest.fixture(scope="module")
def rendered(tmp_path_factory, written):
    """Its report: the folder."""
    folder = tmp_path_factory.mktemp("rendered")
    shutil.copytree(written, folder, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        main(ARGS)
    return folder / "reports"


@pytest.fixture(scope="module")
def text(rendered):
    """Its report: the words."""
    return (rendered / "report.md").read_text("utf-8")


@pytest.fixture
def project(tmp_path, monkeypatch, written):
    """The same project as the current directory, to be changed."""
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_histories_are_read_with_and_without_the_work_of_training(tmp_path):
    write_history(tmp_path, "slides", "gauss", 0)
    write_history(tmp_path, "conv", "gauss", 0, tflop=7.5)
    runs = [("slides", "gauss", 0), ("conv", "gauss", 0)]
    assert load_histories(tmp_path, runs[:1])["tflop"].isna().all()
    both = load_histories(tmp_path, runs).groupby("recipe")["tflop"].mean()
    assert both["conv"] == 7.5
    assert np.isnan(both["slides"])


def top(text):
    """The first screen: what stands between the title and the first section."""
    return text.split("\n## ")[0].split("\n", 1)[1].strip()


def section(text, title):
    return re.split(rf"\n##+ {title}", text)[1].split("\n#")[0]


def table_rows(text, *starts):
    starts = starts or ("| random", "| a sq")
    lines = [line for line in text.splitlines() if line.startswith(starts)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def column(reports, recipe, name):
    """Read one number of every seed straight from the files: of gauss and of t."""
    files = [reports / f"metrics/{recipe}/{model}.csv" for model in MODELS]
    return [pd.read_csv(file)[name].to_numpy() for file in files]


def values(reports, recipe, cell):
    return column(reports, recipe, path_of(cell))


def mean_and_ends(x):
    """A second derivation of the t-interval, from scipy's own."""
    return np.mean(x), *stats.t.interval(0.95, len(x) - 1, loc=np.mean(x), scale=stats.sem(x))


def numbers(text):
    """All numbers of a text, with the report's minus sign as a minus sign."""
    return [float(n) for n in re.findall(r"[+-]?\d+\.?\d*", text.replace("−", "-"))]


def assert_shown(text, expected, decimals):
    """Hold the numbers of a text to those that were to be rounded."""
    found = numbers(text)
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.501 * 10.0**-decimals)


def decimals(cell):
    return 5 if cell.metric == "mse" else 4


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_number_of_the_table_is_recomputed(rendered, text, recipe):
    rows = table_rows(section(text, f"Recipe `{recipe}`"))
    cells = [*SLIDES, *(cell._replace(metric="ssim") for cell in list(SLIDES)[4:])]
    assert len(rows) == len(cells) == 12
    for row, cell in zip(rows, cells, strict=True):
        gauss, t = values(rendered, recipe, cell)
        if recipe == "slides":
            expected = [*SLIDES.get(cell, {}).values()]
            assert numbers(f"{row.pop(3)} {row.pop(4)}") == expected
        for shown, x in zip(row[3:5], (gauss, t), strict=True):
            mean, low, high = mean_and_ends(x)
            assert_shown(shown, [mean, (high - low) / 2], decimals(cell))
        assert_shown(row[5], mean_and_ends(t - gauss), decimals(cell))
        assert row[6] == word(cell, t - gauss)
        assert len(row) == 7
    *_, head, counts = table_rows(section(text, "Recipe by recipe"), "| recipe", f"| `{recipe}`")
    words = ["cells: " + row[6] for row in rows[: len(SLIDES)]]
    assert counts[1:] == [str(words.count(name)) for name in head[1:]]


def word(cell, differences):
    _, low, high = mean_and_ends(differences)
    if low <= 0 <= high:
        return "no difference found"
    return "better" if (high < 0) == (cell.metric == "mse") else "worse"


def test_the_first_screen_has_the_slides_imputations_beside_ours(rendered, text):
    screen = top(text)
    rows = table_rows(screen)
    assert len(screen.splitlines()) <= 25
    assert [row[:2] for row in rows] == [
        [missing, metric] for missing in ("random pixels", "a square") for metric in ("MSE", "SSIM")
    ]
    assert [*numbers(rows[2][2]), *numbers(rows[2][4])] == [0.0244, 0.0222]
    gauss, t = values(rendered, "slides", IMPUTED)
    assert_shown(rows[2][6], mean_and_ends(t - gauss), 5)


def test_the_summary_is_recomputed(rendered):
    found = load_json(rendered / "summary.json")
    assert set(found) == set(RECIPES)
    for recipe in RECIPES:
        assert set(found[recipe]) == {"random", "square", "elbo", "likelihood"}
        for cell in SLIDES:
            gauss, t = values(rendered, recipe, cell)
            diff, low, high = mean_and_ends(t - gauss)
            expected = {"gauss": gauss.mean(), "t": t.mean(), "diff": diff}
            expected |= {"diff_low": low, "diff_high": high}
            numbers = found[recipe][cell.mechanism][cell.output][cell.metric]
            assert numbers == pytest.approx(expected, rel=1e-5)


def test_the_bounds_are_recomputed(rendered, text):
    rows = {tuple(row[:2]): row[2:] for row in table_rows(section(text, "ELBO"), "| `")}
    for label, name in (("ELBO", "elbo.elbo"), ("log-likelihood", "likelihood.log_likelihood")):
        *sides, difference, _ = rows["`converged`", label]
        gauss, t = column(rendered, "converged", name)
        for shown, x in zip(sides, (gauss, t), strict=True):
            mean, low, high = mean_and_ends(x)
            assert_shown(shown, [mean, (high - low) / 2], 2)
        assert_shown(difference, mean_and_ends(t - gauss), 2)
    assert f"K = {PARAMS['evaluate']['importance']['n_draws']}" in text


def test_coordinates_are_sorted_in_each_run_before_the_mean(rendered, text):
    rows = table_rows(section(text, "The latent space"), "| `slides`")
    assert [row[1] for row in rows] == [
        "active coordinates", "dead units, encoder 0", "dead units, decoder 0",
        "KL per coordinate, sorted",
    ]  # fmt: skip
    assert numbers(rows[0][2])[0] == round(np.mean([8 + seed % 2 for seed in SEEDS]), 1)
    assert numbers(rows[1][3])[0] == round(np.mean([380 + seed for seed in SEEDS]), 1)
    runs = np.sort([column(rendered, "slides", f"latent.kl.{k}")[1] for k in range(3)], axis=0)
    assert_shown(rows[-1][3], runs[::-1].mean(axis=1), 1)


def test_intervals_over_images_are_counted_in_each_direction(text):
    """Seed 1 has t above gauss, which is worse where lower is better; the others have it below."""
    rows = table_rows(section(text, "Two kinds of intervals"), "| `")
    assert len(rows) == 2 * (len(SLIDES) + 1)
    for row in rows:
        assert row[-2:] == (["2 of 3", "1 of 3"] if row[3] == "MSE" else ["1 of 3", "2 of 3"])
        assert numbers(row[-3]) == [pytest.approx(0.01)]


def test_outliers_are_paired_over_the_other_seeds(text):
    """In the fixture t is lower by 0.05, less 0.001 times the seed: 0.049 and 0.040."""
    part = section(text, "The least likely images")
    assert "500 test images" in part
    assert "Gaussian model of seed 0, per recipe, scored by the models of seeds 1, 10" in part
    rows = [row for row in table_rows(part, "| `") if row[3] in ("MSE", "SSIM")]
    assert len(rows) == 2 * len(SLIDES)
    for row in rows:
        assert_shown(row[6], mean_and_ends([-0.049, -0.040]), 4)


def test_scores_are_sorted_complete_and_short(rendered):
    rows = load_table(rendered / "scores.csv")
    keys = [(r["recipe"], r["model"], int(r["seed"] or -1), *list(r.values())[3:-1]) for r in rows]
    assert keys == sorted(set(keys))
    assert ",".join(rows[0]) == "recipe,model,seed,mechanism,method,output,region,metric,value"
    runs = {key for key in keys if key[0] in RECIPES and key[4] in ("", "single_pass")}
    per_run = 3 + 3 + 1 + 4 * 3  # ELBO, log-likelihood, the unmasked score, four cells
    assert len({key for key in runs if key[2] == 10}) == 2 * 2 * per_run
    assert ("slides", "gauss", 0, "none", "", "", "image", "elbo") in runs
    curve = re.compile(r"_0\.[1-4678]$")
    imputers = {
        (row["recipe"], row["model"], row["seed"] if row["recipe"] else -1, *[*row.values()][3:-1])
        for row in imputation_files.score_rows()
        if not curve.search(row["metric"])
    }
    assert imputers <= set(keys)
    assert imputers & runs, "a single pass of the slides' models is in both"
    assert not any(curve.search(key[-1]) for key in keys)
    by_key = {key: row["value"] for key, row in zip(keys, rows, strict=True)}
    for recipe, model, index in (("converged", "t", 2), ("slides", "gauss", 0)):
        key = (recipe, model, SEEDS[index], "square", "single_pass", "imputation", "image", "mse")
        assert float(by_key[key]) == values(rendered, recipe, IMPUTED)[model == "t"][index]
    assert all(value == f"{float(value):.6g}" for value in by_key.values())


def test_all_figures_are_shown(rendered, text):
    shown = set(re.findall(r"\]\(figures/(.*?)\)", text))
    assert shown == {p.name for p in (rendered / "figures").iterdir()}
    assert len(shown) == 10


def test_runs_that_were_dropped_do_not_count(tmp_path):
    """The same report, but for them: and so a second run gives the same words."""
    before = words(write(tmp_path))
    write(tmp_path, (*RECIPES, "fast"), (99, *SEEDS), gains=(0.11, 0.0, 0.9))
    write_images(tmp_path, (*RECIPES, "fast"), (*SEEDS, 99))
    assert words(tmp_path) == before


def refused(message):
    return pytest.raises(InputError, match=message)


def test_a_missing_file_is_named(project):
    for name in (
        "metrics/slides/t.csv", "training/conv/t-0.csv", "examples/converged/t/0.png", "images.csv",
        "control.csv",
    ):  # fmt: skip
        file = project / "reports" / name
        file.rename(project / "away")
        with refused(re.escape(name) + ": no such file"):
            main(ARGS)
        (project / "away").rename(file)
    assert not (project / "reports" / "report.md").exists()


MSE = path_of(IMPUTED)


@pytest.mark.parametrize(
    ("name", "row", "cells", "message"),
    [
        ("metrics/slides/t", 1, {"seed": "0"}, "line 3: a second row for seed '0'"),
        ("metrics/slides/t", 1, {"seed": "2"}, "no row of seed 1"),
        ("metrics/slides/t", 2, {"elbo.kl": "low"}, "line 4: elbo.kl 'low' must be a finite"),
        ("metrics/slides/t", 0, {MSE: ""}, f"line 2: {MSE} '' must be a finite number"),
        ("metrics/slides/t", 0, {"latent.kl.0": "inf"}, "line 2: latent.kl.0 'inf' must be a fin"),
        ("images", 0, {"diff": ""}, "line 2: diff '' must be a finite number;"),
        ("images", 1, {"seed": "0"}, "line 3: a second row for recipe 'slides', mechanism 'ran"),
        ("images", 2, {"metric": "mae"}, "no row of recipe 'slides', mechanism 'random', output "
         "'prediction', metric 'mse', seed 10; `dvc repro` makes it"),
    ],
)  # fmt: skip
def test_a_broken_row_is_named(tmp_path, name, row, cells, message):
    path = write(tmp_path) / f"{name}.csv"
    rows = load_table(path)
    rows[row] |= cells
    write_rows(path, rows)
    with refused(re.escape(f"{path}: {message}")):
        words(tmp_path)


def test_outliers_that_a_dropped_seed_chose_are_refused(tmp_path):
    path = write(tmp_path) / "images.csv"
    with refused(f"{re.escape(str(path))}: its outliers were chosen by a seed that is not among"):
        words(tmp_path, seeds=SEEDS[1:])


def test_a_number_that_only_some_seeds_have_may_be_empty(tmp_path):
    path = write(tmp_path, ["slides"]) / "metrics/slides/t.csv"
    rows = load_table(path)
    rows[1]["latent.kl.1"] = rows[2]["latent.kl.1"] = ""  # 1, 3, 2 becomes 1, 2
    write_rows(path, rows)
    (row,) = table_rows(section(words(tmp_path, ["slides"]), "The latent space"), "| `slides` | KL")
    assert numbers(row[3]) == [2.3, 1.3, 1.0]


def test_models_must_show_the_same_examples(project):
    other = np.zeros((10, 6, 28, 28), np.uint8)
    save_tiles(project / "reports/examples/converged/t/0.png", other)
    with refused(r"converged: gauss/0\.png and t/0\.png show different"):
        main(ARGS)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("seeds: []", "seeds = \\[\\]"),
        ("seeds: [0, 0]", "must not hold a value twice"),
        ("seeds: [-1]", "seeds.0 = -1"),
        ("seeds: [a]", "seeds.0 = 'a'"),
        ("recipes: []", "recipes = \\[\\]"),
        ("recipes: [slides, slides]", "must not hold a value twice"),
        (
            "recipes: [slow]",
            "'slow' is no section of train; it has slides, fast, converged, factors",
        ),
        ("df: 0", "df = 0.*above 0"),
        ("df: .nan", "df = nan"),
    ],
)
def test_bad_params_are_named(tmp_path, monkeypatch, line, message):
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "dvc.yaml"):
        text = (ROOT / name).read_text("utf-8")
        (tmp_path / name).write_text(re.sub(rf"(?m)^{line.split(':')[0]}:.*$", line, text), "utf-8")
    with refused(message):
        main(ARGS)


@pytest.mark.parametrize(
    ("recipes", "gains", "headline", "counts"),
    [
        (RECIPES, (0.05, 0.05), "Yes, better on MNIST", (4, 0, 0)),
        (RECIPES, (-0.05, 0.05), "Mixed on MNIST", (2, 2, 0)),
        (["converged"], [-0.05], "No, worse on MNIST", (0, 2, 0)),
    ],
)
def test_the_answer_follows_the_numbers(tmp_path, recipes, gains, headline, counts):
    reports = write(tmp_path, recipes, gains=gains)
    scores = load_metrics(reports, recipes, SEEDS).scores
    found = report.answer(scores, dataset="mnist", control={}, factors=trainings(reports))
    assert tuple(found["verdicts"].values()) == (*counts, 0)
    relative = []
    for recipe, mechanism in product(recipes, ("random", "square")):
        gauss, t = values(reports, recipe, IMPUTED._replace(mechanism=mechanism))
        relative += [end / gauss.mean() for end in mean_and_ends(t - gauss)[1:]]
    assert (found["least"], found["most"]) == pytest.approx((min(relative), max(relative)))
    rows = found["imputation"].query("metric == 'MSE'")
    assert set(rows["t prior is"]) == {"better" if gains[0] > 0 else "worse"}
    assert render("result.md.j2", found | {"reports": ""}).startswith(f"**{headline}")


def test_no_difference_is_called_neither_better_nor_worse(tmp_path):
    """The runs of t are those of gauss in another order: all differences have mean 0."""
    folder = write(tmp_path, ["slides"]) / "metrics/slides"
    runs = load_table(folder / "gauss.csv")
    rows = [run | {"seed": seed} for run, seed in zip(runs, SEEDS[::-1], strict=True)]
    write_rows(folder / "t.csv", rows)
    found = words(tmp_path, ["slides"])
    assert top(found).startswith("**No difference found on MNIST**")
    assert {row[-1] for row in table_rows(top(found))} == {"no difference found"}
    part = section(found, "Recipe by recipe")
    assert table_rows(part, "| `")[-1] == ["`slides`", "8"]
    assert not re.search("better|worse", part)


@pytest.mark.parametrize(
    ("gain", "headline", "word"),
    [(-0.05, "No gain found", "worse"), (0.05, "Better in 1 of 2", "better")],
)
def test_what_differs_among_several_is_named_with_its_interval_and_the_chance_of_it(
    tmp_path, gain, headline, word
):
    """With random pixels the runs of t are those of gauss in another order; on squares not."""
    folder = write(tmp_path, ["slides"], gains=[gain]) / "metrics/slides"
    gauss, other = (load_table(folder / f"{model}.csv") for model in ("gauss", "t"))
    rows = [
        row | {name: value for name, value in run.items() if ".random." in name}
        for row, run in zip(other, gauss[::-1], strict=True)
    ]
    write_rows(folder / "t.csv", rows)
    first, second = values(tmp_path, "slides", IMPUTED)
    ends = [f"{100 * end / first.mean():+.1f} %" for end in mean_and_ends(second - first)]
    sentence = top(words(tmp_path, ["slides"])).partition("\n")[0].replace("−", "-")
    start = f"**{headline} on MNIST:** over 3 seeds, a t prior's imputation is {word} than a "
    assert sentence.startswith(start)
    named = "with a square missing and recipe `slides`, its mean squared error changed by "
    assert f"{named}{ends[0]} [{ends[1]}, {ends[2]}]; in the other 1 of 2 comparisons" in sentence
    assert sentence.endswith("chance alone finds one in up to 10 of 100 such studies.")


def test_one_seed_has_no_interval_and_says_why(tmp_path):
    findings = pd.DataFrame({"question": ["Which?"], "answer": ["This."]})
    found = words(write(tmp_path, seeds=[4]), seeds=[4], findings=findings)
    assert top(found).startswith("**One seed cannot tell:** on MNIST, with seed 4")
    assert "A spread needs at least two seeds" in found
    assert {row[-1] for row in table_rows(top(found))} == {"cannot be told"}
    assert not re.search("better|worse|moves", top(found))
    tables = "\n".join(line for line in found.splitlines() if line.startswith("|"))
    assert not re.search(r"95 %|\bnan\b|\d ± \d", tables)
    assert not re.search(r"\bnan\b|\n## Which imputer", found)
    part = section(found, "Beside this comparison")
    assert table_rows(part, "| Which?") == [["Which?", "This."]]
    cell = report.summary(load_metrics(tmp_path, RECIPES, [4]).scores)["slides"]["square"][
        "imputation"
    ]
    assert cell["mse"]["diff_low"] is cell["mse"]["diff_high"] is None


@pytest.mark.parametrize(
    ("recipe", "dataset", "reason"),
    [
        ("slides", "digits", "The slides report MNIST and this is `digits`"),
        ("converged", "mnist", "No run here was trained as in the slides"),
    ],
)
def test_what_is_not_the_slides_does_not_stand_beside_them(tmp_path, recipe, dataset, reason):
    """With two seeds, one is left to score the outliers."""
    reports = write(tmp_path, [recipe], [0, 1])
    found = words(reports, [recipe], [0, 1], dataset=dataset)
    assert reason in found
    table = [line for line in found.splitlines() if line.startswith("|")]
    assert not any("slides:" in line or "0.0247" in line for line in table)
    assert not re.search("reproduced|diamond|What would have to be true", found)
    part = section(found, "The least likely images")
    assert {row[-1] for row in table_rows(part, "| `")} == {"cannot be told"}
    assert "95 %" not in part


def test_reproduction_is_counted_per_column(rendered, text):
    rows = table_rows(section(text, "What reproduces"))
    near, inside, reaching = {model: 0 for model in MODELS}, 0, 0
    for row, (cell, slides) in zip(rows, SLIDES.items(), strict=True):
        ours = dict(zip(MODELS, values(rendered, "slides", cell), strict=True))
        for model, found in zip(MODELS, row[3:5], strict=True):
            pair = np.array([ours[model].mean(), slides[model]])
            ratio = np.divide(*(pair if cell.metric == "mse" else 1 - pair))
            assert numbers(found)[0] == pytest.approx(100 * (ratio - 1), abs=0.051)
            assert ("not reproduced" in found) == (abs(ratio - 1) > report.TOLERANCE)
            near[model] += abs(ratio - 1) <= report.TOLERANCE
        claim, pairs = slides["t"] - slides["gauss"], ours["t"] - ours["gauss"]
        _, low, high = mean_and_ends(pairs)
        reaches = sum(pairs / claim >= 1)
        assert row[5:] == ["yes" if low <= claim <= high else "no", f"{reaches} of 3"]
        inside, reaching = inside + (low <= claim <= high), reaching + reaches
    assert 0 < inside < 8
    assert 0 < reaching < 24
    scores = load_metrics(rendered, RECIPES, SEEDS).scores
    page = report.answer(scores, dataset="mnist", control={}, factors=trainings(rendered))
    assert page["held"] == {
        "cells": 8, **near, "inside": inside, "reaching": reaching, "pairs": 24,
    }  # fmt: skip


def test_the_recipe_alone_is_recomputed(rendered, text):
    rows = table_rows(section(text, "What the training recipe alone makes"))
    for row, (cell, slides) in zip(rows, SLIDES.items(), strict=True):
        before, after = (values(rendered, recipe, cell)[0] for recipe in RECIPES)
        expected = np.array(mean_and_ends(after - before))
        assert_shown(row[5], expected, decimals(cell))
        assert_shown(row[6], 100 * expected / before.mean(), 1)
        claim = slides["t"] - slides["gauss"]
        assert_shown(row[8], [100 * claim / slides["gauss"]], 1)
        assert_shown(row[9], [expected[0] / claim], 1)


def test_what_was_run_is_said(text):
    rows = table_rows(section(text, "What was run"), "| `")
    environments = [row for row in rows if row[0].strip("`") in ("slides", "converged", "conv")]
    assert environments == [
        ["`slides`", "cpu", "3.11", "2.13.0", "bfloat16", "2"],
        ["`slides`", "cpu", "3.11", "2.13.0", "float32", "4"],
        ["`converged`", "cpu", "3.11", "2.13.0", "float32", "6"],
        ["`conv`", "cpu", "3.11", "2.13.0", "bfloat16", "2"],
    ]
    params = dict(row[:2] for row in rows if len(row) == 2)
    shown = [params[f"`{name}`"] for name in ("train.slides.epochs", "mask.random.fraction", "df")]
    assert shown == ["`300`", "`0.3`", "`21`"]


def test_the_table_for_a_terminal_has_the_slides_cells(rendered):
    first, second = report.comparison_table(load_metrics(rendered, RECIPES, SEEDS).scores).split(
        "\n\nRec"
    )
    assert [len(table_rows(part)) for part in (first, second)] == [len(SLIDES)] * 2
    row = table_rows(first)[0]
    assert row[:3] == ["random pixels", "prediction", "MSE"]
    gauss, t = values(rendered, "slides", Cell("random", "prediction", "mse"))
    assert_shown(row[5], mean_and_ends(t - gauss), 5)
