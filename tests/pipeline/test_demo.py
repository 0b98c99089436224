import subprocess
from pathlib import Path

import pytest

from study.params import read_yaml
from tools import demo
from vaefill.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


def test_override_changes_the_named_values_only():
    params = {"df": 21, "train": {"epochs": 300, "lr": 0.005}}
    demo.override(params, {"train": {"epochs": 2}})
    assert params == {"df": 21, "train": {"epochs": 2, "lr": 0.005}}


@pytest.mark.parametrize("changes", [{"dff": 1}, {"train": {"epoch": 1}}])
def test_override_refuses_an_unknown_key(changes):
    with pytest.raises(InputError, match=r"demo\.yaml: (dff|epoch) = 1: params\.yaml has no such"):
        demo.override({"df": 21, "train": {"epochs": 300}}, changes)


def test_the_tracked_overrides_fit_the_digits():
    params = read_yaml(ROOT / "params.yaml")
    demo.override(params, read_yaml(ROOT / "demo.yaml"))
    assert params["dataset"] == "digits"
    split = params["split"]
    n_train = 1797 - split["test_size"] - split["valid_size"]
    assert all(params["train"][recipe]["batch_size"] <= n_train for recipe in params["recipes"])
    assert len(params["seeds"]) >= 2, "one seed has no interval"


def test_copy_has_what_git_would_track_but_no_results(tmp_path, monkeypatch):
    project, copy = tmp_path / "project", tmp_path / "copy"
    files = {
        ".gitignore": "/data/\n",
        "stages/a b.py": "tracked",
        "new.py": "untracked",
        "gone.py": "deleted",
        "data/raw.npz": "ignored",
        "reports/report.md": "result",
        "reports/sweep.csv": "input",
        "reports/imputation/timings.csv": "input",
        "reports/imputation/scores/mlp.csv": "result",
        "dvc.lock": "result",
    }
    for name, text in files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text, "utf-8")
    monkeypatch.chdir(project)
    subprocess.run(["git", "init", "--quiet"], check=True)
    subprocess.run(["git", "add", "--", "stages", "gone.py", "dvc.lock"], check=True)
    (project / "gone.py").unlink()
    demo.copy_tree(copy)
    copied = {p.relative_to(copy).as_posix() for p in copy.rglob("*") if p.is_file()}
    inputs = {"reports/sweep.csv", "reports/imputation/timings.csv"}
    assert copied == {".gitignore", "stages/a b.py", "new.py", *inputs}
    assert (copy / "stages" / "a b.py").read_text("utf-8") == "tracked"


def test_outside_of_a_clone_the_reason_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(InputError, match="run from a clone"):
        demo.copy_tree(tmp_path / "copy")
