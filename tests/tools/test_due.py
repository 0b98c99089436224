"""What must run, where everything is and where only the lock file and the tables are."""

import shutil
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from study.params import read_yaml
from tools import due
from vaefill.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")  # of DVC

#: Two models side by side, read as one folder; what is scored of them, and a page of that. `other`
#: is read by nothing.
STAGES = {
    "data": {"cmd": "cp in data.npz", "deps": ["in"], "outs": ["data.npz"]},
    "train": {
        "matrix": {"model": ["gauss", "t"]},
        "cmd": "mkdir -p models && cp data.npz models/${item.model}",
        "deps": ["data.npz"],
        "params": ["${item.model}.df"],
        "outs": ["models/${item.model}"],
        "plots": [{"losses/${item.model}.csv": {"cache": False}}],
    },
    "score": {
        "cmd": "mkdir -p scores && cat models/* > scores/all", "deps": ["models"],
        "outs": ["scores"],
    },
    "table": {
        "cmd": "cp scores/all table.csv", "deps": ["scores"],
        "outs": [{"table.csv": {"cache": False}}],
    },
    "page": {
        "cmd": "cat template losses/* table.csv > page.md",
        "deps": ["losses", "table.csv", "template"],
        "outs": [{"page.md": {"cache": False}}],
    },
    "other": {"cmd": "cp in other", "deps": ["in"], "outs": ["other"]},
}  # fmt: skip
STAGES["train"]["cmd"] += " && mkdir -p losses && cp params.yaml losses/${item.model}.csv"
PARAMS = {"gauss": {"df": 1, "more": 1}, "t": {"df": 5}}
MADE = ("data.npz", "models", "scores", "other")
TRAIN = ["train@gauss", "train@t"]
ALL = ["data", *TRAIN, "score", "table", "page", "other"]


def reproduce():
    with Repo() as repo:
        repo.reproduce()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The pipeline where it has been run."""
    root = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        Path(".dvc").mkdir()
        Path(".dvc/config").write_text("[core]\n    no_scm = true\n")
        Path("dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}, sort_keys=False))
        Path("params.yaml").write_text(yaml.safe_dump(PARAMS))
        for name in ("in", "template"):
            Path(name).write_text(name)
        reproduce()
    return root


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    monkeypatch.chdir(shutil.copytree(made, tmp_path / "here"))


@pytest.fixture
def clone(here):
    """What git has of it."""
    shutil.rmtree(".dvc/cache")
    shutil.rmtree(".dvc/tmp")
    for name in map(Path, MADE):
        shutil.rmtree(name) if name.is_dir() else name.unlink()


def asked(*targets):
    return due.ask(Path("dvc.yaml"), lambda pipeline: pipeline.due(targets))


def params(**changes):
    Path("params.yaml").write_text(yaml.safe_dump(PARAMS | changes))


def edit_lock(change):
    lock = read_yaml("dvc.lock")
    change(lock["stages"])
    Path("dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))


def test_where_all_was_run_nothing_is_due(here):
    assert asked() == {}


def test_without_a_lock_file_everything_is_in_the_order_of_its_inputs(here):
    Path("dvc.lock").unlink()
    graph = asked()
    assert list(graph) == ALL
    assert graph["score"] == {*TRAIN}
    assert graph["page"] == {*TRAIN, "table"}


def test_what_is_absent_is_not_due(clone):
    assert asked() == {}
    params(gauss={"df": 1, "more": 2})  # which nobody reads
    assert asked() == {}


def test_a_page_is_made_of_tables_alone(clone):
    Path("template").write_text("new")
    assert asked() == {"page": set()}


def test_a_param_asks_for_its_model_and_for_what_is_read_beside_it(clone):
    params(t={"df": 6})
    assert list(asked()) == [item for item in ALL if item != "other"]


@pytest.mark.parametrize("gone", [".dvc/cache/files", None])
def test_models_that_are_there_or_in_the_cache_are_not_trained_again(here, gone):
    params(t={"df": 6})
    shutil.rmtree(gone or "models")
    assert list(asked()) == ["train@t", "score", "table", "page"]
    assert Path("models/gauss").exists()


def test_half_a_lock_file_goes_on_with_the_other_half(clone):
    edit_lock(lambda stages: [stages.pop(name) for name in ("table", "page", "other")])
    graph = asked()
    assert list(graph) == ALL
    assert graph["table"] == {"score"}
    Path("scores").mkdir()
    Path("scores/all").write_text("inin")  # as it was
    assert list(asked()) == ["data", "table", "page", "other"][1:]


def test_models_other_than_those_that_were_scored_are_seen_in_the_lock_file(clone):
    def other_bytes(stages):
        stages["train@t"]["outs"][-1]["md5"] = "0" * 32

    def other_table(stages):
        stages["score"]["outs"][0]["md5"] = "0" * 32 + ".dir"

    edit_lock(other_bytes)
    due_now = [item for item in ALL if item != "other"]
    changed = due.ask(Path("dvc.yaml"), lambda p: [item for item in p.before if p._changed(item)])
    assert (changed, list(asked())) == (["score"], due_now)
    edit_lock(other_table)
    assert "table" in asked("table")


@pytest.mark.parametrize(
    ("break_it", "items"),
    [
        (lambda: Path("table.csv").unlink(), ["data", *TRAIN, "score", "table", "page"]),
        (lambda: Path("page.md").write_text("by hand"), ["page"]),
        (lambda: Path("losses/t.csv").unlink(), ALL[:-1]),
        (lambda: Path("in").write_text("new"), ALL),
    ],
)
def test_tables_that_were_changed_or_deleted_are_made_again(clone, break_it, items):
    break_it()
    assert list(asked()) == items


def test_a_model_that_was_changed_is_made_again(here):
    Path("models/t").write_text("by hand")
    assert list(asked()) == ["train@t", "score", "table", "page"]


def test_folders_of_folders_cannot_be_told_and_are_read_anew(clone):
    stages = read_yaml("dvc.yaml")
    stages["stages"]["train"]["outs"] = ["models/${item.model}/weights"]
    Path("dvc.yaml").write_text(yaml.safe_dump(stages, sort_keys=False))
    edit_lock(lambda s: [s[i]["outs"][-1].update(path=f"models/{i[6:]}/weights") for i in TRAIN])
    edit_lock(lambda s: [s[i]["outs"][-1].update(md5="0" * 32 + ".dir") for i in TRAIN])
    assert "score" in asked()


@pytest.mark.parametrize(
    ("targets", "items"),
    [
        (["score"], ALL[:4]),
        (["train@t"], ["data", "train@t"]),
        (["train@*", "other"], ["data", *TRAIN, "other"]),
        (["*"], ALL),
    ],
)
def test_targets_bring_what_they_need_and_no_more(clone, targets, items):
    Path("dvc.lock").unlink()
    assert list(asked(*targets)) == items


@pytest.mark.parametrize(
    ("target", "hint"), [("trian", "did you mean 'train'"), ("@", "`dvc stage list` names all")]
)
def test_an_unknown_target_is_named(clone, target, hint):
    with pytest.raises(InputError, match=f"^--target '{target}': neither a stage nor an item; "):
        asked("score", target)
    with pytest.raises(InputError, match=hint):
        asked(target)


def test_every_folder_that_the_project_reads_can_be_told_from_the_lock_file_alone(monkeypatch):
    monkeypatch.chdir(Path(__file__).resolve().parents[2])

    def untold(pipeline):
        return [
            (item, str(dep))
            for item in pipeline.before
            for dep in pipeline._stages[item].deps
            for made in [[out for out in pipeline._read(item, dep.fs_path) if out.use_cache]]
            if len(made) > 1 and any(out.hash_info.isdir for out in made if out.hash_info)
        ]

    assert due.ask(Path("dvc.yaml"), untold) == []
