"""A training that is killed goes on where it was, in the pipeline as people run it."""

import os
import signal
import subprocess
import sys
import time

import pytest
from project import ENV, Project
from ruamel.yaml import YAML

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
