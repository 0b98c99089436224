"""The formats of tables in files, told by the ending of the name."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import pyarrow as pa

from vaefill.errors import FileError, InputError
from vaefill.files.arrays import open_array, open_arrays
from vaefill.files.columnar import BATCH_ROWS, open_arrow, open_parquet
from vaefill.files.source import ImageSource, Source, drop
from vaefill.files.text import open_text
from vaefill.files.typing import ABSENT

__all__ = ["FORMATS", "Format", "ImageSource", "Source", "find_format", "find_parts", "open_source"]


@dataclass(frozen=True)
class Format:
    """How a table is kept in a file.

    Parameters
    ----------
    kind : {"csv", "parquet", "arrow", "npy", "npz"}
        How.
    separator : str, optional
        What stands between the cells of text, if the format says so.
    packed : bool, default=False
        Whether by gzip.
    """

    kind: str
    separator: str | None = None
    packed: bool = False


#: Names of the formats: the endings of files.
FORMATS = {
    "csv": Format("csv"),
    "tsv": Format("csv", "\t"),
    "txt": Format("csv"),
    "parquet": Format("parquet"),
    "arrow": Format("arrow"),
    "feather": Format("arrow"),
    "ipc": Format("arrow"),
    "npy": Format("npy"),
    "npz": Format("npz"),
}
FORMATS |= {
    f"{name}.gz": replace(format, packed=True)
    for name, format in FORMATS.items()
    if format.kind == "csv"
}
#: What opens a file that is not text.
OPENERS: dict[str, Callable[[str], Source | ImageSource]] = {
    "parquet": open_parquet,
    "arrow": open_arrow,
    "npy": open_array,
    "npz": open_arrays,
}


def find_format(path: str | Path, format: str | None = None) -> Format:
    """Tell the format of a file.

    Parameters
    ----------
    path : path-like
        Its name; ``-`` is standard input or output, which is CSV.
    format : str, optional
        A key of `FORMATS`, where the name does not tell.

    Raises
    ------
    InputError
        When there is no such format, or the name tells of none.
    """
    known = f"{', '.join(FORMATS)}"
    if format is not None:
        if format not in FORMATS:
            raise InputError(f"format = {format!r}: must be one of {known}")
        return FORMATS[format]
    if str(path) == "-":
        return FORMATS["csv"]
    name = Path(path).name.lower()
    found = [ending for ending in FORMATS if name.endswith(f".{ending}")]
    if not found:
        raise InputError(f"{path}: its name does not end in one of {known}; give the format")
    return FORMATS[found[0]]


def find_parts(directory: str | Path) -> list[Path]:
    """List the tables in a directory, by name; hidden ones and those of other endings are none.

    Raises
    ------
    FileError
        When there is none.
    """
    parts = [
        path
        for path in sorted(Path(directory).iterdir())
        if path.name.lower().endswith(tuple(f".{ending}" for ending in FORMATS))
        and not path.name.startswith((".", "_"))
    ]
    if not parts:
        raise FileError(f"{directory}: no table in this directory")
    return parts


def open_source(
    path: str | Path,
    *,
    format: str | None = None,
    separator: str | None = None,
    decimal: str = ".",
    missing: Sequence[str] = (),
    encoding: str = "utf-8",
) -> Source | ImageSource:
    """Open a table, or an array of images.

    Parameters
    ----------
    path : path-like
        A file; a directory of files, which are one table in parts, in the order of their names;
        ``-`` for standard input, which can be read once and is text.
    format : str, optional
        A key of `FORMATS`, where the name does not tell.
    separator : str, optional
        What stands between the cells of text; found from the header by default.
    decimal : str, default="."
        Decimal sign of text, which does not separate cells then.
    missing : sequence of str, default=()
        What means that a cell is missing; in text, beside what always does (`ABSENT`).
    encoding : str, default="utf-8"
        Of text, as Python calls it.

    Raises
    ------
    FileError
        When the file is missing, or no table.
    InputError
        When its format is not known.
    """
    files = find_parts(path) if Path(path).is_dir() else [Path(path)]
    opened = [_open(file, format, separator, decimal, encoding) for file in files]
    source = opened[0] if str(path) == str(files[0]) else _chained(str(path), opened)
    if isinstance(source, ImageSource):
        return source
    absent = ABSENT if source.text else ()
    return replace(source, decimal=decimal, missing=(*absent, *missing))


def _open(
    path: Path, format: str | None, separator: str | None, decimal: str, encoding: str
) -> Source | ImageSource:
    if str(path) != "-" and path.exists() and not path.is_file():
        raise FileError(f"{path}: is no file; read what is not by standard input, -")
    found = find_format(path, format)
    if str(path) == "-" and found.kind != "csv":
        raise InputError(f"format = {format!r}: standard input must be text; name a file")
    if found.kind == "csv":
        return open_text(
            str(path),
            packed=found.packed,
            separator=separator or found.separator,
            decimal=decimal,
            encoding=encoding,
        )
    return OPENERS[found.kind](str(path))


def _chained(path: str, parts: Sequence[Source | ImageSource]) -> Source:
    """Take the parts of a table as one."""
    sources = [part for part in parts if isinstance(part, Source)]
    if len(sources) < len(parts):
        raise FileError(f"{path}: images in a directory; give one file of them")
    first = sources[0]
    for source in sources:
        if (source.names, source.separator) != (first.names, first.separator):
            raise FileError(f"{source.path}: other columns than in {first.path}")
    try:
        schemas = [source.schema.remove_metadata() for source in sources]
        schema = pa.unify_schemas(schemas, promote_options="permissive")
    except pa.ArrowException as error:
        raise FileError(f"{path}: a column is of another type in another part ({error})") from error

    def read(start: int) -> Iterator[pa.RecordBatch]:
        tables = chain.from_iterable(source.batches(BATCH_ROWS) for source in sources)
        batches = chain.from_iterable(table.cast(schema).to_batches() for table in tables)
        return drop(batches, start)

    def place(row: int) -> str:
        part, *later = sources
        while later and row > (n_rows := sum(t.num_rows for t in part.batches(BATCH_ROWS))):
            part, row = later.pop(0), row - n_rows
        return f"{part.place(row)} of {Path(part.path).name}"

    return Source(path, schema, read, first.separator, place)
