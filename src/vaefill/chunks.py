"""What becomes of a chunk of a file: rows of a table or images, as they are read and written.

From text to text, cells that were observed keep their own text, byte for byte; only quotes that
nobody needs are left out.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from threadpoolctl import threadpool_limits

from vaefill.files.formats import Source, open_source
from vaefill.files.typing import to_typed
from vaefill.files.writing import as_array, as_images, as_text
from vaefill.filling import fill_table, types_of
from vaefill.image_imputer import ImageImputer
from vaefill.imputer import VAEImputer
from vaefill.tables.completion import BLOCK

Imputer = VAEImputer | ImageImputer


def open_chunks(path: str | Path, **reading: Any) -> Source:
    """Open a table as `open_source` does; images become a table of one column."""
    opened = open_source(path, **reading)
    if isinstance(opened, Source):
        return opened

    def read(start: int) -> Iterator[pa.RecordBatch]:
        for images in opened.batches(BLOCK, start):
            yield from as_images(images).to_batches()

    return Source(opened.path, as_images(opened.images[:0]).schema, read)


def fill_chunk(
    imputer: Imputer,
    source: Source,
    chunk: pa.Table,
    *,
    first_row: int,
    part: int,
    own_text: bool,
    options: Mapping[str, Any],
) -> tuple[pa.Table, int]:
    """Fill a chunk.

    Parameters
    ----------
    imputer : VAEImputer or ImageImputer
        A fitted one.
    source : Source
        Where the chunk is from.
    chunk : pyarrow.Table
        Rows of it, as read.
    first_row : int
        Number of the first of them: a multiple of `BLOCK`.
    part : int
        Number of the source among the parts of a table.
    own_text : bool
        Whether it is to be written as text: cells of text that were observed stay as they were.
    options : mapping
        Of `fill_table`; an image model has none.

    Returns
    -------
    pyarrow.Table
        What to write.
    int
        Number of cells that were filled in, counted once for several draws.
    """
    if isinstance(imputer, ImageImputer):
        return _fill_images(imputer, chunk, first_row, part)
    types = types_of(imputer)
    typed = to_typed(
        chunk,
        types,
        decimal=source.decimal,
        missing=source.missing,
        first_row=first_row,
        place=source.place,
    )
    filled = fill_table(imputer, typed, first_row=first_row, part=part, **options)
    gaps = [pc.is_null(typed[name], nan_is_null=True) for name in types]
    n_filled = sum(pc.sum(gap).as_py() or 0 for gap in gaps)
    if own_text and source.text:
        filled = _with_own_text(filled, typed, chunk, source.decimal)
    return filled, n_filled


def _with_own_text(filled: pa.Table, typed: pa.Table, raw: pa.Table, decimal: str) -> pa.Table:
    """Put a cell's own text in place of its value, where that was not filled in."""
    rows = np.repeat(np.arange(raw.num_rows), filled.num_rows // max(raw.num_rows, 1))
    for number, name in enumerate(filled.column_names):
        if name in raw.column_names:
            value, known, own = filled[name], typed[name].take(rows), raw[name].take(rows)
            kept = pc.or_(pc.is_null(value), pc.fill_null(pc.equal(value, known), False))
            filled = filled.set_column(number, name, pc.if_else(kept, own, as_text(value, decimal)))
    return filled


def _fill_images(
    imputer: ImageImputer, table: pa.Table, first_row: int, part: int
) -> tuple[pa.Table, int]:
    """Fill images in blocks, each from a seed of its own, and count the pixels."""
    images = as_array(table)
    filled = np.empty_like(images)
    for start in range(0, len(images), BLOCK):
        key = [imputer.random_state, (first_row + start) // BLOCK, part]
        seed = int(np.random.SeedSequence(key).generate_state(1)[0])
        block = ImageImputer(imputer.model, method=imputer.method, random_state=seed)
        with threadpool_limits(limits=1, user_api="openmp"):  # as `VAEImputer.fill` does
            filled[start : start + BLOCK] = block.transform(images[start : start + BLOCK])
    n_filled = int(np.isnan(images).sum())
    if images.ndim == 3:
        return as_images(filled), n_filled
    return pa.table(dict(zip(table.column_names, filled.T, strict=True))), n_filled
