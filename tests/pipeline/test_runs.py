"""The pipeline as people run it: DVC, the real stages, the small digits, no network."""

import shutil
import subprocess
import sys

import networkx as nx
import pytest
from conftest import ROOT
from dvc.dependency.param import ParamsDependency
from dvc.repo import Repo
from project import ENV, Project, stages_run

from study.params import read_yaml
from vaefill.storage import load_json, load_table


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    project = Project(tmp_path_factory.mktemp("project"))
    project.run(sys.executable, "-m", "tools.run", "--jobs", 2)
    project.commit()
    return project


@pytest.fixture
def clone(project, tmp_path) -> Project:
    """What git has of the project: results, but neither data nor models."""
    project.run("git", "clone", "-q", project.root, tmp_path / "clone")
    clone = Project.__new__(Project)
    clone.root = tmp_path / "clone"
    assert not (clone.root / "data").exists()
    return clone


def test_nothing_is_left_to_run(project):
    assert project.dvc("status", "dvc.yaml").strip() == "Data and pipelines are up to date."


def test_elsewhere_and_with_other_threads_the_same_bytes(project, tmp_path):
    first = project.results()
    again = Project.__new__(Project)
    again.root = tmp_path / "elsewhere" / "deeper"
    shutil.copytree(project.root, again.root, ignore=shutil.ignore_patterns("reports", ".dvc"))
    lock = read_yaml(project.root / "dvc.lock")["stages"]
    made = []
    for name in ("train_t@slides-0", "evaluate@slides-t", "infer@t-0-laplace"):
        for out in (again.root / out["path"] for out in lock[name]["outs"]):
            shutil.rmtree(out) if out.is_dir() else out.unlink(missing_ok=True)
            made.append(out.relative_to(again.root).as_posix())
        command = [sys.executable, *lock[name]["cmd"].split()[1:]]
        subprocess.run(command, cwd=again.root, env=ENV | {"OMP_NUM_THREADS": "2"}, check=True)
    second = again.results()
    assert {name for name in second if first[name] != second[name]} == set()
    assert len({name for name in second if name.startswith(tuple(made))}) >= len(made)


def test_tracked_results_name_no_path_and_no_user(project):
    for name, content in project.results().items():
        if name.startswith("reports/"):
            assert str(project.root).encode() not in content, name


def test_outputs_stay_within_their_size(project):
    per_image = 40e6 / 10_000
    imputed = [c for name, c in project.results().items() if name.startswith("data/imputed/")]
    assert len(imputed) == 2 * 1 * 3  # models, seeds, and mechanisms with none
    assert all(len(content) / 100 < per_image for content in imputed)


def test_metrics_are_the_means_that_people_compare(project):
    (row,) = load_table(project.root / "reports" / "metrics" / "slides" / "t.csv")
    shown = load_json(project.root / "reports" / "metrics.json")["slides"]["t"]
    assert shown["elbo"] == float(row["elbo.elbo"])
    assert shown["square_ssim"] == float(
        row["scores.square.single_pass.imputation.image.ssim_global"]
    )


def test_plots_open(project):
    shown = project.dvc("plots", "show", "--json")
    for name in ("training/slides/t-0.csv", "metrics/slides/t.csv", "samples/slides/t/0.png"):
        assert f'"reports/{name}"' in shown


def test_report_is_rebuilt_without_data(clone):
    shutil.rmtree(clone.root / "reports" / "figures")
    clone.dvc("repro", "--single-item", "--force", "report")
    assert clone.run("git", "status", "--porcelain").stdout == ""


@pytest.mark.parametrize(
    ("name", "path", "maker"),
    [
        ("infer@t-0-laplace", "models/slides/t/0.safetensors", "train_t@slides-0"),
        ("images", "data/scores/slides/gauss.npz", "evaluate@slides-gauss"),
    ],
)
def test_a_missing_file_names_the_command_that_makes_it(clone, name, path, maker):
    said = run_alone(clone, name)
    assert said == f"error: {path}: no such file; make it with: dvc repro {maker}\n"


def test_a_broken_file_names_the_command_that_makes_it(clone):
    path = "models/mlp/t/0.safetensors"
    (clone.root / path).parent.mkdir(parents=True)
    (clone.root / path).write_text("cut off")
    said = run_alone(clone, "infer_mlp@t-0-draws")
    assert said.startswith(f"error: {path}: not a model")
    assert said.endswith("; delete it, then: dvc repro train_mlp_t@0\n")


def run_alone(project, name):
    _, *command = read_yaml(project.root / "dvc.lock")["stages"][name]["cmd"].split()
    return project.run(sys.executable, *command, fails=True).stdout


def test_another_df_runs_what_depends_on_it_alone(project):
    output = project.dvc("exp", "run", "-S", "df=10", "compare")
    expected = ["compare", "evaluate@slides-t", "impute@slides-t", "train_t@slides-0"]
    assert sorted(stages_run(output)) == expected
    assert "square_ssim" in output  # the table that answers
    project.run("git", "checkout", "-q", ".")
    project.dvc("checkout")


@pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")
def test_nothing_of_the_gaussian_models_depends_on_df():
    graph = Repo(str(ROOT)).index.graph
    roots = [
        stage for stage in graph for dep in stage.deps
        if isinstance(dep, ParamsDependency) and "df" in dep.params
    ]  # fmt: skip
    hit = {stage.addressing for root in roots for stage in {root, *nx.ancestors(graph, root)}}
    assert not {name for name in hit if "gauss" in name}
    assert {name for name in hit if "@" not in name} == {
        "compare", "images", "imputation", "report", "rubin", "sweep"
    }  # fmt: skip
    assert {"train_t@slides-0", "impute@slides-t", "evaluate@slides-t", "infer@t-0-laplace"} < hit


def test_no_seed_is_refused(project):
    project.params(seeds=[])
    output = project.dvc("repro", "--single-item", "compare", fails=True)
    assert "error: params.yaml: seeds = []: " in output
    project.run("git", "checkout", "-q", ".")


def test_bad_params_stop_a_stage_in_one_line(project):
    project.params(df="abc")
    output = project.dvc("repro", "train_t@slides-0", fails=True)
    assert "error: params.yaml: df = 'abc': Input should be a valid number" in output
    assert "Traceback" not in output
    project.run("git", "checkout", "-q", ".")
    project.dvc("checkout")


def test_copies_of_the_repository_use_their_own_code_and_threads(project, monkeypatch):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setitem(ENV, name, "7")
    code = (
        "import stages, study.params, torch, threadpoolctl\n"
        "print(study.params.__file__, torch.get_num_threads(),\n"
        "      *{pool['num_threads'] for pool in threadpoolctl.threadpool_info()})"
    )
    said = project.run(sys.executable, "-c", code).stdout.split()
    assert said == [str(project.root / "src" / "study" / "params.py"), "1", "1"]
