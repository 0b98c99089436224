import subprocess
import sys

import pytest
import torch

from vaefill.errors import InputError
from vaefill.training.checkpoint import Checkpoint, checkpointed, run_key


def test_state_comes_back_and_saves_are_spaced(tmp_path):
    Checkpoint(tmp_path / "state.pt", every_s=0).save({"w": torch.arange(3), "rows": [(1, 2.5)]})
    later = Checkpoint(tmp_path / "state.pt", every_s=60)
    later.save({"w": "too soon"})
    state = later.load()
    assert torch.equal(state["w"], torch.arange(3))
    assert state["rows"] == [(1, 2.5)]


def test_broken_state_starts_afresh(tmp_path, capsys):
    (tmp_path / "state.pt").write_bytes(b"PK half a file")
    assert Checkpoint(tmp_path / "state.pt").load() is None
    assert "unreadable, starting afresh" in capsys.readouterr().err


def killed(root) -> None:
    with checkpointed(root, "k") as checkpoint:
        checkpoint.every_s = 0
        checkpoint.save({"epoch": 1})
        raise KeyboardInterrupt


def test_state_outlives_a_failure_and_goes_after_success(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        killed(tmp_path)
    for expected in ({"epoch": 1}, None):
        with checkpointed(tmp_path, "k") as checkpoint:
            assert checkpoint.load() == expected


HOLD = """
import sys, filelock
with filelock.FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_only_one_is_at_work_on_a_run_until_it_ends(tmp_path):
    def refused():
        with (
            pytest.raises(InputError, match="another process is at work on this very run"),
            checkpointed(tmp_path, "k"),
        ):
            pass

    with checkpointed(tmp_path, "k"):
        refused()
    command = [sys.executable, "-c", HOLD, str(tmp_path / "k.lock")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        refused()
        holder.kill()  # no chance to tidy up
    with checkpointed(tmp_path, "k"):
        pass


def test_key_depends_on_settings_data_and_code(tmp_path, monkeypatch):
    data = tmp_path / "data"
    data.write_bytes(b"1")
    key = run_key({"df": 21}, data)
    assert key == run_key({"df": 21}, data)
    assert key != run_key({"df": 5}, data)
    code = tmp_path / "extra.py"
    code.write_text("")
    with monkeypatch.context() as patch:
        extra = type(sys)("vaefill.extra")
        extra.__file__ = str(code)
        patch.setitem(sys.modules, "vaefill.extra", extra)
        with_code = run_key({"df": 21}, data)
        code.write_text("x = 1")
        assert len({key, with_code, run_key({"df": 21}, data)}) == 3
    data.write_bytes(b"2")
    assert key != run_key({"df": 21}, data)
