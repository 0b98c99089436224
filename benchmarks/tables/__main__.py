"""Time the imputers of the benchmark, for its page; nothing else should run meanwhile.

``OMP_NUM_THREADS=1 python -m benchmarks.tables times`` measures every imputer on every table with
30 % of the cells missing, in processor seconds; ``python -m benchmarks.tables speed`` measures
`VAEImputer` on large tables with all cores, in wall seconds. Both write to ``reports/tables``: an
input of the page, not stages of the pipeline, whose results must be the same bytes each time.
"""

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

import vaefill
from stages.tables import HOME
from stages.tables.rivals import RivalsParams
from study.params import read_params
from study.tables import ours, rivals
from study.tables.hiding import Condition, hide
from study.tables.trial import standardise
from vaefill.storage import load_array, load_table, save_json, save_table
from vaefill.training.devices import environment

OUT = Path("reports/tables")
#: Rows and columns to fit, and per cent missing; rows to transform, and the same.
FIT = (10_000, 50, 30)
TRANSFORM = ((20_000, 20, 10), (20_000, 50, 30))
RANK = 10


def times() -> None:
    """Write processor seconds per table and imputer."""
    params = read_params(RivalsParams, HOME)
    rows = []
    for table in [row["table"] for row in load_table(OUT / "tables.csv")]:
        values = load_array(f"data/tables/{table}.npy")
        missing = hide(values, Condition("mcar", 30), np.random.default_rng(0))
        seen = np.where(missing, np.nan, standardise(values, missing))
        imputers: dict[str, Callable[..., object]]
        imputers = {name: partial(ours.impute, name) for name in ours.OURS}
        imputers |= {
            name: partial(rivals.impute, name)
            for name in params.rivals
            if table not in params.left_out.get(name, [])
        }
        for name, impute in tqdm(imputers.items(), desc=table):
            start = time.process_time()
            impute(seen.copy(), 0, params.n_draws)
            rows.append((table, name, time.process_time() - start))
    save_table(OUT / "times.csv", ("table", "imputer", "seconds"), rows)
    facts = environment(torch.device("cpu")) | {"numpy": np.__version__}
    save_json(OUT / "times.json", facts | {"cores (speed)": len(os.sched_getaffinity(0))})


def low_rank(n: int, p: int, rate: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a table of `RANK` factors and as much noise as 1 in 10 of its variance."""
    table: NDArray[np.float64] = (
        rng.standard_normal((n, RANK)) @ rng.standard_normal((RANK, p)) / np.sqrt(RANK)
    )
    table += np.sqrt(0.1) * rng.standard_normal((n, p))
    table[rng.random((n, p)) < rate / 100] = np.nan
    return table


def speed() -> None:
    """Write wall seconds of `VAEImputer` on large tables."""
    rows: list[tuple[str, int, int, int, float]] = []
    for n, p, rate in TRANSFORM:
        rng = np.random.default_rng(0)
        # Factors are drawn first: the rows of both are of one kind.
        table = low_rank(FIT[0] + n, p, rate, rng)
        imputer = vaefill.VAEImputer(random_state=0)
        start = time.perf_counter()
        imputer.fit(table[: FIT[0]])
        fitted = time.perf_counter()
        imputer.transform(table[FIT[0] :])
        if (FIT[0], p, rate) == FIT:
            rows.insert(0, ("fit", *FIT, fitted - start))
        rows.append(("transform", n, p, rate, time.perf_counter() - fitted))
    save_table(OUT / "speed.csv", ("task", "rows", "columns", "rate", "seconds"), rows)


def main() -> None:
    """Measure one of the two."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=("times", "speed"))
    {"times": times, "speed": speed}[parser.parse_args().what]()


if __name__ == "__main__":
    main()
