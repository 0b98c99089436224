"""Run the commands of a graph side by side, each as soon as what it needs is done, by Dask."""

import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from contextlib import contextmanager, suppress
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import dask
from distributed import Client, KilledWorker, get_worker
from tqdm import tqdm

from vaefill.errors import InputError
from vaefill.storage import write_text

LOGS = Path(".logs")
#: glibc hands the memory of every large array back to the system and takes it anew, page by page,
#: at the next step of a training: a quarter of a convolutional one's time. So it keeps what is
#: freed, and nothing else changes: neither the bytes of a result nor another C library. Above 32 MB
#: a threshold for mmap is no longer heeded everywhere; so there is none, as nothing is mapped.
MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "-1"}
#: Workers only wait: what watches them would take a tenth of a core. One that dies is waited for.
QUIET = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "10s",
    # Dask's own is 64 KB, which a command would inherit.
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": MEMORY["MALLOC_TRIM_THRESHOLD_"],
    # As in `vaefill.dask`, which every worker would have to import: with torch, for seconds.
    "distributed.deploy.lost-worker-timeout": "1 day",
}
DIED = "the workers that ran it died, one after the other"
#: Starts the command whose words follow it, and ends all that this started when the pipe that
#: it reads is closed: as it is when the worker at its other end dies.
GUARD = ("sh", "-c", 'exec 3<&0 </dev/null; (read _ <&3; kill -9 0) & exec "$@" 3<&-', "guard")
#: Seconds after which an item's time is written down again, for when it is killed.
BEAT = 10.0


@contextmanager
def workers(jobs: int, scheduler: str | None = None) -> Iterator[Executor]:
    """Start workers, or connect to those of a cluster; on leaving, what they are at ends.

    Parameters
    ----------
    jobs : int
        Worker processes on this machine; at least 1.
    scheduler : str or None
        Address of a running scheduler, whose workers are taken instead.

    Raises
    ------
    InputError
        When no scheduler answers, or a worker dies while it starts.
    """
    if jobs < 1:
        raise InputError(f"--jobs {jobs}: must be 1 or more")
    dask.config.set(QUIET)
    # A worker that dies is replaced, and what is lost with it is said below.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    # The workers inherit it: a terminal's Ctrl-C is for us to deal with, once they stand.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    here = {
        "n_workers": jobs,
        "threads_per_worker": 1,
        "memory_limit": 0,  # of the worker itself, which only waits
        "dashboard_address": "127.0.0.1:0",
        "scheduler_kwargs": {"dashboard": False},
        "silence_logs": logging.CRITICAL,
    }
    try:
        client = Client(scheduler, timeout=10) if scheduler else Client(**here)
    except (OSError, ValueError, RuntimeError) as error:
        place = f"--scheduler {scheduler}: no Dask scheduler answers there"
        raise InputError(place if scheduler else f"{error} Run it again") from error
    try:
        with client:
            try:
                _on_stop(signal.default_int_handler)
                yield client.get_executor(pure=False)
            finally:
                _on_stop(signal.SIG_IGN)
                if not scheduler:
                    # While it replaces a worker that died young, Dask fails to end it.
                    with suppress(TimeoutError):
                        client.wait_for_workers(jobs, timeout=60)
    except KeyboardInterrupt:
        print("stopped; what is done stays, and a second run goes on", file=sys.stderr)
        sys.exit(130)
    finally:
        _on_stop(signal.default_int_handler)


def _on_stop(handler: Any) -> None:
    """Say what Ctrl-C and `kill` do."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def execute(
    commands: Mapping[str, Sequence[str]],
    graph: Mapping[str, Collection[str]],
    executor: Executor,
    *,
    unit: str,
    mend: Callable[[], bool] = lambda: False,
    note: Callable[[str, float], None] = lambda item, seconds: None,
) -> bool:
    """Run all that can be run, however much fails.

    Parameters
    ----------
    commands : dict of str to sequence of str
        Items and what runs them, each in the current directory.
    graph : dict of str to collection of str
        Per item those that must have ended well before.
    executor : Executor
        Calls `run_command`; as `workers` gives it.
    unit : str
        What a person calls an item.
    mend : callable
        Called after every item; True when it has put right what all that ran meanwhile may
        have stumbled over: those that fail are then tried again.
    note : callable
        Called with every item that has ended well and the seconds that it took, without those
        in which it waited for a worker; with those of earlier runs in which it was stopped.

    Returns
    -------
    bool
        Whether anything had to be put right.

    Raises
    ------
    InputError
        When an item fails: names the first, its reason and its log.
    """
    order = TopologicalSorter(graph)
    order.prepare()
    running: dict[Future[tuple[str, float]], tuple[str, int]] = {}
    failures: dict[str, str] = {}
    # Dask blames a worker's death on all that waited in it, too: who did it shows alone.
    suspects: list[str] = []
    tried_alone: set[str] = set()
    due, done, mends = list(order.get_ready()), 0, 0
    with tqdm(total=len(graph), unit=unit, smoothing=0) as bar:
        while due or running or suspects:
            if not due and not running:
                due = [suspects.pop(0)]
                tried_alone.update(due)
            for item in due:
                log = str(LOGS / f"{item}.log")
                future = executor.submit(run_command, commands[item], log, os.getcwd())
                running[future] = item, mends
            due = []
            ended, _ = wait(running, timeout=10, return_when=FIRST_COMPLETED)
            if not ended:
                bar.refresh()  # the clock goes on
            for future in ended:
                item, mends_before = running.pop(future)
                reason, seconds = _outcome(future)
                mends += mend()
                if not reason:
                    note(item, seconds)
                    order.done(item)
                    done += 1
                    bar.update()
                elif mends > mends_before:
                    due.append(item)
                elif reason == DIED and item not in tried_alone:
                    suspects.append(item)
                else:
                    failures[item] = reason
                    bar.set_postfix_str(f"{len(failures)} failed")
            due += order.get_ready()
    if failures:
        item, reason = next(iter(failures.items()))
        others = f"; {len(failures) - 1} more failed" if len(failures) > 1 else ""
        raise InputError(
            f"{unit} {item}: {reason}; its log: {LOGS / f'{item}.log'}{others}; "
            f"{done} of {len(graph)} are done"
        )
    return bool(mends)


def _outcome(future: Future[tuple[str, float]]) -> tuple[str, float]:
    """Say why an item failed, empty when it did not, and how long it took."""
    try:
        return future.result()
    except KilledWorker:
        return DIED, 0
    except CancelledError:
        return "the scheduler is gone", 0
    except Exception as error:
        return f"{type(error).__name__}: {error}", 0


def run_command(command: Sequence[str], log: str, directory: str) -> tuple[str, float]:
    """Run a command in a worker, until it ends, the worker dies or nobody waits for it any more.

    Returns
    -------
    str
        Why it failed, in one line; empty when it did not.
    float
        Wall seconds, with those of earlier runs that were stopped before they came to an end.
    """
    worker = get_worker()
    task = worker.state.tasks[worker.get_current_task()]
    path = Path(directory, log)
    path.parent.mkdir(parents=True, exist_ok=True)
    clock = Clock(Path(f"{path}.seconds"))
    with (
        path.open("wb") as output,
        subprocess.Popen(
            [*GUARD, *command],
            cwd=directory,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            while process.poll() is None and task.state == "executing":
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.5)
                clock.beat()
        finally:
            code = process.poll()
            clock.stop(done=code is not None and code >= 0)
            # The guard, unless it was killed, and what a command that was has left behind.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    code = process.returncode
    if not code:
        return "", clock.seconds
    reason = last_error(path.read_text("utf-8", "replace")) or (
        f"ended by signal {-code}" if code < 0 else f"ended with code {code}"
    )
    return reason, clock.seconds


def environment() -> dict[str, str]:
    """Say what a command finds in its environment; where a user has set `MEMORY`, that stays."""
    # The stages' `python` is the worker's, whether its venv is active or not.
    search = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**MEMORY, **os.environ, "PATH": search}


class Clock:
    """Counts the seconds of an item, on from where an earlier run of it was stopped or killed.

    Parameters
    ----------
    file : Path
        Where they are kept until the item comes to an end.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._before = float(file.read_text()) if file.exists() else 0.0
        self._start = self._written = time.monotonic()

    @property
    def seconds(self) -> float:
        """All that were counted."""
        return self._before + time.monotonic() - self._start

    def beat(self) -> None:
        """Write them down every few seconds."""
        if time.monotonic() - self._written >= BEAT:
            self._written = time.monotonic()
            write_text(self._file, f"{self.seconds:.1f}")

    def stop(self, *, done: bool) -> None:
        """Keep them for the next run, or forget them."""
        if done:
            self._file.unlink(missing_ok=True)
        else:
            write_text(self._file, f"{self.seconds:.1f}")


def last_error(text: str) -> str:
    """Find the line that says most: a stage's own error, before what DVC or git make of it."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", text)]
    own = r"error: |(\w+\.)*\w*(Error|Exception|Interrupt)\b"
    for pattern in (own, "ERROR: ", "fatal: ", "."):
        if found := [line for line in lines if re.match(pattern, line)]:
            return found[-1]
    return ""
