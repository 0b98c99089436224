import math
import re
import shutil
from pathlib import Path

import imputation_files
import numpy as np
import pytest
from scipy import stats

from stages.report import ReportParams, main, sweep_findings
from study.params import read_params
from study.report.images import load_images
from study.report.imputation_page import section as imputers_section
from study.report.imputation_results import load
from study.report.report import render
from study.report.reproduction import TOLERANCE, share, spread, times
from study.report.results import load_results
from study.report.summary import score_rows, summarise
from study.report.tables import comparison_table, percent, signed, verdict
from study.slides import SLIDES, Cell
from study.trials.sweep import Run, SweepParams, load_plan, read_metrics, save_runs
from study.trials.tiles import save_tiles
from tools.readme import result
from vaefill.errors import InputError
from vaefill.storage import load_json, load_table, save_json, save_table

ROOT = Path(__file__).resolve().parents[3]
SEEDS = (0, 1, 10)
RECIPES = ("slides", "converged")
ARGS = ["--reports", "reports", "--sweep", "reports/sweep.csv", "--plan", "sweep.yaml"]
PLAN = "recipe: converged\nexperiments: [{model: gauss, kl_weight: [0.5, 1]}]\n"
LOSSES = ("train", "valid")
TERMS = ("loss", "reconstruction", "kl")

# What a run of each model scores, before its seed's own small change.
BASE = {
    ("random", "prediction"): {"mse": 0.0281, "ssim": 0.717, "ssim_global": 0.764},
    ("random", "imputation"): {"mse": 0.0092, "ssim": 0.917, "ssim_global": 0.942},
    ("square", "prediction"): {"mse": 0.0491, "ssim": 0.555, "ssim_global": 0.582},
    ("square", "imputation"): {"mse": 0.0245, "ssim": 0.802, "ssim_global": 0.825},
}


def write_run(reports, recipe, model, seed, *, gain=0.0, noise=None, shown=False):
    """Write the tracked files of one run; `gain` takes that share off each error."""
    rng = np.random.default_rng(noise or [seed, model == "t", recipe == "slides"])
    name = f"{recipe}/{model}-{seed}"

    def near(value):
        return float(f"{value * (1 + 0.002 * rng.normal()):.6g}")

    scores = {"none": {"single_pass": {"prediction": {"image": {"mse": near(0.0153)}}}}}
    for (mechanism, output), metrics in BASE.items():
        better = {
            k: v * (1 - gain) if k == "mse" else 1 - (1 - v) * (1 - gain)
            for k, v in metrics.items()
        }
        regions = {"image": {k: near(v) for k, v in better.items()}, "observed": {"mse": 0.0}}
        scores.setdefault(mechanism, {"single_pass": {}})["single_pass"][output] = regions
    metrics = {
        "elbo": {"elbo": near(-107.8), "reconstruction": near(-91.0), "kl": near(16.8)},
        "scores": scores,
        "likelihood": {
            "log_likelihood": near(-101.0),
            "ess": near(31.0),
            "ess_low": near(4.0),
            "images": 1000,
        },
        "latent": {
            "active": 8 + seed % 2,
            "dead_units": {"encoder.0": 380 + seed, "decoder.0": 3},
            "kl": {"0": near(1.0), "1": near(3.0), "2": near(2.0)},
            "quantiles": {"0.01": near(-2.2), "0.5": 0.0, "0.99": near(2.2)},
        },
    }
    save_json(reports / "metrics" / f"{name}.json", metrics)
    columns = ["epoch", *(f"{part}_{term}" for part in LOSSES for term in TERMS)]
    rows = [[epoch, *(near(100 + 50 / epoch) for _ in columns[1:])] for epoch in range(1, 6)]
    save_table(reports / "training" / f"{name}.csv", columns, rows)
    environment = {"device": "cpu", "python": "3.11", "torch": "2.13.0"}
    save_json(
        reports / "training" / f"{name}.json",
        {"epoch": 5, "environment": environment},
    )
    if not shown:
        return
    examples = np.random.default_rng(1).integers(256, size=(10, 6, 28, 28), dtype=np.uint8)
    examples[:, [2, 4]] = np.where(examples[:, [2, 4]] < 77, 255, 0)
    examples[:, [1, 3, 5]] = rng.integers(256, size=(10, 3, 28, 28), dtype=np.uint8)
    save_tiles(reports / "examples" / f"{name}.png", examples)
    sheet = rng.integers(256, size=(8, 8, 28, 28), dtype=np.uint8)
    save_tiles(reports / "samples" / f"{name}.png", sheet)


def write_images(reports, seeds, recipes=RECIPES):
    """Write a comparison over images; the sign of a seed's interval follows the seed."""
    first, *others = seeds

    def table(entry):
        table = {}
        for (mechanism, output), metrics in BASE.items():
            entries = {metric: entry(value) for metric, value in metrics.items()}
            table.setdefault(mechanism, {})[output] = entries
        return table

    # t is lower in seed 0, higher in seed 1, neither in the others.
    def bootstrap(value):
        middle = {0: -0.02, 1: 0.02}
        return {
            str(seed): {
                "diff": middle.get(seed, 0.0),
                "low": middle.get(seed, 0.0) - 0.01,
                "high": middle.get(seed, 0.0) + 0.01,
            }
            for seed in seeds
        }

    def chosen(value):
        return {
            "gauss": {str(seed): value + 0.1 + 0.001 * seed for seed in others},
            "t": {str(seed): value + 0.05 + 0.002 * seed for seed in others},
        }

    outliers = {"chosen_on": first, "images": 500, "scores": table(chosen), "elbo": chosen(-150)}
    content = {
        "images": 10000,
        "resamples": 2000,
        "bootstrap": table(bootstrap) | {"elbo": {"elbo": bootstrap(-108)}},
        "outliers": outliers if others else None,
    }
    save_json(reports / "images.json", dict.fromkeys(recipes, content))


def write_project(folder, seeds=SEEDS, *, recipes=RECIPES, dataset="mnist", gains=None):
    """Write a project of contract-shaped results; `gains` per recipe are the t prior's."""
    text = (ROOT / "params.yaml").read_text("utf-8")
    text = re.sub(r"(?m)^seeds:.*$", f"seeds: {list(seeds)}", text)
    text = re.sub(r"(?m)^recipes:.*$", f"recipes: [{', '.join(recipes)}]", text)
    text = re.sub(r"(?m)^dataset: \w+", f"dataset: {dataset}", text)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(text, "utf-8")
    keys = ", ".join(re.findall(r"(?m)^(\w+):", text))
    (folder / "dvc.yaml").write_text(f"stages: {{all: {{params: [{keys}]}}}}\n", "utf-8")
    (folder / "sweep.yaml").write_text(PLAN, "utf-8")
    for recipe in recipes:
        for seed in seeds:
            shown = seed == seeds[0]  # of the others no picture is read
            write_run(folder / "reports", recipe, "gauss", seed, shown=shown)
            gain = (gains or {}).get(recipe, 0.0)
            write_run(folder / "reports", recipe, "t", seed, gain=gain, shown=shown)
    write_images(folder / "reports", seeds, recipes)
    imputation_files.write(folder / "reports")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A project of two recipes and three seeds, not to be changed."""
    folder = tmp_path_factory.mktemp("written")
    write_project(folder)
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


def report(project, *args, **options):
    """Write another project over it, and return its report; figures are not drawn."""
    write_project(project, *args, **options)
    return words(project)


def words(project, findings=()):
    params = read_params(ReportParams)
    results = load_results(project / "reports", params.recipes, params.seeds)
    images = load_images(project / "reports" / "images.json", params.recipes, params.seeds)
    imputers = imputers_section(load(project / "reports"))
    return render(results, images, params.model_dump(), findings, imputers)


def top(text):
    """The conclusion: what stands between the title and the first section."""
    return text.split("\n## ")[0].split("\n", 1)[1].strip()


def section(text, title):
    return text.split(f"\n## {title}")[1].split("\n## ")[0]


def table_rows(text, *starts):
    starts = starts or ("| random", "| a sq")
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith(starts)]


def metrics_of(reports, recipe, model):
    return [load_json(reports / "metrics" / recipe / f"{model}-{seed}.json") for seed in SEEDS]


def values(reports, recipe, cell):
    """Read one cell's values per seed straight from the metrics: gauss and t."""
    return [
        np.array(
            [
                run["scores"][cell.mechanism]["single_pass"][cell.output]["image"][cell.metric]
                for run in metrics_of(reports, recipe, model)
            ]
        )
        for model in ("gauss", "t")
    ]


def interval(x):
    """A second derivation of the t-interval, from scipy's own."""
    return stats.t.interval(0.95, len(x) - 1, loc=np.mean(x), scale=stats.sem(x))


def numbers(text):
    """All numbers of a text, with the report's minus sign as a minus sign."""
    return [float(n) for n in re.findall(r"[+-]?\d+\.?\d*", text.replace("−", "-"))]


def rounding(metric):
    return 0.501 * 10 ** (-5 if metric == "mse" else -4)


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_number_of_the_table_is_recomputed(rendered, text, recipe):
    rows = table_rows(text.split(f"### Recipe `{recipe}`")[1].split("\n#")[0])
    cells = [*SLIDES, *(cell._replace(metric="ssim") for cell in list(SLIDES)[4:])]
    assert len(rows) == len(cells) == 12
    for row, cell in zip(rows, cells, strict=True):
        gauss, t = values(rendered, recipe, cell)
        atol = rounding(cell.metric)
        if recipe == "slides":
            slides = SLIDES.get(cell)
            expected = [slides["gauss"], slides["t"]] if slides else []
            assert numbers(f"{row.pop(3)} {row.pop(4)}") == expected
        half = [(interval(x)[1] - interval(x)[0]) / 2 for x in (gauss, t)]
        np.testing.assert_allclose(numbers(row[3]), [gauss.mean(), half[0]], rtol=0, atol=atol)
        np.testing.assert_allclose(numbers(row[4]), [t.mean(), half[1]], rtol=0, atol=atol)
        expected = [(t - gauss).mean(), *interval(t - gauss)]
        np.testing.assert_allclose(numbers(row[5]), expected, rtol=0, atol=atol)
        assert len(row) == 7


def test_the_summary_is_recomputed(rendered):
    summary = load_json(rendered / "summary.json")
    assert set(summary) == set(RECIPES)
    for recipe in RECIPES:
        assert set(summary[recipe]) == {"random", "square", "elbo", "likelihood"}
        for mechanism, output, metric in SLIDES:
            gauss, t = values(rendered, recipe, Cell(mechanism, output, metric))
            low, high = interval(t - gauss)
            expected = {
                "gauss": gauss.mean(),
                "t": t.mean(),
                "diff": (t - gauss).mean(),
                "diff_low": low,
                "diff_high": high,
            }
            assert summary[recipe][mechanism][output][metric] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("label", "part", "key"),
    [("ELBO", "elbo", "elbo"), ("log-likelihood", "likelihood", "log_likelihood")],
)
def test_the_bounds_are_recomputed(rendered, text, label, part, key):
    rows = table_rows(section(text, "ELBO"), "| `")
    (row,) = (row for row in rows if row[:2] == ["`converged`", label])
    gauss, t = (
        np.array([run[part][key] for run in metrics_of(rendered, "converged", model)])
        for model in ("gauss", "t")
    )
    found = [numbers(column)[0] for column in row[2:4]] + numbers(row[4])
    expected = [gauss.mean(), t.mean(), (t - gauss).mean(), *interval(t - gauss)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.0051)
    assert f"K = {read_params(ReportParams, ROOT).evaluate['importance']['n_draws']}" in text


def test_coordinates_are_sorted_in_each_run_before_the_mean(rendered, text):
    rows = table_rows(section(text, "The latent space"), "| `slides`")
    names = [row[1] for row in rows]
    assert names[:2] == ["active coordinates", "dead units, encoder 0"]
    assert numbers(rows[0][2])[0] == round(np.mean([8 + seed % 2 for seed in SEEDS]), 1)
    assert numbers(rows[1][3])[0] == round(np.mean([380 + seed for seed in SEEDS]), 1)
    runs = [run["latent"]["kl"].values() for run in metrics_of(rendered, "slides", "t")]
    expected = np.mean([sorted(kl, reverse=True) for kl in runs], axis=0)
    np.testing.assert_allclose(numbers(rows[-1][3]), expected, rtol=0, atol=0.051)


def test_intervals_over_images_are_counted_in_each_direction(text):
    """Seed 0 has t below gauss, seed 1 above, seed 10 an interval around 0."""
    rows = table_rows(section(text, "Two kinds of intervals"), "| `")
    assert len(rows) == 2 * (len(SLIDES) + 1)
    for row in rows:
        assert row[-2:] == ["1 of 3", "1 of 3"]
        assert numbers(row[-3]) == [pytest.approx(0.01)]


def test_outliers_are_paired_over_the_other_seeds(text):
    """In the fixture t is lower by 0.05, less 0.001 times the seed: 0.049 and 0.040."""
    part = section(text, "The least likely images")
    assert "500 test images" in part
    assert "Gaussian model of seed 0, per recipe, scored by the models of seeds 1, 10" in part
    rows = [row for row in table_rows(part, "| `") if row[3] in ("MSE", "SSIM")]
    expected = [-0.0445, *interval([-0.049, -0.040])]
    for row in rows:
        np.testing.assert_allclose(numbers(row[6]), expected, rtol=0, atol=rounding("ssim"))


def test_scores_are_sorted_complete_and_short(rendered):
    csv = (rendered / "scores.csv").read_text("utf-8")
    assert csv.startswith("recipe,model,seed,mechanism,method,output,region,metric,value\n")
    rows = load_table(rendered / "scores.csv")
    keys = [(r["recipe"], r["model"], int(r["seed"] or -1), *list(r.values())[3:-1]) for r in rows]
    assert keys == sorted(keys)
    per_run = 3 + 3 + 1 + 4 * (3 + 1)  # ELBO, log-likelihood, the unmasked score, four cells
    runs = [row[:-1] for row in score_rows(load_results(rendered, RECIPES, SEEDS))]
    assert len(runs) == 2 * 2 * len(SEEDS) * per_run
    curve = re.compile(r"_0\.[1-4678]$")
    imputers = [
        (row["recipe"], row["model"], row["seed"] if row["recipe"] else -1, *[*row.values()][3:-1])
        for row in imputation_files.score_rows()
        if not curve.search(row["metric"])
    ]
    assert sorted(set(runs) | set(imputers)) == keys
    assert set(runs) & set(imputers), "a single pass of the slides' models is in both"
    assert "slides,gauss,0,none,,,image,elbo," in csv
    for row in rows:
        assert row["value"] == f"{float(row['value']):.6g}"
    one = load_json(rendered / "metrics/converged/t-10.json")["scores"]["square"]["single_pass"]
    wanted = "converged,t,10,square,single_pass,imputation,image,mse,"
    (line,) = (line for line in csv.splitlines() if line.startswith(wanted))
    assert float(line.removeprefix(wanted)) == one["imputation"]["image"]["mse"]


def test_all_figures_are_shown(rendered, text):
    shown = set(re.findall(r"\]\(figures/(.*?)\)", text))
    assert shown == {p.name for p in (rendered / "figures").iterdir()}
    assert len(shown) == 8


def test_runs_that_were_dropped_do_not_count(rendered, text, project):
    """The same report, but for them: and so a second run gives the same words."""
    for model in ("gauss", "t"):
        write_run(project / "reports", "slides", model, 99, gain=0.9)
        write_run(project / "reports", "fast", model, 0, gain=0.9)
    assert words(project) == text
    results = load_results("reports", RECIPES, SEEDS)
    assert {row[:3] for row in score_rows(results)} == {
        (recipe, model, seed) for recipe in RECIPES for model in ("gauss", "t") for seed in SEEDS
    }


@pytest.mark.parametrize(
    "name",
    [
        "metrics/slides/t-10.json",
        "training/converged/gauss-1.csv",
        "training/slides/t-1.json",
        "examples/converged/t-0.png",
        "samples/slides/gauss-0.png",
        "images.json",
    ],
)
def test_a_missing_file_is_named(project, name):
    (project / "reports" / name).unlink()
    with pytest.raises(InputError, match=re.escape(name) + ": no such file; `dvc repro` makes it"):
        main(ARGS)
    assert not (project / "reports" / "report.md").exists()


def test_seeds_that_differ_between_models_are_refused(project):
    for folder, suffix in (("metrics", "json"), ("training", "csv"), ("training", "json")):
        (project / "reports" / folder / "slides" / f"t-1.{suffix}").unlink()
    with pytest.raises(InputError, match=r"slides/t-1\.json: no such file"):
        main(ARGS)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metrics/slides/t-1.json", "[]", "t-1.json: not the metrics of a run"),
        ("metrics/slides/t-1.json", '{"elbo": {"kl": null}}', "not the metrics of a run"),
        ("training/slides/t-1.csv", "epoch,train_loss\n", "no losses per epoch"),
        ("training/slides/t-1.csv", "epoch,train_loss\n1,high\n", "no losses per epoch"),
        ("images.json", '{"slides": {}}', "recipes slides, converged and seeds 0, 1, 10 in it"),
    ],
)
def test_a_broken_file_is_named(project, name, content, message):
    (project / "reports" / name).write_text(content, "utf-8")
    with pytest.raises(InputError, match=message):
        main(ARGS)


@pytest.mark.parametrize("part", ["latent", "likelihood", "scores"])
def test_metrics_without_a_part_are_refused(project, part):
    path = project / "reports" / "metrics" / "converged" / "gauss-0.json"
    metrics = load_json(path)
    del metrics[part]
    save_json(path, metrics)
    with pytest.raises(InputError, match=r"gauss-0\.json: not the metrics of a run"):
        main(ARGS)


def test_a_score_that_only_other_runs_have_is_named(project):
    path = project / "reports" / "metrics" / "slides" / "t-1.json"
    save_json(path, load_json(path) | {"scores": {}})
    with pytest.raises(InputError, match="metrics of t-1: no score random/single_pass/prediction"):
        main(ARGS)


def test_models_must_show_the_same_examples(project):
    other = np.zeros((10, 6, 28, 28), np.uint8)
    save_tiles(project / "reports" / "examples" / "slides" / "t-0.png", other)
    with pytest.raises(InputError, match=r"slides: gauss-0\.png and t-0\.png show different"):
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
        ("recipes: [slow]", "'slow' is no section of train; it has slides, fast, converged"),
        ("df: 0", "df = 0.*above 0"),
        ("df: .nan", "df = nan"),
    ],
)
def test_bad_params_are_named(project, line, message):
    params = (project / "params.yaml").read_text("utf-8")
    key = line.split(":")[0]
    (project / "params.yaml").write_text(re.sub(rf"(?m)^{key}:.*$", line, params), "utf-8")
    with pytest.raises(InputError, match=message):
        main(ARGS)


@pytest.mark.parametrize(
    ("metric", "low", "high", "expected"),
    [
        ("mse", -0.2, -0.1, "better"),
        ("mse", 0.1, 0.2, "worse"),
        ("mse", -0.1, 0.2, "no difference found"),
        ("mse", 0.0, 0.2, "no difference found"),
        ("mse", math.nan, math.nan, "no difference found"),
        ("ssim_global", 0.1, 0.2, "better"),
        ("ssim_global", -0.2, -0.1, "worse"),
        ("ssim", -0.2, 0.0, "no difference found"),
        ("elbo", 0.1, 0.2, "better"),
        ("log_likelihood", -0.2, -0.1, "worse"),
        ("mse", None, None, "cannot be told"),
    ],
)
def test_a_direction_only_where_the_interval_excludes_0(metric, low, high, expected):
    assert verdict(metric, low, high) == expected


@pytest.mark.parametrize(
    ("gains", "headline"),
    [
        (
            {"slides": 0.05, "converged": 0.05},
            "Yes: the t prior fills them in better, whether random pixels or a square are missing, "
            "with recipe `slides` as with `converged`.",
        ),
        (
            {"slides": -0.05, "converged": 0.05},
            "Yes: the t prior fills them in better, whether random pixels or a square are missing, "
            "with recipe `converged`. No: the t prior fills them in worse, whether random pixels "
            "or a square are missing, with recipe `slides`.",
        ),
        (
            {"converged": -0.05},
            "No: the t prior fills them in worse, whether random pixels or a square are missing.",
        ),
    ],
)
def test_the_headline_follows_the_numbers(project, gains, headline):
    found = report(project, recipes=tuple(gains), gains=gains)
    assert top(found).startswith(f"**{headline}**\n")


def test_the_headline_where_the_mechanisms_differ(project):
    write_project(project, recipes=["converged"])
    for seed in SEEDS:
        path = project / "reports" / "metrics" / "converged" / f"t-{seed}.json"
        metrics = load_json(path)
        for mechanism, factor in (("random", 0.9), ("square", 1.1)):
            image = metrics["scores"][mechanism]["single_pass"]["imputation"]["image"]
            image["mse"] *= factor
        save_json(path, metrics)
    assert top(words(project)).startswith(
        "**Yes: the t prior fills them in better where random pixels are missing. "
        "No: the t prior fills them in worse where a square is missing.**\n"
    )


def test_no_difference_is_called_neither_better_nor_worse(project):
    """The seeds of t have the noise of gauss in another order: all differences have mean 0."""
    for recipe in RECIPES:
        for seed, other in zip(SEEDS, SEEDS[::-1], strict=True):
            write_run(project / "reports", recipe, "gauss", seed, noise=[seed])
            write_run(project / "reports", recipe, "t", seed, noise=[other])
    found = top(words(project))
    assert found.startswith(
        "**No difference found, whether random pixels or a square are missing, "
        "with recipe `slides` as with `converged`.**"
    )
    assert found.count("no difference found in 8.") == 2
    assert not re.search("better|worse", found)


def test_one_seed_has_no_interval_and_says_why(project):
    found = report(project, [4])
    assert "**One seed cannot tell" in found
    assert "A spread needs at least two seeds" in found
    assert "One training run of each model with each recipe (seed 4) stands behind" in found
    assert "one seed gives no interval" in found
    assert "With one seed there is none: a spread needs at least two." in found
    assert "and there is one seed." in section(found, "The least likely images")
    tables = "\n".join(line for line in found.splitlines() if line.startswith("|"))
    assert not re.search(r"95 %|\bnan\b", tables)
    assert not re.search(r"\d ± \d", tables)
    assert not re.search(r"\bnan\b|the t prior fills", found)
    assert not re.search("better|worse", top(found))
    summary = summarise(load_results(project / "reports", RECIPES, [4])["slides"])
    cell = summary["square"]["imputation"]["mse"]
    assert cell["diff_low"] is cell["diff_high"] is None


def test_two_seeds_leave_one_to_score_the_outliers(project):
    part = section(report(project, [0, 1]), "The least likely images")
    assert "Intervals are over these seeds, and one gives none." in part
    assert "cannot be told" in part
    assert "95 %" not in part


def test_reproduction_is_counted_per_column(rendered, text):
    for model, column in (("gauss", "Gaussian"), ("t", "t prior")):
        near = 0
        for cell, slides in SLIDES.items():
            ours = values(rendered, "slides", cell)[model == "t"].mean()
            error = (
                ours / slides[model] if cell.metric == "mse" else (1 - ours) / (1 - slides[model])
            )
            near += abs(error - 1) <= TOLERANCE
        assert f"**{column} column:** {near} of 8 reproduced." in text
        assert f"of the {column} column {near}" in top(text)
    inside = 0
    for cell, slides in SLIDES.items():
        gauss, t = values(rendered, "slides", cell)
        low, high = interval(t - gauss)
        inside += low <= slides["t"] - slides["gauss"] <= high
    assert f"lies inside our 95 % interval in {inside} of 8 cells" in text
    assert f"lies inside our interval in {inside} cells, and 0 of our 24 single pairs" in top(text)


def test_a_difference_like_the_slides_is_found_where_there_is_one(project):
    """Errors a quarter lower, as no cell of the slides is: each pair goes at least as far."""
    found = report(project, gains={"slides": 0.25})
    assert "24 differ by as much as the slides', in the same direction" in found


def test_the_chance_of_a_pair_has_a_closed_form_for_two_seeds():
    """One degree of freedom is Cauchy's distribution: P(T > x) = 1/2 - atan(x) / pi."""
    found = spread([-1.0, 1.0], 3.0)
    assert found.sd == pytest.approx(math.sqrt(2))
    assert found.distance == pytest.approx(3 / math.sqrt(2))
    x = 3 / math.sqrt(2) / math.sqrt(1.5)
    assert found.chance == pytest.approx(0.5 - math.atan(x) / math.pi)
    assert spread([1.0, -1.0], -3.0) == pytest.approx(found)  # lower may be better
    assert spread([3.0, 3.0], 1.0) == (0, math.inf, 1)
    assert spread([0.0, 0.0], -1.0) == (0, math.inf, 0)


def test_pairs_go_as_far_as_often_as_the_chance_says():
    """Of differences that are normal, the chance of the next one is uniform."""
    rng = np.random.default_rng(0)
    draws = rng.normal(7, 2, size=(1000, 6))
    chances = [spread(row[:5], row[5]).chance for row in draws]
    assert stats.kstest(chances, "uniform").pvalue > 0.01


def test_the_recipe_alone_is_recomputed(rendered, text):
    rows = table_rows(text.split("### What the training recipe alone makes")[1].split("\n## ")[0])
    ratios = []
    for row, (cell, slides) in zip(rows, SLIDES.items(), strict=True):
        before, after = (values(rendered, recipe, cell)[0] for recipe in RECIPES)
        change = after - before
        atol = rounding(cell.metric)
        expected = [change.mean(), *interval(change)]
        np.testing.assert_allclose(numbers(row[5]), expected, rtol=0, atol=atol)
        ratios.append(change.mean() / (slides["t"] - slides["gauss"]))
        assert row[7] == times(ratios[-1])
    assert f"it makes {times(min(ratios))} to {times(max(ratios))} the slides'" in top(text)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"dataset": "digits"}, "The slides report MNIST and this is `digits`"),
        ({"recipes": ("converged",)}, "No run here was trained as in the slides"),
    ],
)
def test_what_is_not_the_slides_does_not_stand_beside_them(project, options, reason):
    found = report(project, **options)
    assert reason in found
    table = [line for line in found.splitlines() if line.startswith("|")]
    assert not any("slides:" in line or "0.0247" in line for line in table)
    assert "reproduced" not in found
    assert "diamond" not in found
    assert "What would have to be true" not in found


def test_findings_from_elsewhere_stand_in_the_conclusion(project):
    found = top(words(project, ["**A lower weight** does it.", "**So does** another."]))
    assert " shows:\n  - **A lower weight** does it.\n  - **So does** another.\n" in found
    assert "the sweep" not in top(words(project))


def test_the_sweep_is_read_for_this_dataset_alone(project):
    sweep = project / "reports" / "sweep.csv"
    params = read_params(SweepParams)
    plan = load_plan("sweep.yaml", params)
    assert sweep_findings(sweep, Path("sweep.yaml"), params) == []
    runs = {
        Run("digits", "converged", experiment, seed): read_metrics(metrics)
        for seed, metrics in zip(SEEDS, metrics_of(project / "reports", "slides", "t"), strict=True)
        for experiment in plan.experiments
    }
    save_runs(sweep, runs)
    assert sweep_findings(sweep, Path("sweep.yaml"), params) == []
    save_runs(sweep, {run._replace(dataset="mnist"): found for run, found in runs.items()})
    found = sweep_findings(sweep, Path("sweep.yaml"), params)
    assert any("KL weight" in sentence for sentence in found)


def test_what_was_run_is_said(text):
    for part in (
        "`mnist`: 10,000 images for the test, 5,000 for validation, the others for training",
        "Trained with: device cpu, python 3.11, torch 2.13.0.",
        "- Recipe `slides`: schedule constant, epochs 300, batch_size 500, lr 0.005.",
        "| `train.slides.epochs` | `300` |",
        "| `mask.random.fraction` | `0.3` |",
        "| `df` | `21` |",
        "(recipe `converged`, seed 0)",
    ):
        assert part in text


def test_runs_on_different_devices_are_both_said(project):
    path = project / "reports" / "training" / "converged" / "t-1.json"
    environment = load_json(path)["environment"] | {"device": "cuda (H200)"}
    save_json(path, {"epoch": 5, "environment": environment})
    assert "torch 2.13.0 and device cuda (H200), python" in words(project)


def test_the_compact_tables_have_the_slides_beside_their_recipe_alone(rendered):
    summary = load_json(rendered / "summary.json")
    converged, slides = comparison_table(summary).split("\n\nRecipe `slides`:\n\n")
    rows = [slides.splitlines()[i] for i in (0, 2)]
    assert rows[0].endswith("| slides: t − VAE |")
    assert rows[1].startswith("| random pixels | prediction | MSE | ")
    assert rows[1].endswith(" | −0.0033 |")
    assert converged.startswith("Recipe `converged`:\n\n| missing |")
    assert len(table_rows(converged)) == len(table_rows(slides)) == len(SLIDES)
    assert "VAE" not in converged
    assert "VAE" not in comparison_table(summary, slides=False)


def test_the_readme_has_the_conclusion_and_the_compact_tables(rendered, text):
    summary = load_json(rendered / "summary.json")
    block = result(text, summary, slides=True)
    assert block == f"{top(text)}\n\n{comparison_table(summary)}"
    assert block.startswith("**")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (signed("mse", -0.0000049), "0.00000"),
        (signed("mse", -0.0000051), "−0.00001"),
        (signed("ssim", 0.01), "+0.0100"),
        (percent(-0.0004), "0.0 %"),
        (percent(0.1234), "+12.3 %"),
        (share(0.00009), "< 0.01 %"),
        (share(0.0023), "0.23 %"),
        (share(0.03), "3.0 %"),
        (share(1.0), "100 %"),
        (times(-1.25), "−1.2 ×"),
    ],
)
def test_numbers_are_written_for_people(found, expected):
    assert found == expected
