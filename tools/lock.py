"""Keep whole what DVC rewrites in place, where a kill can cut it off."""

import json
import subprocess
import sys
from pathlib import Path

import yaml
from tqdm import tqdm

from vaefill.storage import write_bytes

LOCK = Path("dvc.lock")
#: Who is at work on which files; nothing is lost with it.
BUSY = Path(".dvc/tmp/rwlock")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C where there is one: 20 times faster


def kept(lock: Path) -> Path:
    """Name the copy of a lock file's last whole state."""
    return Path(".dvc", "tmp", f"{lock}.kept")


def begin(lock: Path = LOCK) -> bool:
    """Start from the lock file as it is, though it may lack stages; mend it when it is broken."""
    content, before = _read(lock), _read(kept(lock)) or b""
    cut_off = content is not None and content != before and before.startswith(content)
    if _stages(content) is not None and not cut_off:
        kept(lock).unlink(missing_ok=True)
    return mend(lock)


def mend(lock: Path = LOCK) -> bool:
    """Keep a copy of the lock file, or put the last one back when it is broken.

    Without a copy it becomes that of git's HEAD, or is removed: DVC then finds in its cache
    what it has run.

    Returns
    -------
    bool
        Whether something was broken; a line on stderr says what became of it.
    """
    if _keep(lock) and _is_json(_read(BUSY)):
        return False
    from dvc.repo import Repo  # half a second, seldom needed

    done = []
    # What looks broken may just be being written: only who holds DVC's lock can tell.
    with Repo(_wait_for_lock=True) as repo, repo.lock:
        if not _is_json(_read(BUSY)):
            BUSY.unlink()
            done.append(f"{BUSY} was cut off; removed it")
        if not _keep(lock):
            done.append(f"{lock} was cut off or in conflict; {_put_back(lock)}")
    for line in done:
        tqdm.write(line, file=sys.stderr)
    return bool(done)


def _keep(lock: Path) -> bool:
    """Copy the lock file, unless it is broken or has lost stages."""
    content, last = _read(lock), _read(kept(lock))
    stages, before = _stages(content), _stages(last) or set()
    if stages is None or not stages >= before:
        return False
    if content is not None and content != last:
        write_bytes(kept(lock), content)
    return True


def _put_back(lock: Path) -> str:
    head = subprocess.run(["git", "show", f"HEAD:./{lock}"], capture_output=True).stdout
    last = _read(kept(lock))
    for content, state in ((last, "its last whole state"), (head, "that of git's HEAD")):
        if content and _stages(content):
            write_bytes(lock, content)
            return f"put back {state}"
    lock.unlink()
    return "removed it"


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _stages(lock: bytes | None) -> set[str] | None:
    """Name the stages in the content of a lock file; of none, none; None when it is broken."""
    if lock is None:
        return set()
    try:
        stages = yaml.load(lock, Loader=LOADER)["stages"]
        whole = lock.endswith(b"\n") and all("cmd" in stage for stage in stages.values())
    except (yaml.YAMLError, AttributeError, KeyError, TypeError):
        return None
    return set(stages) if whole else None


def _is_json(content: bytes | None) -> bool:
    try:
        return content is None or json.loads(content) is not None
    except ValueError:
        return False
