"""A training that is killed goes on where it was, as the pipeline runs it."""

import os
import signal
import subprocess
import sys
import time

import pytest
from project import ENV, Project

LONG = {"slides": {"schedule": "constant", "epochs": 40, "batch_size": 100, "lr": 0.005}}
TRAIN = (sys.executable, "-m", "dvc", "repro", "train_t@slides-0")


@pytest.mark.skipif(os.name == "nt", reason="kill -9 is Unix")
def test_killed_training_resumes_to_the_same_bytes(tmp_path):
    project = Project(tmp_path, train=LONG)
    model = tmp_path / "models" / "slides" / "t" / "0.safetensors"
    run = subprocess.Popen(
        TRAIN, cwd=tmp_path, env=ENV, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".checkpoints/*/state.pt")):
        assert run.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # The same training, started while the first is at work: held, so that it does not end first.
    os.killpg(run.pid, signal.SIGSTOP)
    command = (
        sys.executable, "-m", "stages.train", "--model=t", "--recipe=slides", "--seed=0",
        "--split=data/split.npz", f"--out={model}", "--history=h.csv",
    )  # fmt: skip
    assert "another process is at work on this very run" in project.run(*command, fails=True).stdout
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert not model.exists()
    assert "| 1/40" not in project.run(*TRAIN).stdout.replace("\r", "\n")
    resumed = model.read_bytes()
    assert not list(tmp_path.glob(".checkpoints/*/state.pt"))
    project.run(*command)
    assert model.read_bytes() == resumed
