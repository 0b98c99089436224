"""The runner on pipelines of DVC's: what is out of date, and no more, in order and once."""

import json
import shutil
import subprocess
import sys
import threading

import pytest
import yaml
from conftest import ROOT
from project import ENV, Project

from study.params import read_yaml

#: Stages that write down that they ran; `left` and `right` stand side by side.
STAGES = {
    "first": {"cmd": "cat in > a && echo first >> ran", "deps": ["in"], "outs": ["a"]},
    "left": {
        "cmd": "cp a b && echo left >> ran && test ! -e bad", "deps": ["a"], "outs": ["b"],
        "params": ["x"],
    },
    "right": {"cmd": "cp a c && echo right >> ran", "deps": ["a"], "outs": ["c"]},
    "last": {"cmd": "cat b c > d && echo last >> ran", "deps": ["b", "c"], "outs": ["d"]},
}  # fmt: skip


class Fake(Project):
    """A pipeline of `STAGES`."""

    def __init__(self, root):
        self.root = root
        files = {
            "dvc.yaml": yaml.safe_dump({"stages": STAGES}), "params.yaml": "x: 1\n", "in": "1\n",
            ".dvc/config": "[core]\n    no_scm = true\n",
        }  # fmt: skip
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(content)

    def make(self, *, jobs=2, fails=False):
        """Run it; return what is said and what ran."""
        (self.root / "ran").unlink(missing_ok=True)
        said = make(self, jobs=jobs, fails=fails)
        ran = self.root / "ran"
        return said, ran.read_text().split() if ran.exists() else []


def make(project, *, jobs, fails=False):
    return project.run(sys.executable, "-m", "tools.run", "--jobs", jobs, fails=fails).stdout


@pytest.fixture(autouse=True)
def code(monkeypatch):
    """Take `tools` from here, not from the project's directory."""
    monkeypatch.setitem(ENV, "PYTHONPATH", f"{ROOT}/src:{ROOT}")


def test_what_is_out_of_date_runs_and_a_failure_holds_up_what_needs_it_alone(tmp_path):
    project = Fake(tmp_path)
    (tmp_path / "bad").touch()
    said, ran = project.make(fails=True)
    assert said.splitlines()[-1] == (
        "error: stage left: ERROR: failed to reproduce 'left': failed to run: cp a b && echo left "
        ">> ran && test ! -e bad, exited with 1; its log: .logs/left.log; 2 of 4 are done"
    )
    assert sorted(ran) == ["first", "left", "right"]
    (tmp_path / "bad").unlink()
    (tmp_path / "params.yaml").write_text("x: 2\n")
    assert project.make()[1] == ["left", "last"]


def test_a_lock_file_that_is_cut_off_is_put_back_and_nothing_runs_twice(tmp_path):
    project = Fake(tmp_path)
    project.make()
    lock = tmp_path / "dvc.lock"
    whole = lock.read_text()
    lock.write_text(whole[: len(whole) // 2])
    said, ran = project.make()
    assert said.splitlines() == [
        "dvc.lock was cut off or in conflict; put back its last whole state",
        "Everything is up to date.",
    ]
    assert (lock.read_text(), ran) == (whole, [])


def test_what_a_killed_run_left_behind_is_waited_for(tmp_path):
    project = Fake(tmp_path)
    with subprocess.Popen(["sleep", "3"]) as other:
        threading.Thread(target=other.wait).start()
        busy = {"write": {str(tmp_path / "a"): {"pid": other.pid, "cmd": "dvc"}}}
        (tmp_path / ".dvc" / "tmp").mkdir()
        (tmp_path / ".dvc" / "tmp" / "rwlock").write_text(json.dumps(busy))
        assert len(project.make()[1]) == 4


def test_what_dvc_cannot_read_is_said_in_one_line(tmp_path):
    project = Fake(tmp_path)
    (tmp_path / "dvc.yaml").write_text("stages:\n  a: {cmd: x, dps: [b]}\n")
    (line,) = project.make(fails=True)[0].splitlines()
    assert line.startswith("error: DVC: ")
    assert "dvc.yaml" in line


@pytest.mark.slow
def test_one_job_and_two_give_the_same_bytes(tmp_path):
    one, two = Project(tmp_path / "one"), Project.__new__(Project)
    stages = read_yaml(one.root / "dvc.yaml")["stages"]
    kept = {name: stages[name] for name in ("fetch_mnist", "split", "train_gauss", "train_t")}
    for name in ("train_gauss", "train_t"):
        kept[name]["matrix"] = {"recipe": ["slides"], "seed": [0]}
    (one.root / "dvc.yaml").write_text(yaml.safe_dump({"stages": kept}))
    read = {key.partition(".")[0] for stage in kept.values() for key in stage["params"]}
    params = {k: v for k, v in read_yaml(one.root / "params.yaml").items() if k in read}
    (one.root / "params.yaml").write_text(yaml.safe_dump(params))
    one.dvc("repro", "split")
    two.root = shutil.copytree(one.root, tmp_path / "two")
    for jobs, project in enumerate((one, two), start=1):
        make(project, jobs=jobs)
    assert one.results() == two.results()
    assert sum(name.startswith("models/") for name in one.results()) == 2
