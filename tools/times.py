"""How long each item of the pipeline took, as a tracked table: `reports/times.csv`.

A row per item, also where no time is known. What was stopped and went on adds up; what was run
again replaces its row; what left the pipeline loses it.
"""

import os
import platform
from collections.abc import Mapping, Set
from importlib.metadata import version
from pathlib import Path

from tools.due import stage_of
from vaefill.storage import load_table, save_table

TIMES = Path("reports", "times.csv")
#: Wall seconds with this many workers side by side, where they were measured, and after which
#: stages the item may start.
COLUMNS = ("stage", "item", "seconds", "jobs", "cores", "processor", "torch", "after")
MEASURED = COLUMNS[2:-1]


def sync(before: Mapping[str, Set[str]]) -> None:
    """Give every item its row, keeping what was measured; items in the order of `before`."""
    kept = {row.get("item"): row for row in load_table(TIMES)} if TIMES.exists() else {}
    nothing = dict.fromkeys(COLUMNS, "")
    rows = [
        nothing
        | kept.get(item, {})
        | {"stage": stage_of(item), "item": item, "after": _stages(before, needed)}
        for item, needed in before.items()
    ]
    _save(rows)


def record(item: str, seconds: float, jobs: int) -> None:
    """Write down the time of an item that has just ended."""
    measured = (round(seconds, 1), jobs, cores(), processor(), version("torch"))
    new = dict(zip(MEASURED, map(str, measured), strict=True))
    _save([row | new if row["item"] == item else row for row in load_table(TIMES)])


def _save(rows: list[dict[str, str]]) -> None:
    save_table(TIMES, COLUMNS, [[row[name] for name in COLUMNS] for row in rows])


def _stages(before: Mapping[str, Set[str]], needed: Set[str]) -> str:
    return " ".join(dict.fromkeys(stage_of(item) for item in before if item in needed))


def cores() -> int:
    """Count the cores that this process may use."""
    return getattr(os, "process_cpu_count", os.cpu_count)() or 1


def processor() -> str:
    """Name the kind of processor, as its maker does where the system says so."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8", "replace").splitlines() if info.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
