"""Tables in Parquet and Arrow files, read without more than some of their rows in memory."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from vaefill.files.source import MAX_BYTES, Source, drop, reading

#: Rows that are decoded at a time.
BATCH_ROWS = 16 * 1024


def open_parquet(path: str) -> Source:
    """Open a Parquet file.

    Raises
    ------
    FileError
        When it is missing or no such file.
    """
    with reading(path), pq.ParquetFile(path) as file:
        schema = file.schema_arrow

    def read(start: int) -> Iterator[pa.RecordBatch]:
        # Buffered before, whole groups of rows would be in memory.
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
            for group in range(file.num_row_groups):
                described = file.metadata.row_group(group)
                n_rows = described.num_rows
                # Not asked column by column: a file that lies there aborts pyarrow.
                n_together = min(BATCH_ROWS, n_rows)
                if described.total_byte_size * n_together > MAX_BYTES * n_rows:
                    raise ValueError(f"{n_together} rows of it take more than {MAX_BYTES} bytes")
                if start < n_rows:
                    batches = file.iter_batches(BATCH_ROWS, row_groups=[group], use_threads=False)
                    yield from _valid(drop(batches, start))
                start = max(start - n_rows, 0)

    return Source(path, schema, read)


def open_arrow(path: str) -> Source:
    """Open an Arrow file, which is also called Feather, or a stream of Arrow in a file.

    Raises
    ------
    FileError
        When it is missing or no such file.
    """
    with reading(path), pa.memory_map(path) as file:
        schema = _arrow(file)[0]

    def read(start: int) -> Iterator[pa.RecordBatch]:
        with pa.memory_map(path) as file:
            yield from _valid(drop(_arrow(file)[1], start))

    return Source(path, schema, read)


def _valid(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Hold what a file says of itself against what is there: a wrong offset would be a crash."""
    for batch in batches:
        batch.validate(full=True)
        yield batch


def _arrow(file: pa.MemoryMappedFile) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    if file.read(6) == b"ARROW1":
        table = pa.ipc.open_file(file)
        return table.schema, map(table.get_batch, range(table.num_record_batches))
    file.seek(0)
    stream = pa.ipc.open_stream(file)
    return stream.schema, iter(stream)
