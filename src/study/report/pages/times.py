"""The page of times: where the hours of a full run go, stage by stage."""

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from heapq import heappop, heappush
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from study.report import formats
from study.report.frames import Column, read
from vaefill.errors import InputError

#: Stages that train the models of the slides' question.
SLIDES = ("train_gauss", "train_t")
#: Workers side by side for which the wall clock is computed.
JOBS = (1, 2, 4, 8)
USUAL = 2

_COUNT, _PERHAPS = Column(int, low=1, empty=True), Column(empty=True)
_COLUMNS = {
    "stage": Column(), "item": Column(), "seconds": Column(float, low=0, empty=True),
    "jobs": _COUNT, "cores": _COUNT, "processor": _PERHAPS, "torch": _PERHAPS, "after": _PERHAPS,
}  # fmt: skip
_REMEDY = "delete it, and `make report` begins it anew"
_UNITS = {"hour": 3600, "minute": 60, "second": 1}


class Times(NamedTuple):
    """What is known of the pipeline's times.

    Attributes
    ----------
    items : DataFrame
        A row per item, in the pipeline's order: ``stage``, ``item``, ``seconds`` on the wall clock
        (nan where none were taken), and where: ``jobs`` side by side, ``cores``, ``processor``,
        ``torch``.
    after : dict of str to list of str
        Per stage those whose items must all have ended before its own begin.
    """

    items: pd.DataFrame
    after: Mapping[str, list[str]]

    @property
    def timed(self) -> pd.DataFrame:
        """The items whose time was taken."""
        return self.items[self.items["seconds"].notna()]


def load(path: str | Path) -> Times:
    """Read the table of times.

    Raises
    ------
    InputError
        When it is missing or broken, or stages wait for each other.
    """
    items = read(path, _COLUMNS, key=["item"], remedy=_REMEDY)
    after = {
        stage: [*dict.fromkeys(" ".join(cells).split())]
        for stage, cells in items.groupby("stage", sort=False)["after"]
    }
    try:
        TopologicalSorter(after).prepare()
    except CycleError as error:
        stages = " → ".join(error.args[1])
        raise InputError(f"{path}: stages wait for each other: {stages}; {_REMEDY}") from error
    return Times(items.drop(columns="after"), after)


def wall_clock(times: Times, jobs: int) -> float:
    """Compute the seconds from the first start to the last end with `jobs` workers.

    Each worker takes the first item of the table that may start, as the runner does; an item may
    when all those of the stages that its own comes after have ended. Items whose time was not
    taken take none.
    """
    waiting = list(times.items.fillna({"seconds": 0}).itertuples())
    left = times.items.groupby("stage").size().to_dict()
    running: list[tuple[float, int, str]] = []
    now = 0.0
    while waiting or running:
        ready = [
            row for row in waiting if not any(left.get(s) for s in times.after[str(row.stage)])
        ]
        for row in ready[: jobs - len(running)]:
            waiting.remove(row)
            heappush(running, (now + row.seconds, row.Index, row.stage))
        now, _, stage = heappop(running)
        left[stage] -= 1
    return now


def by_stage(times: Times) -> pd.DataFrame:
    """Sum the times of each stage's items, in the pipeline's order.

    Returns
    -------
    DataFrame
        By ``stage``: how many ``items``, how many of them ``timed``, ``low`` and ``high`` seconds
        of one, their ``total``, and its ``share`` of the whole.
    """
    seconds = times.items.groupby("stage", sort=False)["seconds"]
    columns = {"items": "size", "timed": "count", "low": "min", "high": "max", "total": "sum"}
    found = seconds.agg(**columns)
    return found.assign(share=found["total"] / (found["total"].sum() or 1))


def span(seconds: float) -> str:
    """Format a time in the largest unit of which it has one: ``4.3 hours``."""
    unit, size = next((u, s) for u, s in _UNITS.items() if seconds >= s or u == "second")
    number = formats.duration(seconds / size)
    return f"{number} {unit}{'s' if number != '1' else ''}"


def page(times: Times, dataset: str) -> dict[str, Any]:
    """Gather what the page says."""
    stages = by_stage(times)
    timed = times.timed
    shares = stages["share"].sort_values(ascending=False)
    where = timed.groupby(["processor", "cores", "torch", "jobs"], sort=False).size()
    walls = {jobs: wall_clock(times, jobs) for jobs in JOBS}
    return {
        "dataset": dataset,
        "items": len(times.items),
        "timed": len(timed),
        "total": span(timed["seconds"].sum()),
        "usual": USUAL,
        "wall": span(walls[USUAL]),
        "slides": float(shares.reindex(SLIDES).sum()),
        "largest": [(stage, share) for stage, share in shares.head(3).items() if share > 0],
        "longest": timed.loc[timed["seconds"].idxmax()] if len(timed) else None,
        "longest_span": span(timed["seconds"].max()) if len(timed) else "",
        "stages": formats.texts(
            stages.reset_index(),
            {
                "stage": lambda row: f"`{row.stage}`",
                "items": lambda row: f"{row.items}",
                "timed": lambda row: f"{row.timed}",
                "seconds each": _range,
                "core hours": lambda row: f"{row.total / 3600:.2f}" if row.timed else formats.NONE,
                "share": lambda row: f"{formats.share(row.share)} %" if row.timed else formats.NONE,
            },
        ),
        "walls": pd.DataFrame(
            {
                "side by side": [str(jobs) for jobs in walls],
                "takes": [span(seconds) for seconds in walls.values()],
            }
        ),
        "machines": [
            {"processor": processor, "cores": int(cores), "torch": torch, "jobs": int(jobs), "n": n}
            for (processor, cores, torch, jobs), n in where.items()
        ],
    }


def _range(row: Any) -> str:
    ends = [formats.duration(row.low), formats.duration(row.high)]
    return " – ".join(dict.fromkeys(ends))
