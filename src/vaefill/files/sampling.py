"""A uniform sample of rows, drawn in one pass."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from vaefill.errors import InputError


def sample_rows(tables: Iterable[pa.Table], n: int, seed: int) -> pa.Table:
    """Draw rows without replacement, each as likely as any other.

    Every row gets a random number; the rows of the `n` smallest ones are kept. Which these are does
    not depend on how the rows are cut into tables.

    Parameters
    ----------
    tables : iterable of pyarrow.Table
        The rows.
    n : int
        How many to draw; all, if there are fewer.
    seed : int
        Of the random numbers.

    Returns
    -------
    pyarrow.Table
        In the order in which they came.

    Raises
    ------
    InputError
        When there are no rows.
    """
    rng = np.random.default_rng(seed)
    held: pa.Table | None = None
    keys = np.empty(0)
    for table in tables:
        drawn = rng.random(table.num_rows)
        # Of a full sample only what is smaller than its largest number can find a place.
        near = np.flatnonzero(drawn < (keys.max() if len(keys) == n else np.inf))
        if near.size or held is None:
            fresh = table.take(near)
            held = fresh if held is None else pa.concat_tables([held, fresh])
            keys = np.append(keys, drawn[near])
            if len(keys) > n:
                smallest = np.sort(np.argsort(keys, kind="stable")[:n])
                held, keys = held.take(smallest).combine_chunks(), keys[smallest]
    if held is None or not held.num_rows:
        raise InputError("there are no rows: a table needs some to learn from")
    return held
