"""A small copy of the project, to run its pipeline in."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from conftest import ROOT

from study.params import read_yaml

NETWORKS = {
    "latent": 2, "epochs": 1, "batch_size": 200, "lr": 0.002, "optimizer": "adam",
    "mixed_precision": False,
}  # fmt: skip
SMALL = {
    "dataset": "digits",
    "seeds": [0],
    "recipes": ["slides"],
    "split": {"seed": 123, "test_size": 100, "valid_size": 100},
    "train": {
        "slides": {"schedule": "constant", "epochs": 2, "batch_size": 100, "lr": 0.005},
        "factors": {"schedule": "constant", "epochs": 1, "batch_size": 100, "lr": 0.005},
    },
    "evaluate": {"seed": 7, "n_draws": 1, "importance": {"images": 20, "n_draws": 5}},
    "infer": {
        "recipe": "slides",
        "seeds": [0],
        "methods": ["laplace"],
        "settings": {
            "single_pass": {},
            "laplace": {"n_proposals": 20, "max_iterations": 3},
            "draws": {"n_averaged": 2},
        },
        "seed": 17,
        "n_draws": 39,
        "images": 30,
        "valid_images": 30,
    },
    "masked": {
        "networks": ["mlp"],
        "seeds": {"mlp": [0], "conv": []},
        "methods": ["draws"],
        "warmup": 0.1,
        "mixture": {"random": {"weight": 1.0, "fraction": [0.1, 0.8]}},
        "mlp": NETWORKS | {"widths": [16, 8]},
        "conv": NETWORKS | {"widths": [4, 8, 8, 16]},
        "budgets": {
            "epochs": [],
            "seeds": [],
            "seed": 37,
            "images": 10,
            "curves": {"square": {"size": [4]}},
        },
    },
    "classifier": {"seed": 5},
    "assess": {"shown": ["laplace", "draws"], "pooled": "mlp"},
    "degrade": {
        "seed": 31,
        "images": 10,
        "baselines": ["mean"],
        "methods": ["single_pass"],
        "curves": {"square": {"size": [4, 8]}},
        "others": {"half-top": {"mechanism": "half", "side": "top"}},
    },
    "compare": {"seed": 11, "n_resamples": 100, "outliers": 0.05},
    "control": {
        "truths": ["linear"],
        "df": 3,
        "rows": 100,
        "valid_rows": 20,
        "test_rows": 20,
        "columns": 5,
        "latent": 2,
        "noise": 0.5,
        "missing": [0.5],
        "seeds": [0, 1],
        "training": {
            "epochs": 1,
            "batch_size": 50,
            "lr": 0.003,
            "warmup": 0.1,
            "clip": 10,
            "n_draws": 2,
        },
        "n_proposals": 20,
        "n_draws": 19,
    },
}
INPUTS = (
    "reports/factors.csv",
    "reports/sweep.csv",
    "reports/imputation/left_out.csv",
    "reports/imputation/timings.csv",
    "reports/imputation/timings.json",
)
ENV = {
    **{key: value for key, value in os.environ.items() if key != "VAEFILL_DATA"},
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    "OMP_NUM_THREADS": "1",
    "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@b",
}  # fmt: skip


def _is_input(name: str) -> bool:
    """Whether a run starts from this file; some reports are measured or collected elsewhere."""
    return name in INPUTS or not (name.startswith("reports/") or name == "dvc.lock")


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
        params = read_yaml(self.root / "params.yaml") | changes
        (self.root / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")

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
        """Everything that the pipeline made, by name, but for how long it took."""
        return {
            path.relative_to(self.root).as_posix(): path.read_bytes()
            for folder in ("data", "models", "reports")
            for path in (self.root / folder).rglob("*")
            if path.is_file() and path.name != ".gitignore" and "times" not in path.parts
            if path.name not in ("times.csv", "times.md")
        }


def stages_run(output: str) -> list[str]:
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]
