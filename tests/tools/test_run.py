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
from tools import times
from vaefill.storage import load_table

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

    def __init__(self, root, **stages):
        self.root = root
        files = {
            "dvc.yaml": yaml.safe_dump({"stages": STAGES | stages}, sort_keys=False),
            "params.yaml": "x: 1\n", "in": "1\n",
            ".dvc/config": "[core]\n    no_scm = true\n",
        }  # fmt: skip
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(content)

    def make(self, *options, jobs=2, fails=False):
        """Run it; return what is said and what ran."""
        (self.root / "ran").unlink(missing_ok=True)
        said = make(self, *options, jobs=jobs, fails=fails)
        ran = self.root / "ran"
        return said, ran.read_text().split() if ran.exists() else []


def make(project, *options, jobs, fails=False):
    command = (sys.executable, "-m", "tools.run", "--jobs", jobs, *options)
    return project.run(*command, fails=fails).stdout


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


def test_in_a_clone_on_another_processor_what_comes_out_otherwise_is_followed_up(tmp_path):
    # What `first` makes is not a matter of its inputs alone, and `seen` does not depend on x.
    first = STAGES["first"] | {"cmd": "cat in processor > a; echo first >> ran"}
    seen = {
        "cmd": "cp a seen && echo seen >> ran", "deps": ["a"], "outs": [{"seen": {"cache": False}}],
    }  # fmt: skip
    project = Fake(tmp_path, first=first, seen=seen)
    (tmp_path / "processor").write_text("one\n")
    assert sorted(project.make("--target", "seen")[1]) == ["first", "seen"]
    assert sorted(project.make()[1]) == ["last", "left", "right"]
    for name in "abcd":
        (tmp_path / name).unlink()
    shutil.rmtree(tmp_path / ".dvc" / "cache")
    assert project.make() == ("Everything is up to date.\n", [])
    (tmp_path / "processor").write_text("two\n")
    (tmp_path / "params.yaml").write_text("x: 2\n")
    _, ran = project.make()
    assert (sorted(ran[:-1]), ran[-1]) == (["first", "last", "left", "right"], "seen")
    assert (tmp_path / "seen").read_text() == (tmp_path / "a").read_text() == "1\ntwo\n"


def test_the_time_of_every_item_that_ran_is_kept_and_its_page_is_made_once_at_the_end(tmp_path):
    page = {
        "cmd": "cp reports/times.csv page && echo page >> ran",
        "deps": ["reports/times.csv"], "outs": [{"page": {"cache": False}}],
    }  # fmt: skip
    project = Fake(tmp_path, page=page)
    ran = project.make()[1]
    assert (len(ran), ran[-1]) == (5, "page")
    rows = load_table(tmp_path / "page")
    assert [(row["item"], row["after"]) for row in rows] == [
        ("first", ""), ("left", "first"), ("right", "first"), ("last", "left right"),
    ]  # fmt: skip
    assert all(0 < float(row["seconds"]) < 600 for row in rows)
    assert {row["cores"] for row in rows} == {str(times.cores())}
    assert [row["jobs"] for row in rows] == ["2"] * 4
    assert project.make()[0] == "Everything is up to date.\n"

    # What comes from the cache keeps its time, another item gets a row and an old one loses it.
    (tmp_path / "c").unlink()
    stages = read_yaml(tmp_path / "dvc.yaml")["stages"]
    stages["later"] = {"cmd": "cp in e", "deps": ["in"], "outs": ["e"]}
    del stages["last"]
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    (tmp_path / "params.yaml").write_text("x: 2\n")
    project.make("--target", "left", "--target", "right")
    again = load_table(tmp_path / "reports" / "times.csv")
    assert [row["item"] for row in again] == ["first", "left", "right", "later"]
    assert [row == old for row, old in zip(again, rows, strict=True)] == [True, False, True, False]
    assert again[-1]["seconds"] == ""


def test_what_is_out_of_date_as_soon_as_it_has_run_is_not_run_forever(tmp_path):
    project = Fake(tmp_path)
    (tmp_path / "params.yaml").write_text("x: .nan\n")  # is not what it was, ever
    said, ran = project.make("--target", "left", fails=True)
    assert said.splitlines()[-1].startswith("error: stage left: out of date again after it has run")
    assert ran == ["first", "left"]


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
