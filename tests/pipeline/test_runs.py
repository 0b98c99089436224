"""The pipeline as people run it: DVC, the real stages, the small digits, no network."""

import shutil
import sys
from pathlib import Path

import pytest
from project import SMALL, Project, stages_run


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    project = Project(tmp_path_factory.mktemp("first"))
    project.dvc("repro")
    project.commit()
    return project


def test_twice_the_same_bytes_and_nothing_left_to_run(project, tmp_path):
    again = Project(tmp_path / "elsewhere" / "deeper")
    assert len(stages_run(again.dvc("repro"))) == 28
    first, second = project.results(), again.results()
    assert {name for name in first if first[name] != second.get(name)} == set()
    assert first.keys() == second.keys()
    assert (project.root / "dvc.lock").read_bytes() == (again.root / "dvc.lock").read_bytes()
    assert stages_run(again.dvc("repro")) == []


def test_tracked_results_name_no_path_and_no_user(project):
    for name, content in project.results().items():
        if name.startswith("reports/"):
            assert str(project.root).encode() not in content, name


def test_outputs_stay_within_their_size(project):
    per_image = 40e6 / 10_000
    for name, content in project.results().items():
        if name.startswith("data/imputed/"):
            assert len(content) / 200 < per_image, name


def test_report_is_rebuilt_without_data(project, tmp_path):
    project.run("git", "clone", "-q", project.root, tmp_path / "clone")
    clone = Project.__new__(Project)
    clone.root = tmp_path / "clone"
    assert not (clone.root / "data").exists()
    shutil.rmtree(clone.root / "reports" / "figures")
    clone.dvc("repro", "--single-item", "--force", "report")
    assert clone.run("git", "status", "--porcelain").stdout == ""


def test_another_df_runs_what_depends_on_it_alone(project):
    output = project.dvc("exp", "run", "-S", "df=10")
    runs = ["evaluate@slides-t-0", "impute@slides-t-0", "train_t@slides-0"]
    runs += [f"infer@t-0-{method}" for method in SMALL["infer"]["methods"]]
    for networks in ("mlp", "conv"):
        runs += [f"train_masked_t@{networks}-0", f"infer_masked@{networks}-t-0-draws"]
    common = ["assess", "compare", "degrade", "imputation", "report", "sweep"]
    assert sorted(stages_run(output)) == sorted([*common, *runs])
    project.run("git", "checkout", "-q", ".")
    project.dvc("checkout")
    assert stages_run(project.dvc("repro")) == []


def test_exponents_given_on_the_command_line_are_numbers(project):
    # DVC writes 1e-05, which a YAML 1.1 reader takes for a string.
    project.dvc("exp", "run", "-S", "train.slides.lr=1e-5", "train_gauss@slides-0")
    assert "lr: 1e-05" in (project.root / "params.yaml").read_text()
    project.run("git", "checkout", "-q", ".")
    project.dvc("checkout")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"df": "abc"}, "error: params.yaml: df = 'abc': Input should be a valid number"),
        ({"df": 0}, "error: params.yaml: df = 0: must be a number above 0"),
        ({"mask": {"seed": 1, "random": {"fraction": 1.5}, "square": {"size": 12}}}, "fraction"),
        ({"dff": 10}, "error: params.yaml: dff = 10: no stage reads this key; did you mean 'df'?"),
    ],
)
def test_bad_params_stop_the_pipeline_in_one_line(project, change, message):
    project.params(**change)
    # -k: the other stages do not stop this one from being reached.
    output = project.dvc("repro", "-k", fails=True)
    assert message in output
    assert "Traceback" not in output
    project.run("git", "checkout", "-q", ".")
    project.dvc("checkout")


def test_no_seed_is_refused(project):
    project.params(seeds=[])
    assert "seeds" in project.dvc("repro", fails=True)
    project.run("git", "checkout", "-q", ".")
    project.dvc("checkout")


def test_copies_of_the_repository_use_their_own_code(project):
    code = "import stages, study.params as p; print(p.__file__)"
    found = Path(project.run(sys.executable, "-c", code).stdout.strip())
    assert found == project.root / "src" / "vaefill" / "pipeline.py"
