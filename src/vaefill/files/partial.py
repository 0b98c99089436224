"""A target that comes into being in a directory beside it, so that an interrupted run can go on.

``TARGET.partial/`` holds ``run.json``, which says what the run was asked for, whatever the run
puts there, and at last ``result``, a file or directory, which is moved to the target in one step.
Nothing else is ever seen under the target's name, whenever the machine stops.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout

from vaefill.errors import FileError, InputError
from vaefill.files.source import reading
from vaefill.storage import load_json, write_text


def partial_path(target: str | Path) -> Path:
    """Where a target comes into being."""
    target = Path(target)
    return target.with_name(f"{target.name}.partial")


def digest(path: str | Path) -> str:
    """Tell a file from what it was before; standard input is never what it was."""
    if str(path) == "-":
        return uuid4().hex
    with reading(str(path)), Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def making(
    target: str | Path, run: Mapping[str, Any], *, force: bool = False, resume: bool = False
) -> Iterator[Path]:
    """Make a target whole or not at all.

    Parameters
    ----------
    target : path-like
        What is to be made: a file, or a directory.
    run : mapping
        All that its bytes depend on, as JSON has it: only the same run may take work up again.
    force : bool, default=False
        Whether a file of that name may be replaced, and unfinished work thrown away.
    resume : bool, default=False
        Whether to take up unfinished work, if there is any.

    Yields
    ------
    Path
        The directory to work in. When the body is through, what is called ``result`` in it becomes
        the target. When the body fails or is interrupted, the directory stays behind; it is removed
        when nothing is left in it that was done.

    Raises
    ------
    FileError
        When the target is there already, or unfinished work that is not to be touched, or is that
        of another run; and in place of OSError, such as when the disk is full.
    InputError
        As the body raises it, and what becomes of the work.
    """
    target, place = Path(target), partial_path(target)
    result, made = place / "result", place / "made"
    run = json.loads(json.dumps(run))
    goes_on = resume and _same_run(place, run)
    ours = goes_on and made.exists() and not result.exists() and target.exists()
    if target.exists() and not (target.is_file() or ours):
        raise FileError(f"{target}: exists and is no file; it is not replaced, name another")
    if target.exists() and not (force or goes_on):
        raise FileError(f"{target}: exists; name another file, or add --force to replace it")
    if place.exists() and not (force or resume):
        raise FileError(
            f"{place}: work of an interrupted run; add --resume to go on, or --force to start anew"
        )
    try:
        place.mkdir(parents=True, exist_ok=True)
        with FileLock(place / "lock", timeout=0):
            if not goes_on:
                _clear(place)
                write_text(place / "run.json", json.dumps(run, indent=2, sort_keys=True))
            if ours:  # it was stopped when all was done; the body finds that so
                target.replace(result)
            yield place
            write_text(made, "")
            result.replace(target)
        _remove(place)
    except Timeout as error:
        raise FileError(f"{target}: another run is at work on it; wait for its end") from error
    except InputError as error:
        raise type(error)(f"{error}; {_kept(place)}") from error
    except OSError as error:
        raise FileError(f"{target}: {error.strerror or error}; {_kept(place)}") from error
    except BaseException:
        _kept(place)
        raise


def _same_run(place: Path, run: Mapping[str, Any]) -> bool:
    """Tell whether there is work of this run; FileError if there is that of another."""
    # It is written first and removed first: without it there is nothing to go on with.
    if not (place / "run.json").exists():
        return False
    known = load_json(place / "run.json")
    for key in {**known, **run}:
        if known.get(key) != run.get(key):
            raise FileError(
                f"{place}: of a run with {key} = {known.get(key)!r}, not {run.get(key)!r}; repeat"
                " that run, or start anew with --force instead of --resume"
            )
    return True


def _kept(place: Path) -> str:
    """Say what is left for another run, and leave nothing if there is no work in it."""
    if any(path.is_file() and path.name not in ("run.json", "lock") for path in place.rglob("*")):
        return f"what is done is kept in {place}: go on with --resume"
    _remove(place)
    return "nothing was written"


def _clear(place: Path) -> None:
    """Remove all but the lock, the description of the run first."""
    (place / "run.json").unlink(missing_ok=True)
    for path in place.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "lock":
            path.unlink()


def _remove(place: Path) -> None:
    (place / "run.json").unlink(missing_ok=True)
    shutil.rmtree(place, ignore_errors=True)
