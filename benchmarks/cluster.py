"""Time one worker and two on the same directory of parts, in turn, each with one thread.

Workers run before the clock starts, as those of a cluster do, and get the imputer after.
What they write is compared: it must be the same bytes. Run it while nothing else runs.
"""

import argparse
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from distributed import LocalCluster

from vaefill import VAEImputer
from vaefill.dask import HERE, fill_directory
from vaefill.tables.completion import BLOCK

COLUMNS, MISSING, FITTED = 20, 0.1, 20_000


def make_parts(folder: Path, n_parts: int, n_rows: int) -> None:
    """Write numbers of low rank with gaps, `n_rows` in each part."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(5, COLUMNS))
    folder.mkdir()
    for number in range(n_parts):
        values = rng.normal(size=(n_rows, 5)) @ mixing + rng.normal(size=(n_rows, COLUMNS))
        values[rng.random(values.shape) < MISSING] = np.nan
        columns = {f"x{i}": pa.array(column, from_pandas=True) for i, column in enumerate(values.T)}
        pq.write_table(pa.table(columns), folder / f"part-{number:03}.parquet")


def seconds(imputer: VAEImputer, source: Path, target: Path, scheduler: str) -> float:
    """Time one run."""
    start = time.perf_counter()
    fill_directory(imputer, source, target, scheduler=scheduler)
    return time.perf_counter() - start


def contents(folder: Path) -> dict[str, bytes]:
    """Read what a run has written."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("--parts", type=int, default=16)
    parser.add_argument("--rows", type=int, default=32 * 1024, help="in each part (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    times: dict[int, list[float]] = {1: [], 2: []}
    results = []
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        source, few = Path(place, "parts"), Path(place, "few")
        make_parts(source, args.parts, args.rows)
        make_parts(few, 4, BLOCK)
        imputer = VAEImputer(random_state=0).fit(pq.read_table(source).slice(0, FITTED).to_pandas())
        clusters = {n: stack.enter_context(LocalCluster(n_workers=n, **HERE)) for n in times}
        for number in range(args.rounds + 1):
            for n, cluster in clusters.items():
                target = Path(place, f"filled-{n}-{number}")
                spent = seconds(
                    imputer, source if number else few, target, cluster.scheduler_address
                )
                if number:  # in the first round the workers import what they need
                    times[n].append(spent)
                    results.append(contents(target))
    assert all(result == results[0] for result in results)
    rows = args.parts * args.rows
    print(
        f"{args.parts} parts of {args.rows} rows, {COLUMNS} columns, {MISSING:.0%} missing;", end=""
    )
    print(f" medians of {args.rounds} rounds; the same bytes each time\n")
    print("| workers | s | rows/s | × one |\n|---:|---:|---:|---:|")
    for n, taken in times.items():
        median = statistics.median(taken)
        gain = statistics.median(one / own for one, own in zip(times[1], taken, strict=True))
        print(f"| {n} | {median:.1f} | {rows / median:.0f} | {gain:.2f} |")


if __name__ == "__main__":
    main()
