"""A table in a file, read batch by batch, whatever its format."""

import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from tokenize import TokenError
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vaefill.errors import FileError
from vaefill.storage import unreadable

#: More columns than this are taken for a table that lies on its side, or for no table.
MAX_COLUMNS = 10_000
#: Bytes that the rows of a batch may take, so that no file asks for more memory than there is.
MAX_BYTES = 1 << 30
#: What the readers raise over a file that is not what its name says.
BROKEN = (
    pa.ArrowException,
    zipfile.BadZipFile,
    zlib.error,
    TokenError,
    ValueError,
    EOFError,
    RuntimeError,
    OverflowError,
    MemoryError,
)


@dataclass(frozen=True)
class Source:
    """A table in a file.

    Parameters
    ----------
    path : str
        Where it is, for messages.
    schema : pyarrow.Schema
        Names and types; all of text are strings, without nulls.
    read : callable
        ``(start) -> iterable of pyarrow.RecordBatch``: the rows from `start` on, cut as it suits
        the format.
    separator : str, optional
        What stands between the cells of text; None of the other formats.
    place : callable, optional
        ``(row) -> str``: where the row `row` is, the first being 1, as a person looks for it: with
        its line or its part, where there are such.
    decimal : str, default="."
        Decimal sign of text, as was told when it was opened.
    missing : tuple of str, default=()
        What means that a cell is missing.

    Raises
    ------
    FileError
        When two columns have the same name, or there are more than `MAX_COLUMNS` or none.
    """

    path: str
    schema: pa.Schema
    read: Callable[[int], Iterable[pa.RecordBatch]]
    separator: str | None = None
    place: Callable[[int], str] = "row {}".format
    decimal: str = "."
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the names."""
        with reading(self.path):
            check_names(self.path, self.schema.names)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns."""
        return tuple(self.schema.names)

    @property
    def text(self) -> bool:
        """Whether the columns hold the file's own text, of which nothing is known yet."""
        return self.separator is not None

    def batches(self, n_rows: int, start: int = 0) -> Iterator[pa.Table]:
        """Give the rows in order, in tables of the same size.

        Parameters
        ----------
        n_rows : int
            Rows of each table; the last has what is left.
        start : int, default=0
            Rows to pass over.

        Yields
        ------
        pyarrow.Table
            Each column in one chunk. The same however the file is cut inside.

        Raises
        ------
        FileError
            When the file cannot be read to its end, or `n_rows` rows take more than `MAX_BYTES`.
        """
        with reading(self.path):
            batches = (pa.Table.from_batches([batch]) for batch in self.read(start))
            yield from regroup(batches, n_rows)


@dataclass(frozen=True)
class ImageSource:
    """Images in a file, as one array of shape (n, height, width).

    Parameters
    ----------
    path : str
        Where they are.
    load : callable
        ``() -> array``: all of them; read when they are looked at.
    """

    path: str
    load: Callable[[], NDArray[Any]]
    text = False

    @property
    def images(self) -> NDArray[Any]:
        """All images; not in memory where the format allows."""
        return self.load()

    def batches(self, n_rows: int, start: int = 0) -> Iterator[NDArray[Any]]:
        """Give the images in order, `n_rows` at a time, from `start` on; copies in memory."""
        for first in range(start, len(self.images), n_rows):
            yield np.array(self.images[first : first + n_rows])


def regroup(tables: Iterable[pa.Table], n_rows: int) -> Iterator[pa.Table]:
    """Cut tables of one schema into such of `n_rows` each, the last with what is left.

    Raises
    ------
    ValueError
        When `n_rows` rows take more than `MAX_BYTES`.
    """
    held: list[pa.Table] = []
    n_held = n_bytes = 0
    for table in tables:
        held.append(table)
        n_held += table.num_rows
        n_bytes += table.nbytes
        if n_bytes > MAX_BYTES:
            raise ValueError(f"{n_held} rows of it take more than {MAX_BYTES} bytes")
        if n_held >= n_rows:
            whole = pa.concat_tables(held)
            for start in range(0, n_held - n_held % n_rows, n_rows):
                yield whole.slice(start, n_rows).combine_chunks()
            held, n_held = [whole.slice(n_held - n_held % n_rows)], n_held % n_rows
            n_bytes = held[0].nbytes
    if n_held:
        yield pa.concat_tables(held).combine_chunks()


def drop(batches: Iterable[pa.RecordBatch], start: int) -> Iterator[pa.RecordBatch]:
    """Leave out the first `start` rows."""
    for batch in batches:
        yield batch.slice(min(start, batch.num_rows))
        start = max(start - batch.num_rows, 0)


def short(text: str) -> str:
    """Quote text from a file, which may be of any length, in a message."""
    return repr(text) if len(text) <= 60 else f"{text[:60]!r}..."


def check_width(path: str, n_columns: int) -> None:
    """Refuse a table without columns, and one of too many."""
    if not 0 < n_columns <= MAX_COLUMNS:
        raise FileError(f"{path}: {n_columns} columns; there must be 1 to {MAX_COLUMNS}")


def check_names(path: str, names: Sequence[str]) -> None:
    """Refuse names of columns that cannot tell them apart, none and too many."""
    check_width(path, len(names))
    twice = [name for name, number in Counter(names).items() if number > 1]
    if twice:
        raise FileError(f"{path}: two columns are called {short(twice[0])}; give each its own name")


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Say in one line why a file cannot be read."""
    try:
        yield
    except FileError:
        raise
    except OSError as error:
        if error.strerror is None or isinstance(error, FileNotFoundError):
            raise unreadable(path, "a table", error) from error
        raise FileError(f"{path}: cannot be read ({error.strerror})") from error
    except BROKEN as error:
        raise unreadable(path, "a table", error) from error
