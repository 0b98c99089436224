"""Measure the command `vaefill` end to end: rows a second, the share of files, memory, its help.

The table is generated: numbers of low rank, some of them missing, from CSV to Parquet. Each line is
a process of its own, run one after the other. What it costs to start, read and write is the same
command with nothing computed: gaps come out as gaps. Run it while nothing else runs.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from vaefill import VAEImputer
from vaefill.files.writing import write_file

COLUMNS, RANK, MISSING, FITTED, BATCH = 20, 4, 0.1, 20_000, 64 * 1024
COMMAND = "from vaefill.cli import main; main()"
WITHOUT_COMPUTING = f"""
import vaefill.chunks
vaefill.chunks.fill_table = lambda imputer, table, **options: table
{COMMAND}
"""


class Cost(NamedTuple):
    """Of a process: wall seconds, and bytes of memory at most."""

    seconds: float
    memory: int


def tables(n_rows: int) -> Iterator[pa.Table]:
    """Give numbers of low rank with gaps, four digits each."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(RANK, COLUMNS))
    for start in range(0, n_rows, BATCH):
        n = min(BATCH, n_rows - start)
        values = rng.normal(size=(n, RANK)) @ mixing + 0.5 * rng.normal(size=(n, COLUMNS))
        missing = rng.random(values.shape) < MISSING
        columns = zip(values.T.round(4), missing.T, strict=True)
        yield pa.table({f"x{i}": pa.array(x, mask=gaps) for i, (x, gaps) in enumerate(columns)})


def run(code: str, *arguments: object) -> Cost:
    """Run Python code in a process of its own; stop when it fails."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"vaefill {' '.join(map(str, arguments))}: status {process.returncode}")
    return Cost(time.perf_counter() - start, usage.ru_maxrss * 1024)


def measure(folder: Path, model: Path, n_rows: int) -> None:
    """Print a line of the table."""
    source, target = folder / f"{n_rows}.csv", folder / "filled.parquet"
    write_file(source, tables(n_rows), "csv")
    impute = ("impute", model, source, "-o", target, "--force", "--quiet")
    files, whole = run(WITHOUT_COMPUTING, *impute), run(COMMAND, *impute)
    print(
        f"{n_rows:>12,} {source.stat().st_size / 1e6:>8,.0f} {whole.seconds:>9.1f}"
        f" {n_rows / whole.seconds:>9,.0f} {files.seconds / whole.seconds:>11.0%}"
        f" {whole.memory / 1e6:>9,.0f}",
        flush=True,
    )
    source.unlink()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.command", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000], help="of each table")
    parser.add_argument("--folder", type=Path, help="for the files; a temporary one by default")
    args = parser.parse_args()
    helped = min(run(COMMAND, "--help").seconds for _ in range(5))
    print(f"vaefill --help: {helped:.2f} s, the best of 5\n")
    print("        rows  CSV, MB   seconds    rows/s files alone  peak, MB")
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        model = folder / "model.vaefill"
        VAEImputer(random_state=0).fit(next(tables(FITTED))).save(model)
        for n_rows in args.rows:
            measure(folder, model, n_rows)


if __name__ == "__main__":
    main()
