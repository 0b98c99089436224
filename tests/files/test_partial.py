import errno
import re
from pathlib import Path

import pytest
from filelock import FileLock

from vaefill.errors import FileError, InputError
from vaefill.files.partial import making, partial_path

RUN = {"model": "abc", "draws": 5, "interval": 0.123456789, "keep": ("a",)}


@pytest.fixture
def target(tmp_path):
    return tmp_path / "new" / "out.csv"


def run(target, content="done", fault=None, **options):
    with making(target, options.pop("run", RUN), **options) as place:
        (place / "chunk").write_text(content)
        if fault is not None:
            raise fault
        (place / "result").write_text(content)


def test_the_target_is_all_that_is_left(target):
    run(target)
    assert [path.name for path in target.parent.iterdir()] == ["out.csv"]
    assert target.read_text() == "done"


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_work_is_kept_and_taken_up(target, fault):
    expected = FileError if isinstance(fault, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as raised:
        run(target, fault=fault)
    if expected is FileError:
        rule = f"{target}: No space left; what is done is kept in {target}.partial: go on with"
        assert str(raised.value).startswith(rule)
    assert not target.exists()
    with pytest.raises(FileError, match=re.escape(f"{target}.partial: work of an interrupted run")):
        run(target)
    with making(target, RUN, resume=True) as place:
        assert (place / "chunk").read_text() == "done"
        (place / "chunk").replace(place / "result")
    assert target.exists()
    assert not partial_path(target).exists()


def test_work_of_another_run_is_refused_and_thrown_away_only_by_force(target):
    with pytest.raises(KeyboardInterrupt):
        run(target, fault=KeyboardInterrupt())
    with pytest.raises(FileError, match="of a run with draws = 5, not 0"):
        run(target, run={**RUN, "draws": 0}, resume=True)
    with making(target, RUN, force=True) as place:
        assert not (place / "chunk").exists()
        (place / "result").touch()


def test_work_not_begun_leaves_nothing(target):
    with pytest.raises(InputError, match=r"^bad; nothing was written$"), making(target, RUN):
        raise InputError("bad")
    with pytest.raises(KeyboardInterrupt), making(target, RUN):
        raise KeyboardInterrupt
    with pytest.raises(FileError, match="disk full; nothing was written"), making(target, RUN):
        raise OSError("disk full")
    assert not list(target.parent.iterdir())


def test_what_exists_is_replaced_by_force_alone(target):
    run(target, "old")
    for resume in (False, True):
        with pytest.raises(FileError, match="exists; name another file, or add --force"):
            run(target, resume=resume)
    assert target.read_text() == "old"
    run(target, "new", force=True)
    assert target.read_text() == "new"


def test_what_is_no_file_is_never_replaced(target):
    target.mkdir(parents=True)
    for path in (target, Path("/dev/null")):
        with pytest.raises(FileError, match="exists and is no file"):
            run(path, force=True)


def test_work_that_is_left_when_input_is_bad_is_kept(target):
    with pytest.raises(InputError, match=r"^in\.csv: bad; what is done is kept in .* --resume$"):
        run(target, fault=InputError("in.csv: bad"))
    run(target, resume=True)


def test_a_run_stopped_after_the_target_was_there_ends_well(target):
    with pytest.raises(KeyboardInterrupt):
        run(target, fault=KeyboardInterrupt())
    target.write_text("done")
    run(target, resume=True)
    assert target.read_text() == "done"


def test_two_runs_do_not_meet(target):
    place = partial_path(target)
    place.mkdir(parents=True)
    with FileLock(place / "lock"), pytest.raises(FileError, match="another run is at work on it"):
        run(target, force=True)
