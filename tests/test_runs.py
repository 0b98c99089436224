"""The pipeline as people run it: DVC, the real stages, the small digits, no network."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT
from ruamel.yaml import YAML

SMALL = {
    "dataset": "digits",
    "seeds": [0],
    "recipes": ["slides"],
    "split": {"seed": 123, "test_size": 200, "valid_size": 200},
    "train": {
        "slides": {"schedule": "constant", "epochs": 2, "batch_size": 100, "lr": 0.005},
        "converged": {
            "schedule": "one_cycle",
            "epochs": 2,
            "batch_size": 100,
            "lr": 0.005,
            "warmup": 0.1,
        },
    },
    "evaluate": {"seed": 7, "n_draws": 1, "importance": {"images": 20, "n_draws": 5}},
    "compare": {"seed": 11, "n_resamples": 100, "outliers": 0.05},
}
ENV = {
    **{key: value for key, value in os.environ.items() if key != "VAEFILL_DATA"},
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    "OMP_NUM_THREADS": "1",
    "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@b",
}  # fmt: skip


def _is_input(name: str) -> bool:
    """Whether a run starts from this file; the sweep's rows are results of runs of their own."""
    return name == "reports/sweep.csv" or not (name.startswith("reports/") or name == "dvc.lock")


class Project:
    """A clone of this working tree in a directory of its own."""

    def __init__(self, root: Path, **changes: object) -> None:
        self.root = root
        listing = ("git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard")
        for name in self.run(*listing).stdout.splitlines():
            if (ROOT / name).is_file() and _is_input(name):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, root / name)
        self.params(**SMALL | changes)
        self.run("git", "init", "-q")
        self.commit()

    def params(self, **changes: object) -> None:
        yaml = YAML(typ="safe")
        params = yaml.load(self.root / "params.yaml")
        params.update(changes)
        yaml.dump(params, self.root / "params.yaml")

    def commit(self) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "-m", "state")

    def run(self, *command: object, fails: bool = False) -> subprocess.CompletedProcess[str]:
        self.root.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [str(part) for part in command],
            cwd=self.root, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, done.stdout
        return done

    def dvc(self, *arguments: object, fails: bool = False) -> str:
        return self.run(sys.executable, "-m", "dvc", *arguments, fails=fails).stdout

    def results(self) -> dict[str, bytes]:
        """Everything that the pipeline made, by name."""
        return {
            path.relative_to(self.root).as_posix(): path.read_bytes()
            for folder in ("data", "models", "reports")
            for path in (self.root / folder).rglob("*")
            if path.is_file() and path.name != ".gitignore"
        }


def stages_run(output: str) -> list[str]:
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    project = Project(tmp_path_factory.mktemp("first"))
    project.dvc("repro")
    project.commit()
    return project


def test_twice_the_same_bytes_and_nothing_left_to_run(project, tmp_path):
    again = Project(tmp_path / "elsewhere" / "deeper")
    assert len(stages_run(again.dvc("repro"))) == 12
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
    assert sorted(stages_run(output)) == sorted(["compare", "report", "sweep", *runs])
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
    code = "import stages, vaefill.pipeline as p; print(p.__file__)"
    found = Path(project.run(sys.executable, "-c", code).stdout.strip())
    assert found == project.root / "src" / "vaefill" / "pipeline.py"


LONG = {
    "converged": {
        "schedule": "one_cycle", "epochs": 150, "batch_size": 100, "lr": 0.005, "warmup": 0.1
    }
}  # fmt: skip


def start(project: Project) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", "train_t@converged-0"],
        cwd=project.root, env=ENV, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.skipif(os.name == "nt", reason="kill -9 is Unix")
def test_killed_training_resumes_to_the_same_bytes(tmp_path):
    disturbed = Project(tmp_path / "disturbed", train=LONG, recipes=["converged"])
    run = start(disturbed)
    deadline = time.monotonic() + 120
    while not list(disturbed.root.glob(".checkpoints/*/state.pt")):
        assert run.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # The same stage, started while the first is at work.
    second = disturbed.run(*train_command(disturbed), fails=True).stdout
    assert "another process is at work on this very run" in second
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert not (disturbed.root / "models" / "converged" / "t-0.safetensors").exists()
    assert "| 1/150" not in disturbed.dvc("repro", "train_t@converged-0").replace("\r", "\n")
    assert not list(disturbed.root.glob(".checkpoints/*/state.pt"))

    undisturbed = Project(tmp_path / "undisturbed", train=LONG, recipes=["converged"])
    undisturbed.dvc("repro", "train_t@converged-0")
    assert disturbed.results() == undisturbed.results()


def train_command(project: Project) -> list[str]:
    stage = YAML(typ="safe").load(project.root / "dvc.yaml")["stages"]["train_t"]
    command = stage["cmd"].replace("${item.seed}", "0").replace("${item.recipe}", "converged")
    return [sys.executable, *command.split()[1:]]
