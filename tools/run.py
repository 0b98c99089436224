"""Run what is out of date in DVC's pipeline, as many stages side by side as there are workers.

``python -m tools.run`` asks DVC once what has changed in ``dvc.yaml``, or in another pipeline that
it is given, and runs every such item and what depends on it as ``dvc --wait-for-lock repro
--single-item ITEM``, as soon as its inputs are there. The output of each is kept in ``.logs/``.
Stopped or failed, it goes on where it was when run again.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from graphlib import TopologicalSorter
from pathlib import Path

from study import params
from tools import lock
from tools.cluster import execute, workers
from vaefill.errors import InputError

DVC = (sys.executable, "-m", "dvc", "--wait-for-lock")
PIPELINE = Path("dvc.yaml")


def main(argv: Sequence[str] | None = None) -> None:
    """Bring a pipeline up to date."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "pipeline", type=Path, nargs="?", default=PIPELINE, help="its dvc.yaml (%(default)s)"
    )
    add_arguments(parser)
    args = parser.parse_args(argv)
    run(args.jobs, args.scheduler, args.pipeline)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say who does the work."""
    cores = getattr(os, "process_cpu_count", os.cpu_count)() or 1
    parser.add_argument(
        "--jobs", type=int, default=cores, metavar="N", help="worker processes here (%(default)s)"
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="a running Dask scheduler's workers instead"
    )


def run(jobs: int, scheduler: str | None = None, pipeline: Path = PIPELINE) -> None:
    """Bring a pipeline up to date.

    Raises
    ------
    InputError
        When DVC cannot read the pipeline, or a stage fails.
    """
    mend = partial(lock.mend, pipeline.with_suffix(".lock"))
    lock.begin(pipeline.with_suffix(".lock"))
    graph = outdated(pipeline)
    if not graph:
        print("Everything is up to date.")
    # Once more where the lock file was put back: it may lack what has run since.
    while graph:
        commands = {item: (*DVC, "repro", "--single-item", item) for item in graph}
        try:
            with workers(min(jobs, len(graph)), scheduler) as executor:
                mended = execute(commands, graph, executor, unit="stage", mend=mend)
        finally:
            mend()
        graph = outdated(pipeline) if mended else {}


def outdated(pipeline: Path = PIPELINE) -> dict[str, set[str]]:
    """Ask DVC which items of a pipeline have changed; with them, all that depends on them.

    Returns
    -------
    dict of str to set of str
        Per item those of the others that must run before it.
    """
    # Here, as the workers import this module too.
    from dvc.exceptions import DvcException
    from dvc.lock import LockError
    from dvc.repo import Repo

    for patience in reversed(range(10)):
        try:
            with Repo(_wait_for_lock=True) as repo:
                before = {
                    stage.addressing: {need.addressing for need in repo.index.graph[stage]}
                    for stage in repo.index.graph
                    if stage.relpath == os.path.relpath(pipeline)
                }
                changed = set(repo.status(targets=[str(pipeline)]))
            break
        except DvcException as error:
            # What a run that was killed has left behind ends in a moment.
            if not (isinstance(error, LockError) and patience):
                raise InputError(f"DVC: {error}") from error
            time.sleep(1)
    graph: dict[str, set[str]] = {}
    for item in TopologicalSorter(before).static_order():
        if item in changed or graph.keys() & before[item]:
            graph[item] = graph.keys() & before[item]
    return graph


if __name__ == "__main__":
    params.run(main)
