"""Tables and images in NumPy's files; nothing in them is executed."""

import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vaefill.errors import FileError
from vaefill.files.source import ImageSource, Source, check_width, reading, short

Array = NDArray[Any]
BATCH_ROWS = 16 * 1024
#: Bytes that an archive may hold unpacked, as it is unpacked in memory.
MAX_UNPACKED = 1 << 30


def open_array(path: str) -> Source | ImageSource:
    """Open an ``.npy`` file: columns x0, x1, ..., or those of its records; images if it has 3 axes.

    Raises
    ------
    FileError
        When it is missing, no such file, holds objects, or has more axes.
    """

    def load() -> dict[str, Array]:
        # Mapped anew each time, or all that was ever read would count as memory in use.
        with reading(path), _old_headers():
            return {"x": np.lib.format.open_memmap(path, mode="r")}

    return _open(path, load)


def open_arrays(path: str) -> Source | ImageSource:
    """Open an ``.npz`` file: one array as `open_array` does, or several of one length.

    Columns of several arrays are called as their array, and those of two axes NAME0, NAME1, ...

    Raises
    ------
    FileError
        As `open_array` does, and when it holds more than `MAX_UNPACKED` bytes.
    """
    with reading(path):
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MAX_UNPACKED:
            raise FileError(
                f"{path}: {size} bytes unpacked, more than {MAX_UNPACKED}; save it as .npy"
            )
        with _old_headers(), np.load(path, allow_pickle=False) as members:
            arrays = {name: np.asarray(members[name]) for name in members.files}
    if len(arrays) == 1:
        arrays = {"x": next(iter(arrays.values()))}
    return _open(path, lambda: arrays)


@contextmanager
def _old_headers() -> Iterator[None]:
    """Take the headers that Python 2 wrote, of which NumPy warns, as they are."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Reading `.npy`")
        yield


def _open(path: str, load: Callable[[], Mapping[str, Array]]) -> Source | ImageSource:
    arrays = load()
    if any(array.nbytes == 0 < len(array) for array in arrays.values() if array.ndim):
        raise FileError(f"{path}: rows without anything in them; save an array with columns")
    if [array.ndim for array in arrays.values()] == [3]:
        return ImageSource(path, lambda: next(iter(load().values())))
    lengths = {len(array) for array in arrays.values() if array.ndim in (1, 2)}
    if len(lengths) != 1 or any(array.ndim not in (1, 2) for array in arrays.values()):
        shapes = ", ".join(f"{short(name)} {array.shape}" for name, array in arrays.items())
        raise FileError(f"{path}: holds {shapes or 'nothing'}; columns need arrays of one length")
    check_width(path, sum(map(_width, arrays.values())))
    length = lengths.pop()

    def batch(start: int, stop: int) -> pa.RecordBatch:
        columns = [
            pair
            for key, array in load().items()
            for pair in _columns(key, array[start:stop], alone=len(arrays) == 1)
        ]
        names = [name for name, _ in columns]
        return pa.record_batch([_column(values) for _, values in columns], names=names)

    def read(start: int) -> Iterator[pa.RecordBatch]:
        for first in range(start, length, BATCH_ROWS):
            yield batch(first, min(first + BATCH_ROWS, length))

    with reading(path):
        return Source(path, batch(0, 0).schema, read)


def _width(array: Array) -> int:
    return len(array.dtype.names or "x") if array.ndim == 1 else array.shape[1]


def _columns(key: str, rows: Array, alone: bool) -> Iterator[tuple[str, Array]]:
    if rows.dtype.names:
        yield from ((name, rows[name]) for name in rows.dtype.names)
    elif rows.ndim == 2:
        yield from ((f"{key}{number}", column) for number, column in enumerate(rows.T))
    else:
        yield f"{key}0" if alone else key, rows


def _column(values: Array) -> pa.Array:
    # A copy, as the map does not stay, in the machine's order of bytes, which Arrow wants.
    return pa.array(values.astype(values.dtype.newbyteorder("=")))
