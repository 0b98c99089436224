"""A table that anybody understands, with gaps of two sorts, for `vaefill demo`."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes

NAMES = {
    "age": "age", "sex": "sex", "bmi": "body mass index", "bp": "blood pressure",
    "s1": "total cholesterol", "s2": "LDL cholesterol", "s3": "HDL cholesterol",
    "s4": "cholesterol ratio", "s5": "log triglycerides", "s6": "blood sugar",
}  # fmt: skip


def demo_table(seed: int = 0) -> pa.Table:
    """442 people with diabetes, in scikit-learn's units, with gaps made by `seed`.

    Blood pressure, cholesterol ratio and sex are missing at random in one row of eight (MCAR).
    The two cholesterols and blood sugar were measured together, and more often in people with a
    high body mass index: they are missing at random given what is observed (MAR).
    """
    rng = np.random.default_rng(seed)
    data = load_diabetes(scaled=False)
    columns = {
        NAMES[name]: column for name, column in zip(data.feature_names, data.data.T, strict=True)
    }
    columns["progression"] = data.target
    n_rows = len(data.target)
    gaps = {
        name: rng.random(n_rows) < 0.12 for name in ("sex", "blood pressure", "cholesterol ratio")
    }
    lean = 1 / (1 + np.exp((columns["body mass index"] - 22) / 2))
    together = ("LDL cholesterol", "HDL cholesterol", "blood sugar")
    gaps |= dict.fromkeys(together, rng.random(n_rows) < lean)
    return pa.table(
        {name: pa.array(_own_type(name, c), mask=gaps.get(name)) for name, c in columns.items()}
    )


def _own_type(name: str, column: NDArray[np.float64]) -> NDArray[Any]:
    whole = column.astype(np.int64)
    if name == "sex":  # scikit-learn does not say which is which
        return whole.astype(str)
    return whole if (whole == column).all() else column
