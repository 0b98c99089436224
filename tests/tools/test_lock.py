"""DVC's lock file, cut off and otherwise broken, comes back."""

import subprocess
import sys

import pytest
import yaml

from tools import lock

STAGES = {name: {"cmd": f"run {name}", "deps": [{"path": "x", "md5": "12ab"}]} for name in "abc"}


def text(*names):
    stages = {name: STAGES[name] for name in names}
    return yaml.safe_dump({"schema": "2.0", "stages": stages}, sort_keys=False)


WHOLE = text("a", "b", "c")


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """An empty DVC project."""
    monkeypatch.chdir(tmp_path)
    for path, content in ((".dvc/config", "[core]\n    no_scm = true\n"), (".dvc/tmp/lock", "")):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)
    return tmp_path


def state():
    return lock.LOCK.read_text() if lock.LOCK.exists() else None


@pytest.mark.parametrize("end", [*range(0, len(WHOLE), 37), len(WHOLE) - 1, WHOLE.index("  b:")])
def test_a_lock_file_that_is_cut_off_is_put_back(end, capsys):
    lock.LOCK.write_text(WHOLE)
    assert not lock.begin()
    lock.LOCK.write_text(WHOLE[:end])
    assert lock.begin()
    assert state() == WHOLE
    assert capsys.readouterr().err == (
        "dvc.lock was cut off or in conflict; put back its last whole state\n"
    )
    assert not lock.mend()


def test_stages_that_are_lost_while_others_run_come_back():
    lock.LOCK.write_text(text("a", "b"))
    assert not lock.begin()
    lock.LOCK.write_text(text("a", "b", "c"))
    assert not lock.mend()
    lock.LOCK.write_text(text("a", "b"))  # cut off between two stages
    assert lock.mend()
    assert state() == WHOLE


def test_fewer_stages_between_two_runs_are_another_state_to_start_from():
    lock.LOCK.write_text(WHOLE)
    assert not lock.begin()
    lock.LOCK.write_text(text("b"))
    assert not lock.begin()
    assert not lock.mend()
    lock.LOCK.unlink()
    assert not lock.begin()
    assert state() is None


CONFLICT = WHOLE.replace("  b:\n", "<<<<<<< HEAD\n  b:\n=======\n  d:\n>>>>>>> other\n")


@pytest.mark.parametrize("broken", [CONFLICT, "[1]\n", "stages: 1\n", "stages:\n  a: {}\n", "\0"])
def test_without_a_copy_it_is_that_of_the_last_commit(broken, capsys):
    lock.LOCK.write_text(text("a"))
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["git", "add", "-f", "dvc.lock"], check=True)
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", *identity, "commit", "-q", "-m", "state"], check=True)
    lock.LOCK.write_text(broken)
    assert lock.begin()
    assert state() == text("a")
    assert capsys.readouterr().err.endswith("; put back that of git's HEAD\n")


def test_without_either_it_is_removed(monkeypatch, tmp_path):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    lock.LOCK.write_text("stages: {")
    assert lock.begin()
    assert state() is None
    assert not lock.begin()


def test_the_list_of_who_is_at_work_is_removed_when_it_is_cut_off(capsys):
    lock.BUSY.write_text('{"write": {"a": ')
    assert lock.begin()
    assert not lock.BUSY.exists()
    assert capsys.readouterr().err == ".dvc/tmp/rwlock was cut off; removed it\n"
    lock.BUSY.write_text('{"write": {}}')
    assert not lock.begin()


def test_what_is_just_being_written_is_waited_for(project):
    lock.LOCK.write_text(text("a"))
    assert not lock.begin()
    # Another process holds DVC's lock while it writes.
    code = (
        "import sys, time\nfrom dvc.repo import Repo\n"
        "with Repo() as repo, repo.lock:\n"
        "    open('dvc.lock', 'w').write('stages:')\n    print('cut', flush=True)\n"
        "    time.sleep(1)\n    open('dvc.lock', 'w').write(sys.argv[1])\n"
    )
    command = [sys.executable, "-c", code, WHOLE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "cut\n"
        assert not lock.mend()
        assert state() == WHOLE
    assert other.returncode == 0
