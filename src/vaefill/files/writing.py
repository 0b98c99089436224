"""Tables into files, batch by batch: the bytes depend on rows, names and types alone.

Whatever batches come in, they are cut anew into groups of a fixed number of rows before they are
written, so that how a table was read or computed cannot be seen in the file. No file carries a time
stamp, a path or the name of a machine.

Text is written as it is read: a cell that begins with ``=``, ``+``, ``-`` or ``@``, which a
spreadsheet may take for a formula, comes out as it came in. Only cells that need quotes get them.
"""

import gzip
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vaefill.errors import InputError
from vaefill.files.source import regroup
from vaefill.storage import write_bytes

#: Rows in a group at most, and cells, which bounds the memory that a wide table takes.
GROUP_ROWS, GROUP_CELLS, LEAST_ROWS = 64 * 1024, 4 * 1024**2, 1024
#: Of all columns while they are made into lines: as long as it takes.
TEXT = pa.large_string()
#: What to do about a table that a format cannot hold.
ELSE = "choose another format"


def group_rows(schema: pa.Schema) -> int:
    """Rows that a table is cut into: fewer where they are wide, a multiple of `LEAST_ROWS`."""
    width = sum(_width(field.type) for field in schema)
    fitting = GROUP_CELLS // (max(width, 1) * LEAST_ROWS)
    return LEAST_ROWS * min(max(fitting, 1), GROUP_ROWS // LEAST_ROWS)


def _width(kind: pa.DataType) -> int:
    return int(np.prod(kind.shape)) if isinstance(kind, pa.FixedShapeTensorType) else 1


def _read(path: str | Path) -> pa.Table:
    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_file(file).read_all()


def write_chunk(path: str | Path, table: pa.Table) -> None:
    """Keep a table as it is, whole or not at all, for `read_chunks`."""
    buffer = pa.BufferOutputStream()
    with pa.ipc.new_file(buffer, table.schema) as writer:
        writer.write_table(table.combine_chunks().unify_dictionaries())
    write_bytes(path, buffer.getvalue())


def read_chunks(paths: Sequence[str | Path]) -> Iterator[pa.Table]:
    """Give the tables that `write_chunk` wrote one by one, all with the same dictionaries."""
    levels = _read(paths[0])[:0]
    if any(pa.types.is_dictionary(kind) for kind in levels.schema.types):
        # A file has one dictionary for a column: if each chunk's came after the other, the bytes
        # would tell how rows were cut.
        for path in paths[1:]:
            levels = _unified(levels, _read(path)[:0]).combine_chunks()
    for path in paths:
        yield _unified(levels, _read(path))


def _unified(first: pa.Table, second: pa.Table) -> pa.Table:
    return pa.concat_tables([first, second]).unify_dictionaries()


def write_file(path: str | Path, tables: Iterable[pa.Table], format: str, **style: Any) -> None:
    """Write a file as `write_tables` does, to the disk; leave none behind on a fault."""
    path = Path(path)
    try:
        with path.open("wb") as file:
            write_tables(file, tables, format, **style)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def write_tables(
    file: BinaryIO,
    tables: Iterable[pa.Table],
    format: str,
    *,
    packed: bool = False,
    n_rows: int | None = None,
    separator: str = ",",
    decimal: str = ".",
) -> None:
    """Write tables of one schema as one file, in constant memory.

    Parameters
    ----------
    file : binary file
        Where to.
    tables : iterable of pyarrow.Table
        At least one, which may be without rows.
    format : str
        A key of `WRITERS`.
    packed : bool, default=False
        Whether to pack it by gzip.
    n_rows : int, optional
        Rows in all: arrays have them in their header.
    separator, decimal : str
        Of text.

    Raises
    ------
    InputError
        When the format has no place for a column's type.
    """
    tables = iter(tables)
    first = next(tables)
    groups = regroup(chain([first], tables), group_rows(first.schema))
    # Neither a name nor a time in its header.
    pack = gzip.GzipFile("", "wb", 6, file, mtime=0) if packed else nullcontext(file)
    try:
        with pack as inner:
            WRITERS[format](
                inner, first.schema, groups, n_rows=n_rows, separator=separator, decimal=decimal
            )
    except pa.ArrowNotImplementedError as error:
        reason = str(error).split("\n")[0]
        raise InputError(f"{format} has no place for this table ({reason}); {ELSE}") from error


def _write_text(
    file: BinaryIO,
    schema: pa.Schema,
    groups: Iterable[pa.Table],
    *,
    separator: str,
    decimal: str,
    **_: Any,
) -> None:
    file.write(_lines([pa.array([name], TEXT) for name in schema.names], separator))
    for group in groups:
        for batch in group.to_batches():
            file.write(_lines([as_text(column, decimal) for column in batch.columns], separator))


def _lines(columns: Sequence[pa.Array], separator: str) -> memoryview:
    """Join columns of text to lines, with quotes around what would be read as something else."""
    # A line of nothing is no row to most readers.
    special = f'[\r\n"{re.escape(separator)}]' + ("|^$" if len(columns) == 1 else "")
    lines = _joined([_quoted(column, special) for column in columns], separator)
    lines = _joined([lines, ""], "\n")
    return memoryview(lines.buffers()[2])[: pc.sum(pc.binary_length(lines)).as_py()]


def _quoted(column: pa.Array, special: str) -> pa.Array:
    strange = pc.match_substring_regex(column, special)
    if not pc.any(strange).as_py():
        return column
    doubled = pc.replace_substring(column, '"', '""')
    return pc.if_else(strange, _joined(['"', doubled, '"'], ""), column)


def _joined(columns: Sequence[pa.Array | str], separator: str) -> pa.Array:
    parts = [pa.scalar(part, TEXT) if isinstance(part, str) else part for part in columns]
    return pc.binary_join_element_wise(*parts, pa.scalar(separator, TEXT))


def _write_parquet(file: BinaryIO, schema: pa.Schema, groups: Iterable[pa.Table], **_: Any) -> None:
    with pq.ParquetWriter(file, schema) as writer:
        for group in groups:
            writer.write_table(group, row_group_size=max(group.num_rows, 1))


def _write_arrow(file: BinaryIO, schema: pa.Schema, groups: Iterable[pa.Table], **_: Any) -> None:
    with pa.ipc.new_file(file, schema) as writer:
        for group in groups:
            writer.write_table(group)


def _write_npy(
    file: BinaryIO,
    schema: pa.Schema,
    groups: Iterable[pa.Table],
    *,
    n_rows: int | None = None,
    **_: Any,
) -> None:
    empty = as_array(schema.empty_table())
    np.lib.format.write_array_header_2_0(
        file,
        {
            "descr": np.lib.format.dtype_to_descr(empty.dtype),
            "fortran_order": False,
            "shape": (n_rows, *empty.shape[1:]),
        },
    )
    for group in groups:
        file.write(as_array(group).tobytes())


def _write_npz(file: BinaryIO, *args: Any, **options: Any) -> None:
    # What has no date is of 1980 in an archive.
    member = zipfile.ZipInfo("arr_0.npy")
    with (
        zipfile.ZipFile(file, "w") as archive,
        archive.open(member, "w", force_zip64=True) as inner,
    ):
        _write_npy(cast(BinaryIO, inner), *args, **options)


def as_text(column: pa.Array, decimal: str) -> pa.Array:
    """Turn a column of any kind into text that is read as what it was; null into none."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    text = column.cast(TEXT)
    if decimal != "." and (pa.types.is_floating(column.type) or pa.types.is_decimal(column.type)):
        text = pc.replace_substring(text, ".", decimal)
    return text.fill_null("")


def as_images(images: NDArray[Any]) -> pa.Table:
    """Take an array of images, (n, height, width), as a table of one column; not copied."""
    kind = pa.fixed_shape_tensor(pa.from_numpy_dtype(images.dtype), images.shape[1:])
    pixels = pa.array(images.reshape(-1))
    rows = pa.FixedSizeListArray.from_arrays(pixels, kind.storage_type.list_size)
    return pa.table({"image": pa.ExtensionArray.from_storage(kind, rows)})


def as_array(table: pa.Table) -> NDArray[Any]:
    """Take a table of numbers, or its one column of images, as an array.

    Raises
    ------
    InputError
        When a column holds something else.
    """
    kinds = table.schema.types
    if len(kinds) == 1 and isinstance(kinds[0], pa.FixedShapeTensorType):
        images: NDArray[Any] = table.column(0).combine_chunks().to_numpy_ndarray()
        return images
    for column, field in zip(table.columns, table.schema, strict=True):
        kind = field.type
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or kind == pa.bool_()):
            raise InputError(f"column {field.name!r}: an array has no place for {kind}; {ELSE}")
        if column.null_count and not pa.types.is_floating(kind):
            raise InputError(
                f"column {field.name!r}: an array has no place for gaps in {kind}; {ELSE}"
            )
    dtype = np.result_type(*(kind.to_pandas_dtype() for kind in kinds))
    array = np.empty(table.shape, dtype)
    for number, column in enumerate(table.columns):
        array[:, number] = column.to_numpy()
    return array


#: Formats and what writes them: ``(file, schema, tables, *, n_rows, separator, decimal)``.
WRITERS: dict[str, Callable[..., None]] = {
    "csv": _write_text,
    "parquet": _write_parquet,
    "arrow": _write_arrow,
    "npy": _write_npy,
    "npz": _write_npz,
}
