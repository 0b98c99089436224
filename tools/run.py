"""Run what is out of date in DVC's pipeline, as many stages side by side as there are workers.

``python -m tools.run`` asks once what is due in ``dvc.yaml``, or in another pipeline that it is
given, and runs every such item as ``dvc --wait-for-lock repro --single-item ITEM``, as soon as its
inputs are there. The output of each is kept in ``.logs/``. Stopped or failed, it goes on where it
was when run again, also in a fresh clone that has ``dvc.lock`` and the tables alone.
"""

import argparse
import sys
from collections.abc import Collection, Sequence, Set
from functools import partial
from pathlib import Path

from study import params
from tools import due, lock, times
from tools.cluster import LOGS, execute, workers
from vaefill.errors import InputError

DVC = (sys.executable, "-m", "dvc", "--wait-for-lock")
PIPELINE = Path("dvc.yaml")


def main(argv: Sequence[str] | None = None) -> None:
    """Bring a pipeline up to date."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "pipeline", type=Path, nargs="?", default=PIPELINE, help="its dvc.yaml (%(default)s)"
    )
    parser.add_argument(
        "--target", action="append", default=[], metavar="NAME",
        help="only this stage, or item of one, and what it needs; may be given several times",
    )  # fmt: skip
    add_arguments(parser)
    args = parser.parse_args(argv)
    run(args.jobs, args.scheduler, args.pipeline, args.target)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say who does the work."""
    parser.add_argument(
        "--jobs", type=int, default=times.cores(), metavar="N",
        help="worker processes here (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="a running Dask scheduler's workers instead"
    )


def run(
    jobs: int,
    scheduler: str | None = None,
    pipeline: Path = PIPELINE,
    targets: Collection[str] = (),
) -> None:
    """Bring a pipeline up to date, or only `targets` and what they need.

    Raises
    ------
    InputError
        When DVC cannot read the pipeline, a stage fails, or one that has run is still due.
    """
    mend = partial(lock.mend, pipeline.with_suffix(".lock"))
    lock.begin(pipeline.with_suffix(".lock"))
    graph, timed = plan(pipeline, targets)
    if not graph:
        print("Everything is up to date.")
    ran: set[str] = set()
    # Once more, as what was made again may have other bytes on another processor, and a lock file
    # that was put back may lack what has run since.
    while graph:
        at_once = min(jobs, len(graph))
        commands = {item: (*DVC, "repro", "--single-item", item) for item in graph}
        # Of a cluster's workers nobody knows what they are.
        note = partial(_note, timed if scheduler is None else set(), at_once)
        try:
            with workers(at_once, scheduler) as executor:
                mended = execute(commands, graph, executor, unit="stage", mend=mend, note=note)
        finally:
            mend()
        ran = set() if mended else ran | graph.keys()
        graph, timed = plan(pipeline, targets)
        if graph and graph.keys() <= ran:
            raise InputError(
                f"stage {next(iter(graph))}: out of date again after it has run; something that it "
                "reads or makes was changed meanwhile: run it again"
            )


def plan(pipeline: Path, targets: Collection[str] = ()) -> tuple[due.Graph, Set[str]]:
    """Say what must run next, and after what; and which items have their time taken.

    Where a stage reads the table of times, every item has a row there, and what reads it waits
    until all others are done.
    """

    def question(found: due.Pipeline) -> tuple[due.Graph, Set[str]]:
        last = found.reads(times.TIMES)
        timed = {item: found.before[item] for item in found.before if item not in last}
        if last:
            times.sync(timed)
        graph = found.due(targets)
        first = {item: needed for item, needed in graph.items() if item not in last}
        return first or graph, timed.keys() if last else set()

    return due.ask(pipeline, question)


def _note(timed: Set[str], jobs: int, item: str, seconds: float) -> None:
    """Keep the time of an item that DVC has run, and not found done or in its cache."""
    if item in timed:
        log = (LOGS / f"{item}.log").read_text("utf-8", "replace")
        if f"Running stage '{item}'" in log:
            times.record(item, seconds, jobs)


if __name__ == "__main__":
    params.run(main)
