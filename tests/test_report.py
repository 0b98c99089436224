import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from stages.report import ReportParams, main
from vaefill.errors import InputError
from vaefill.pipeline import read_params
from vaefill.report import answer, readme_block, render
from vaefill.reproduction import TOLERANCE
from vaefill.results import load_results, score_rows, summarise
from vaefill.slides import SLIDES, Cell
from vaefill.storage import load_json, load_table, save_json, save_table
from vaefill.tables import comparison_table, percent, signed, verdict
from vaefill.tiles import save_tiles

ROOT = Path(__file__).resolve().parent.parent
SEEDS = (0, 1, 10)
LOSSES = ("train", "valid")
TERMS = ("loss", "reconstruction", "kl")

# What a run of each model scores, before its seed's own small change.
BASE = {
    ("random", "prediction"): {"mse": 0.0281, "ssim": 0.717, "ssim_global": 0.764},
    ("random", "imputation"): {"mse": 0.0092, "ssim": 0.917, "ssim_global": 0.942},
    ("square", "prediction"): {"mse": 0.0491, "ssim": 0.555, "ssim_global": 0.582},
    ("square", "imputation"): {"mse": 0.0245, "ssim": 0.802, "ssim_global": 0.825},
}


def write_run(reports, model, seed, *, gain=0.0):
    """Write the tracked files of one run; `gain` takes that share off each error."""
    rng = np.random.default_rng([seed, model == "t"])

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
    elbo = {"elbo": near(-107.8), "reconstruction": near(-91.0), "kl": near(16.8)}
    save_json(reports / "metrics" / f"{model}-{seed}.json", {"elbo": elbo, "scores": scores})
    columns = ["epoch", *(f"{part}_{term}" for part in LOSSES for term in TERMS)]
    rows = [[epoch, *(near(100 + 50 / epoch) for _ in columns[1:])] for epoch in range(1, 6)]
    save_table(reports / "training" / f"{model}-{seed}.csv", columns, rows)
    environment = {"device": "cpu", "python": "3.11", "torch": "2.13.0"}
    save_json(
        reports / "training" / f"{model}-{seed}.json",
        {"epoch": 5, "environment": environment},
    )
    examples = np.random.default_rng(1).integers(256, size=(10, 6, 28, 28), dtype=np.uint8)
    examples[:, [2, 4]] = np.where(examples[:, [2, 4]] < 77, 255, 0)
    examples[:, [1, 3, 5]] = rng.integers(256, size=(10, 3, 28, 28), dtype=np.uint8)
    save_tiles(reports / "examples" / f"{model}-{seed}.png", examples)
    sheet = rng.integers(256, size=(8, 8, 28, 28), dtype=np.uint8)
    save_tiles(reports / "samples" / f"{model}-{seed}.png", sheet)


def write_project(folder, seeds=SEEDS, *, dataset="mnist", gain=0.0):
    """Write a project of contract-shaped results, and make it the current one."""
    text = (ROOT / "params.yaml").read_text("utf-8")
    text = re.sub(r"(?m)^seeds:.*$", f"seeds: {list(seeds)}", text)
    text = re.sub(r"(?m)^dataset: \w+", f"dataset: {dataset}", text)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(text, "utf-8")
    shutil.copy(ROOT / "dvc.yaml", folder)
    for seed in seeds:
        write_run(folder / "reports", "gauss", seed)
        write_run(folder / "reports", "t", seed, gain=gain)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """A report of three seeds: its folder."""
    folder = tmp_path_factory.mktemp("project")
    write_project(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        main(["--reports", "reports"])
    return folder / "reports"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def report(project, *args, **options):
    """Write a project and return its report, without drawing the figures."""
    write_project(project, *args, **options)
    return words(project)


def words(project):
    params = read_params(ReportParams)
    results = load_results(project / "reports", params.seeds)
    return render(results, summarise(results), params.model_dump())


def values(reports, cell):
    """Read one cell's values per seed straight from the metrics: gauss and t."""
    return [
        np.array(
            [
                json.loads((reports / "metrics" / f"{model}-{seed}.json").read_text("utf-8"))
                ["scores"][cell.mechanism]["single_pass"][cell.output]["image"][cell.metric]
                for seed in SEEDS
            ]
        )
        for model in ("gauss", "t")
    ]  # fmt: skip


def interval(x):
    """A second derivation of the t-interval, from scipy's own."""
    return stats.t.interval(0.95, len(x) - 1, loc=np.mean(x), scale=stats.sem(x))


def numbers(text):
    """All numbers of a text, with the report's minus sign as a minus sign."""
    return [float(n) for n in re.findall(r"[+-]?\d+\.?\d*", text.replace("−", "-"))]


def test_every_number_of_the_table_is_recomputed(rendered):
    table = (rendered / "report.md").read_text("utf-8").split("## The slides' table")[1]
    rows = [
        line.split(" | ") for line in table.splitlines() if line.startswith(("| random", "| a sq"))
    ]
    cells = [*SLIDES, *(cell._replace(metric="ssim") for cell in list(SLIDES)[4:])]
    assert len(rows) == len(cells) == 12
    for row, cell in zip(rows, cells, strict=True):
        gauss, t = values(rendered, cell)
        atol = 0.501 * 10 ** (-5 if cell.metric == "mse" else -4)
        half = [(interval(x)[1] - interval(x)[0]) / 2 for x in (gauss, t)]
        np.testing.assert_allclose(numbers(row[4]), [gauss.mean(), half[0]], rtol=0, atol=atol)
        np.testing.assert_allclose(numbers(row[6]), [t.mean(), half[1]], rtol=0, atol=atol)
        expected = [(t - gauss).mean(), *interval(t - gauss)]
        np.testing.assert_allclose(numbers(row[7]), expected, rtol=0, atol=atol)
        slides = SLIDES.get(cell)
        assert numbers(f"{row[3]} {row[5]}") == ([slides["gauss"], slides["t"]] if slides else [])


def test_the_summary_is_recomputed(rendered):
    summary = load_json(rendered / "summary.json")
    assert set(summary) == {"random", "square", "elbo"}
    for mechanism, output, metric in SLIDES:
        gauss, t = values(rendered, Cell(mechanism, output, metric))
        low, high = interval(t - gauss)
        expected = {
            "gauss": gauss.mean(),
            "t": t.mean(),
            "diff": (t - gauss).mean(),
            "diff_low": low,
            "diff_high": high,
        }
        assert summary[mechanism][output][metric] == pytest.approx(expected, rel=1e-5)


def test_the_elbo_table_is_recomputed(rendered):
    row = re.search(r"\| ELBO \|.*", (rendered / "report.md").read_text("utf-8")).group()
    gauss, t = (
        np.array([load_json(rendered / f"metrics/{m}-{s}.json")["elbo"]["elbo"] for s in SEEDS])
        for m in ("gauss", "t")
    )
    found = numbers(row)
    expected = [gauss.mean(), t.mean(), (t - gauss).mean(), *interval(t - gauss)]
    np.testing.assert_allclose([found[0], found[2], *found[4:]], expected, rtol=0, atol=0.0051)


def test_scores_are_sorted_complete_and_short(rendered):
    text = (rendered / "scores.csv").read_text("utf-8")
    assert text.startswith("model,seed,mechanism,method,output,region,metric,value\n")
    rows = load_table(rendered / "scores.csv")
    keys = [(r["model"], int(r["seed"]), *list(r.values())[2:-1]) for r in rows]
    assert keys == sorted(keys)
    per_run = 3 + 1 + 4 * (3 + 1)  # ELBO's terms, the unmasked score, four cells
    assert len(set(keys)) == len(keys) == 2 * len(SEEDS) * per_run
    assert "gauss,0,none,,,image,elbo," in text
    for row in rows:
        assert row["value"] == f"{float(row['value']):.6g}"
    one = load_json(rendered / "metrics/t-10.json")["scores"]["square"]["single_pass"]
    found = [r for r in keys_of(rows, "t", "10", "square", "imputation") if r["metric"] == "mse"]
    assert float(found[0]["value"]) == one["imputation"]["image"]["mse"]


def keys_of(rows, model, seed, mechanism, output):
    wanted = {"model": model, "seed": seed, "mechanism": mechanism, "output": output}
    return [r for r in rows if r | wanted == r and r["region"] == "image"]


def test_the_same_files_twice_and_all_figures_shown(rendered, project):
    write_project(project)
    main(["--reports", "reports"])
    names = sorted(p.relative_to(rendered) for p in rendered.rglob("*") if p.is_file())
    assert sum(name.suffix == ".png" and name.parent.name == "figures" for name in names) == 7
    for name in names:
        assert (project / "reports" / name).read_bytes() == (rendered / name).read_bytes()
    text = (rendered / "report.md").read_text("utf-8")
    shown = set(re.findall(r"\]\(figures/(.*?)\)", text))
    assert shown == {p.name for p in (rendered / "figures").iterdir()}


def test_seeds_that_were_dropped_do_not_count(rendered, project):
    write_project(project)
    for model in ("gauss", "t"):
        write_run(project / "reports", model, 99, gain=0.9)
    results = load_results("reports", SEEDS)
    assert words(project) == (rendered / "report.md").read_text("utf-8")
    assert {row[1] for row in score_rows(results)} == set(SEEDS)


@pytest.mark.parametrize(
    "name",
    [
        "metrics/t-10.json",
        "training/gauss-1.csv",
        "training/t-1.json",
        "examples/t-0.png",
        "samples/gauss-0.png",
    ],
)
def test_a_missing_file_is_named(project, name):
    write_project(project)
    (project / "reports" / name).unlink()
    with pytest.raises(InputError, match=re.escape(name) + ": no such file; `dvc repro` makes it"):
        main(["--reports", "reports"])
    assert not (project / "reports" / "report.md").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metrics/t-1.json", "[]", "not the metrics of a run"),
        ("metrics/t-1.json", '{"elbo": {"kl": null}, "scores": {}}', "not the metrics of a run"),
        ("metrics/t-1.json", '{"elbo": {}, "scores": {}}', "metrics of t-1: no score "),
        ("training/t-1.csv", "epoch,train_loss\n", "no losses per epoch"),
        ("training/t-1.csv", "epoch,train_loss\n1,high\n", "no losses per epoch"),
    ],
)
def test_a_broken_file_is_named(project, name, content, message):
    write_project(project)
    (project / "reports" / name).write_text(content, "utf-8")
    with pytest.raises(InputError, match=message):
        main(["--reports", "reports"])


def test_models_must_show_the_same_examples(project):
    write_project(project)
    other = np.zeros((10, 6, 28, 28), np.uint8)
    save_tiles(project / "reports" / "examples" / "t-0.png", other)
    with pytest.raises(InputError, match="show different images"):
        main(["--reports", "reports"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("seeds: []", "seeds = \\[\\]"),
        ("seeds: [0, 0]", "must not hold a seed twice"),
        ("seeds: [-1]", "seeds.0 = -1"),
        ("seeds: [a]", "seeds.0 = 'a'"),
        ("df: 0", "df = 0.*above 0"),
        ("df: .nan", "df = nan"),
    ],
)
def test_bad_params_are_named(project, line, message):
    write_project(project)
    text = (project / "params.yaml").read_text("utf-8")
    key = line.split(":")[0]
    (project / "params.yaml").write_text(re.sub(rf"(?m)^{key}:.*$", line, text), "utf-8")
    with pytest.raises(InputError, match=message):
        main(["--reports", "reports"])


@pytest.mark.parametrize(
    ("metric", "low", "high", "expected"),
    [
        ("mse", -0.2, -0.1, "better"),
        ("mse", 0.1, 0.2, "worse"),
        ("mse", -0.1, 0.2, "no difference found"),
        ("mse", 0.0, 0.2, "no difference found"),
        ("ssim_global", 0.1, 0.2, "better"),
        ("ssim_global", -0.2, -0.1, "worse"),
        ("ssim", -0.2, 0.0, "no difference found"),
        ("elbo", 0.1, 0.2, "better"),
        ("mse", None, None, "cannot be told"),
    ],
)
def test_a_direction_only_where_the_interval_excludes_0(metric, low, high, expected):
    assert verdict(metric, low, high) == expected


@pytest.mark.parametrize(
    ("gain", "headline", "forbidden"),
    [
        (0.05, "Yes: the t prior fills them in better, whether random", "worse"),
        (-0.05, "No: the t prior fills them in worse, whether random", "better"),
    ],
)
def test_the_answer_follows_the_numbers(project, gain, headline, forbidden):
    text = report(project, gain=gain)
    first = text.split("## What was run")[0].split("\n\n", 1)[1]
    assert first.startswith(f"**{headline}")
    assert forbidden not in first


def test_no_difference_is_called_neither_better_nor_worse(rendered):
    summary = load_json(rendered / "summary.json")
    for mechanism in ("random", "square"):
        for metrics in summary[mechanism].values():
            for cell in metrics.values():
                cell.update(diff_low=-0.001, diff_high=0.002)
    text = answer(summary, n_seeds=3)
    assert text.startswith(
        "**No difference found, whether random pixels or a square are missing.**"
    )
    assert "no difference found in 8." in text
    assert not re.search("better|worse", text)


def test_an_answer_per_mechanism_where_they_differ(rendered):
    summary = load_json(rendered / "summary.json")
    summary["random"]["imputation"]["mse"].update(diff_low=-0.002, diff_high=-0.001)
    summary["square"]["imputation"]["mse"].update(diff_low=0.001, diff_high=0.002)
    headline = answer(summary, n_seeds=3).split("\n")[0]
    assert headline == (
        "**Yes: the t prior fills them in better where random pixels are missing. "
        "No: the t prior fills them in worse where a square is missing.**"
    )


def test_one_seed_has_no_interval_and_says_why(project):
    text = report(project, [4])
    assert "**One seed cannot tell" in text
    assert "A spread needs at least two seeds" in text
    assert "One training run of each model (seed 4) stands behind every number" in text
    assert "one seed gives no interval" in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert not re.search(r"±|95 %|\bnan\b", "\n".join(tables))
    assert not re.search(r"\bnan\b|the t prior fills|worse", text)
    cell = summarise(load_results(project / "reports", [4]))["square"]["imputation"]["mse"]
    assert cell["diff_low"] is cell["diff_high"] is None


def test_reproduction_is_counted_per_column(rendered):
    text = (rendered / "report.md").read_text("utf-8")
    for model, column in (("gauss", "Gaussian"), ("t", "t prior")):
        near = 0
        for cell, slides in SLIDES.items():
            ours = values(rendered, cell)[model == "t"].mean()
            error = (
                ours / slides[model] if cell.metric == "mse" else (1 - ours) / (1 - slides[model])
            )
            near += abs(error - 1) <= TOLERANCE
        assert f"**{column} column:** {near} of 8 reproduced." in text
    inside = 0
    for cell, slides in SLIDES.items():
        gauss, t = values(rendered, cell)
        low, high = interval(t - gauss)
        inside += low <= slides["t"] - slides["gauss"] <= high
    assert f"lies inside our 95 % interval in {inside} of 8 cells" in text
    assert "Of our 24 pairs of single values (8 cells, 3 seeds), 0 differ" in text


def test_a_difference_like_the_slides_is_found_where_there_is_one(project):
    """Errors a quarter lower, as no cell of the slides is: each pair goes at least as far."""
    text = report(project, gain=0.25)
    assert "24 differ by as much as the slides', in the same direction" in text


def test_other_data_does_not_stand_beside_the_slides(project):
    text = report(project, dataset="digits")
    assert "The slides report MNIST and this is `digits`" in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert not any("slides" in line or "0.0247" in line for line in table)
    assert "reproduced" not in text
    assert "diamond" not in text


def test_what_was_run_is_said(rendered):
    text = (rendered / "report.md").read_text("utf-8")
    for words in (
        "`mnist`: 10,000 images for the test, 5,000 for validation, the others for training",
        "Trained with: device cpu, python 3.11, torch 2.13.0.",
        "| `train.epochs` | `300` |",
        "| `mask.random.fraction` | `0.3` |",
        "| `df` | `21` |",
    ):
        assert words in text


def test_runs_on_different_devices_are_both_said(project):
    write_project(project)
    path = project / "reports" / "training" / "t-1.json"
    environment = load_json(path)["environment"] | {"device": "cuda (H200)"}
    save_json(path, {"epoch": 5, "environment": environment})
    assert "torch 2.13.0 and device cuda (H200), python" in words(project)


def test_the_readme_block_is_the_answer_and_the_table(rendered):
    summary = load_json(rendered / "summary.json")
    block = readme_block(summary, n_seeds=3)
    assert block == f"{answer(summary, n_seeds=3)}\n\n{comparison_table(summary)}"
    rows = comparison_table(summary).splitlines()
    assert len({row.count("|") for row in rows}) == 1
    assert len(rows) == 2 + len(SLIDES)
    assert rows[2].startswith("| random pixels | prediction | MSE | ")
    assert rows[2].endswith(" | −0.0033 |")
    assert "slides" not in comparison_table(summary, slides=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (signed("mse", -0.0000049), "0.00000"),
        (signed("mse", -0.0000051), "−0.00001"),
        (signed("ssim", 0.01), "+0.0100"),
        (percent(-0.0004), "0.0 %"),
        (percent(0.1234), "+12.3 %"),
    ],
)
def test_differences_have_a_sign_unless_they_round_to_0(text, expected):
    assert text == expected
