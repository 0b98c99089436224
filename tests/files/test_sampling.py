import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaefill.errors import InputError
from vaefill.files.sampling import sample_rows


def drawn(n_rows, n, seed, step):
    tables = (
        pa.table({"row": np.arange(start, min(start + step, n_rows))})
        for start in range(0, n_rows, step)
    )
    return sample_rows(tables, n, seed)["row"].to_pylist()


@given(
    n_rows=st.integers(1, 300),
    n=st.integers(1, 320),
    seed=st.integers(0, 2**32),
    step=st.integers(1, 310),
)
def test_a_sample_does_not_depend_on_the_batches_and_keeps_the_order(n_rows, n, seed, step):
    rows = drawn(n_rows, n, seed, step)
    assert rows == drawn(n_rows, n, seed, n_rows)
    assert rows == sorted(set(rows))
    assert len(rows) == min(n, n_rows)


def test_every_row_is_as_likely_as_any_other():
    counts = np.bincount(np.concatenate([drawn(30, 10, seed, 4) for seed in range(900)]))
    # A share of 1/3; the largest of 30 deviations is beyond 4.5 standard ones once in 5000 times.
    assert np.abs(counts - 300).max() < 4.5 * np.sqrt(900 / 3 * 2 / 3)


def test_a_table_without_rows_is_refused():
    with pytest.raises(InputError, match="no rows"):
        sample_rows([], 10, 0)
    with pytest.raises(InputError, match="no rows"):
        sample_rows([pa.table({"x": []})], 10, 0)
