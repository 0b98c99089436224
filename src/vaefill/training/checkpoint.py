"""The state of an unfinished run, kept under a key of everything that determines its result.

It lies outside the pipeline's outputs, which DVC deletes before a stage runs, and under a key,
so that a run with other params, data or code starts afresh instead of going on from it.
"""

import hashlib
import io
import json
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from vaefill.errors import InputError
from vaefill.storage import write_bytes


def run_key(settings: Mapping[str, Any], *files: str | Path) -> str:
    """Digest of settings, input files, the code that is loaded, and the version of PyTorch."""
    modules = (
        module
        for name, module in sorted(sys.modules.items())
        if name.split(".")[0] in ("vaefill", "study", "stages", "__main__")
    )
    # A program without a file, such as `python -c`, has no code to hash.
    code = [file for module in modules if (file := getattr(module, "__file__", None))]
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    digest.update(torch.__version__.encode())
    for path in (*files, *code):
        with Path(path).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:32]


class Checkpoint:
    """The last state of one run, replaced as it goes.

    Parameters
    ----------
    path : path-like
        The file.
    every_s : float, default=2
        Least time between two saves, in seconds; a state that comes sooner is passed over.
    """

    def __init__(self, path: str | Path, *, every_s: float = 2) -> None:
        self.path = Path(path)
        self.every_s = every_s
        self._saved_at = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """Return the last state, or None where there is none or it cannot be read."""
        try:
            state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            return None
        except Exception as error:  # a broken state costs time only, never the run
            print(f"{self.path}: unreadable, starting afresh ({error})", file=sys.stderr)
            return None
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Replace the state, unless the last one is younger than `every_s`."""
        if time.monotonic() - self._saved_at < self.every_s:
            return
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_bytes(self.path, buffer.getvalue())
        self._saved_at = time.monotonic()


@contextmanager
def checkpointed(root: str | Path, key: str) -> Iterator[Checkpoint]:
    """Hold the run `key` for this process alone; forget its state once it has ended well.

    Parameters
    ----------
    root : path-like
        Where states are kept, one directory per key.
    key : str
        From `run_key`.

    Yields
    ------
    Checkpoint

    Raises
    ------
    InputError
        When another process is at work on the same run.
    """
    directory = Path(root, key)
    directory.mkdir(parents=True, exist_ok=True)
    # Beside the directory, which goes away while the lock is still held.
    lock = FileLock(f"{directory}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise InputError(
            f"{directory}: another process is at work on this very run; wait for it, or stop it"
        ) from error
    try:
        yield Checkpoint(directory / "state.pt")
        shutil.rmtree(directory, ignore_errors=True)
    finally:
        lock.release()
