"""Fill in what is larger than one machine: the parts of a table, side by side on Dask's workers."""

import logging
import os
from collections.abc import Collection, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from signal import SIG_IGN, SIGINT, signal
from threading import current_thread, main_thread
from time import sleep
from typing import Any

import pyarrow as pa

from vaefill.errors import InputError
from vaefill.files.parts import Part
from vaefill.filling import fill_table
from vaefill.imputer import VAEImputer
from vaefill.storage import load_json, unreadable
from vaefill.streaming import Filling, Summary, fill_file

try:
    import dask.dataframe as dd
    from dask import config
    from dask.delayed import delayed
    from distributed import (
        CancelledError,
        Client,
        Future,
        KilledWorker,
        Worker,
        as_completed,
        get_worker,
    )
except ImportError as error:
    raise InputError(f"vaefill.dask: no Dask ({error}); pip install vaefill[cluster]") from error

#: Workers on this machine, as many as there are parts or cores: their output is the caller's alone.
HERE = {
    "threads_per_worker": 1,
    "memory_limit": 0,  # a part takes the same memory however long it is
    "dashboard_address": "127.0.0.1:0",
    "scheduler_kwargs": {"dashboard": False},
    "silence_logs": logging.CRITICAL,
}
#: A worker that dies is started anew, however long that takes. Dask itself gives it up for good
#: when it is not there 15 seconds after any death, and what is left then waits for ever.
PATIENT = {"distributed.deploy.lost-worker-timeout": "1 day"}


def fill(
    frame: Any,
    imputer: VAEImputer,
    *,
    draws: int = 0,
    interval: float | None = None,
    indicator: bool = False,
    keep: Sequence[str] = (),
) -> Any:
    """Fill in the partitions of a Dask DataFrame, when it is computed.

    Partition i is filled as part i of a directory is: rows are counted from its first, and draws
    depend on the imputer's seed, row and part. A worker gets the imputer once.

    Parameters
    ----------
    frame : dask.dataframe.DataFrame
        With the columns of the fitted table.
    imputer : VAEImputer
        A fitted one.
    draws, interval, indicator, keep
        As for `vaefill.filling.fill_table`.

    Returns
    -------
    dask.dataframe.DataFrame
        Its partitions, divisions and index; with `draws`, each row's index that many times.

    Raises
    ------
    InputError
        When `frame` is none of Dask's, or its columns are not those of the fitted table.
    """
    if not isinstance(frame, dd.DataFrame):
        raise InputError(f"a {type(frame).__name__}: must be a Dask DataFrame; see VAEImputer")
    options = {"draws": draws, "interval": interval, "indicator": indicator, "keep": tuple(keep)}
    meta = _fill_partition(frame._meta, 0, imputer, options)
    # Delayed: sent once to each worker. Not `map_partitions`: which number a partition has there
    # changes when Dask takes some of the partitions, or reads several as one.
    filled = delayed(_fill_partition)
    shared = delayed(imputer, traverse=False)
    parts = [filled(part, i, shared, options) for i, part in enumerate(frame.to_delayed())]
    return dd.from_delayed(parts, meta=meta, divisions=frame.divisions, verify_meta=False)


def _fill_partition(
    partition: Any, number: int, imputer: VAEImputer, options: dict[str, Any]
) -> Any:
    """Fill a data frame of pandas; its index stays, and so do the dtypes of its columns."""
    table = pa.Table.from_pandas(partition, preserve_index=False)
    filled = fill_table(imputer, table, part=number, **options)
    # What is appended is of one dtype in all partitions: in pandas, whole numbers with gaps are
    # floats. Its own dtypes pandas finds in the metadata.
    own = {"draw", *partition.columns}
    fields = [
        field.with_type(pa.float64())
        if pa.types.is_integer(field.type) and field.name not in own
        else field
        for field in filled.schema
    ]
    filled = filled.cast(pa.schema(fields, table.schema.metadata)).to_pandas()
    filled.index = partition.index.repeat(max(options["draws"], 1))
    return filled


def fill_directory(
    imputer: Any,
    source: str | Path,
    target: str | Path,
    *,
    scheduler: str = "local",
    **options: Any,
) -> Summary:
    """Fill in a directory of parts, each part on one worker; the bytes are those of one machine.

    Workers read and write the parts themselves, so all must see both directories under the same
    paths; the imputer is sent to them, once to each. The parts of a worker that is lost are done
    again by another.

    Parameters
    ----------
    imputer : VAEImputer
        A fitted one.
    source, target : path-like
        The directory of the parts, and that of the filled ones, of the same names.
    scheduler : str, default="local"
        ``"local"`` for as many worker processes as this machine has cores; the address of a running
        Dask scheduler (``tcp://HOST:PORT``), or the file that it wrote (``--scheduler-file``).
    **options
        As for `vaefill.streaming.fill_file`, as is what else is raised.

    Returns
    -------
    Summary
        Of all rows.

    Raises
    ------
    InputError
        When `source` is no directory, or no scheduler answers.
    """
    source, target = Path(source).absolute(), Path(target).absolute()  # workers are elsewhere
    if not source.is_dir():
        raise InputError(f"{source}: no directory of parts; one file is filled without a scheduler")
    return fill_file(imputer, source, target, each=partial(_on_workers, scheduler), **options)


def _on_workers(scheduler: str, fill_part: Filling, parts: Iterable[Part]) -> Iterator[Summary]:
    """Fill in each of the parts on some worker; give the summaries as they come."""
    parts = list(parts)
    with config.set(PATIENT), _connect(scheduler, len(parts)) as client:
        # A task of its own: sent once to each worker, and made again when it is lost with one.
        shared = client.submit(_given, fill_part, pure=False)
        running = {client.submit(_fill_part, shared, part, pure=False): part for part in parts}
        try:
            for future in as_completed(running, loop=client.loop):
                part = running.pop(future)  # or Dask would do it again, should that worker be lost
                try:
                    yield future.result()
                except KilledWorker as error:
                    raise ConnectionError(
                        f"{part.source}: the workers that filled it died"
                    ) from error
                except CancelledError as error:
                    raise ConnectionError(f"scheduler {scheduler}: lost") from error
        finally:
            if running and scheduler != "local":  # where workers go on when this ends
                _stop(client, running)


def _connect(scheduler: str, n_parts: int) -> Client:
    if scheduler == "local":
        cores = getattr(os, "process_cpu_count", os.cpu_count)() or 1
        with _uninterrupted():
            return Client(n_workers=min(cores, n_parts), set_as_default=False, **HERE)
    try:
        address = scheduler if "://" in scheduler else load_json(scheduler)["address"]
    except (OSError, KeyError, TypeError) as error:
        raise unreadable(scheduler, "the file of a Dask scheduler", error) from error
    try:
        return Client(address, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"scheduler {scheduler}: none answers; start it, or use local") from error


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ignore Ctrl-C, as do all processes that start meanwhile: it is the caller's to deal with."""
    if current_thread() is not main_thread():  # signals come to the latter alone
        yield
        return
    before = signal(SIGINT, SIG_IGN)
    try:
        yield
    finally:
        signal(SIGINT, before)


def _stop(client: Client, running: Collection[Future[Any]]) -> None:
    """Wait until no worker is at work on a part: what one wrote later would be in the way."""
    keys = {future.key for future in running}
    client.cancel(list(running))
    with suppress(OSError):  # the scheduler is lost
        while any(client.run(_busy, keys, on_error="ignore").values()):
            sleep(0.1)


def _busy(keys: Set[str], dask_worker: Worker) -> bool:
    return not keys.isdisjoint(dask_worker.active_keys)


def _given(fill_part: Filling) -> Filling:
    return fill_part


def _fill_part(fill_part: Filling, part: Part) -> Summary:
    """Fill a part in a worker, until it is done or nobody waits for it any more."""
    worker = get_worker()
    task = worker.state.tasks[worker.get_current_task()]
    for path in (part.source, part.result.parent):
        if not path.exists():
            raise ConnectionError(f"worker {worker.address}: does not see {path}; mount it there")

    def check(rows: int) -> None:
        if task.state != "executing":
            raise ConnectionError("nobody waits for it")

    return fill_part(part, check)
