"""Fill a file chunk by chunk: memory does not grow with it, and a run that was stopped goes on.

A *chunk* is a fixed number of rows, in whole blocks of the imputer: what is filled in, draws
included, depends on a row's number in its file and not on where a chunk ends. Each is written to
``TARGET.partial/`` (`vaefill.files.partial`) as soon as it is filled; when all are there they are
joined. A directory is a table in *parts*, each a file of its own, and becomes a directory.

From text to text, cells that were observed keep their own text, byte for byte.
"""

import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import safetensors.torch
from threadpoolctl import threadpool_limits

from vaefill import __version__
from vaefill.errors import FileError, InputError
from vaefill.files.formats import Format, Source, find_format, find_parts, open_source
from vaefill.files.partial import making
from vaefill.files.typing import to_typed
from vaefill.files.writing import (
    as_array,
    as_images,
    as_text,
    group_rows,
    read_chunks,
    write_chunk,
    write_file,
    write_tables,
)
from vaefill.filling import fill_table, types_of
from vaefill.image_imputer import ImageImputer
from vaefill.imputer import VAEImputer
from vaefill.storage import load_json, save_json
from vaefill.tables.completion import BLOCK

Imputer = VAEImputer | ImageImputer
Progress = Callable[[int], object]
#: Bytes at either end of an input that tell it from another one of its size.
ENDS = 64 * 1024


@dataclass(frozen=True)
class Summary:
    """What was done.

    Parameters
    ----------
    rows : int
        Rows read.
    filled : int
        Missing cells among them that were filled in.
    """

    rows: int = 0
    filled: int = 0

    def __add__(self, other: "Summary") -> "Summary":
        """Take both together."""
        return Summary(self.rows + other.rows, self.filled + other.filled)


class Part(NamedTuple):
    """A file of a table: its number, where it is, where to work on it, and what it becomes."""

    number: int
    source: Path
    work: Path
    result: Path
    format: Format


def fill_file(
    imputer: Imputer,
    source: str | Path,
    target: str | Path,
    *,
    reading: Mapping[str, Any] | None = None,
    format: str | None = None,
    force: bool = False,
    resume: bool = False,
    progress: Progress = lambda rows: None,
    each: Callable[[Callable[[Part], Summary], Iterable[Part]], Iterable[Summary]] = map,
    **options: Any,
) -> Summary:
    """Fill in a file, or a directory of files, and write another.

    Parameters
    ----------
    imputer : VAEImputer or ImageImputer
        A fitted one.
    source : path-like
        A file or a directory of such; ``-`` for standard input.
    target : path-like
        What to write: a directory if `source` is one; ``-`` for standard output, as text.
    reading : mapping, optional
        How to read: keywords of `vaefill.files.formats.open_source`.
    format : str, optional
        Of the target, where it does not follow from its name, or, in a directory, from the source.
    force : bool, default=False
        Whether to replace a target that exists, and to throw unfinished work away.
    resume : bool, default=False
        Whether to go on with a run that was stopped; the bytes are those of an undisturbed one.
    progress : callable, optional
        Told the number of rows that are done: after each chunk, of a directory after each part.
    each : callable, default=map
        What applies a function to the parts of a directory, giving the results in their order; the
        function can be sent to another process that sees the same files.
    **options
        Of `vaefill.filling.fill_table`: draws, interval, indicator, keep.

    Returns
    -------
    Summary
        Of all rows, also of those done before a run was stopped.

    Raises
    ------
    InputError
        When source or target cannot be used, or a row of the source cannot: nothing is written.
        When the disk is full: what is done is kept for `resume`, and named, as it is after
        KeyboardInterrupt.
    """
    source, target = Path(source), Path(target)
    fill = Filling(imputer, dict(reading or {}), options)
    if str(target) == "-":
        return fill.stream(source, find_format(target, format), progress)
    _keep_apart(source, target)
    run = {
        "vaefill": __version__,
        "model": _digest_of_model(imputer),
        "input": _digest_of_input(source),
        "reading": fill.reading,
        "format": format,
        "options": options,
    }
    with making(target, run, force=force, resume=resume) as place:
        result = place / "result"
        if not source.is_dir():
            return fill(Part(0, source, place / "0", result, find_format(target, format)), progress)
        result.mkdir(exist_ok=True)
        total = Summary()
        for summary in each(fill, _parts(source, place, format)):
            total += summary
            progress(total.rows)
        return total


@dataclass(frozen=True)
class Filling:
    """How each part is filled in; can be sent to another process.

    Parameters
    ----------
    imputer : VAEImputer or ImageImputer
        Fills in.
    reading, options : mapping
        As for `fill_file`.
    """

    imputer: Imputer
    reading: Mapping[str, Any]
    options: Mapping[str, Any]

    def __call__(self, part: Part, progress: Progress = lambda rows: None) -> Summary:
        """Fill a part, from where that was left off, unless it is done."""
        state = part.work / "done.json"
        done = Summary(**load_json(state)) if state.exists() else Summary()
        if part.result.exists():
            return done
        source = _open(part.source, self.reading)
        with _naming(part.source):
            for table, summary in self._chunks(source, part.format, done.rows, part.number):
                write_chunk(part.work / f"{done.rows}.arrow", table)
                done += summary
                save_json(state, asdict(done))
                progress(done.rows)
        rows = range(0, max(done.rows, 1), self._step(source))
        chunks = [part.work / f"{row}.arrow" for row in rows]
        for left in part.work.glob("*.joined"):
            left.unlink(missing_ok=True)
        # Not by a name that another process could write to, if it was given up too early.
        joined = part.work / f"{uuid4().hex}.joined"
        style = self._style(source, part.format)
        write_file(joined, read_chunks(chunks), n_rows=done.rows * self._copies, **style)
        joined.replace(part.result)
        for path in chunks:
            path.unlink()
        return done

    def stream(self, path: Path, format: Format, progress: Progress) -> Summary:
        """Fill a file into standard output as it is read, with nothing kept beside."""
        if format.kind != "csv" or path.is_dir():
            raise InputError(f"{path}: standard output takes one file as text; name an output file")
        source = _open(path, self.reading)
        done = Summary()

        def tables() -> Iterator[pa.Table]:
            nonlocal done
            for table, summary in self._chunks(source, format):
                yield table
                done += summary
                progress(done.rows)

        write_tables(sys.stdout.buffer, tables(), **self._style(source, format))
        sys.stdout.flush()
        return done

    @property
    def _copies(self) -> int:
        return self.options.get("draws") or 1

    def _step(self, source: Source) -> int:
        return BLOCK * max(group_rows(source.schema) // self._copies // BLOCK, 1)

    def _style(self, source: Source, format: Format) -> dict[str, Any]:
        """Write text with the decimal sign of the source, and its separator where that may be."""
        separator = format.separator or ","
        asked = find_format(source.path, self.reading.get("format")).separator
        if source.separator and asked == format.separator:
            separator = source.separator
        return {
            "format": format.kind,
            "packed": format.packed,
            "separator": separator,
            "decimal": source.decimal,
        }

    def _chunks(
        self, source: Source, format: Format, first_row: int = 0, part: int = 0
    ) -> Iterator[tuple[pa.Table, Summary]]:
        """Fill a file from a row on, and give it as it is to be written; without rows, once."""
        tables = source.batches(self._step(source), first_row)
        for table in tables if first_row else _or_else(tables, source.schema.empty_table()):
            if isinstance(self.imputer, ImageImputer):
                filled, n_filled = _fill_images(self.imputer, table, first_row, part)
            else:
                types = types_of(self.imputer)
                typed = to_typed(
                    table,
                    types,
                    decimal=source.decimal,
                    missing=source.missing,
                    first_row=first_row,
                    line=source.line,
                )
                filled = fill_table(
                    self.imputer, typed, first_row=first_row, part=part, **self.options
                )
                gaps = [pc.is_null(typed[name], nan_is_null=True) for name in types]
                n_filled = sum(pc.sum(gap).as_py() or 0 for gap in gaps)
                if source.text and format.kind == "csv":
                    filled = _own_text(filled, typed, table, source.decimal)
            yield filled, Summary(table.num_rows, n_filled)
            first_row += table.num_rows


def _open(path: Path, reading: Mapping[str, Any]) -> Source:
    """Open a table; images become one of a single column."""
    opened = open_source(path, **reading)
    if isinstance(opened, Source):
        return opened

    def read(start: int) -> Iterator[pa.RecordBatch]:
        for images in opened.batches(BLOCK, start):
            yield from as_images(images).to_batches()

    return Source(opened.path, as_images(opened.images[:0]).schema, read)


def _own_text(filled: pa.Table, typed: pa.Table, raw: pa.Table, decimal: str) -> pa.Table:
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
    with threadpool_limits(limits=1, user_api="openmp"):  # as `VAEImputer.fill` does
        for start in range(0, len(images), BLOCK):
            key = [imputer.random_state, (first_row + start) // BLOCK, part]
            seed = int(np.random.SeedSequence(key).generate_state(1)[0])
            block = ImageImputer(imputer.model, method=imputer.method, random_state=seed)
            filled[start : start + BLOCK] = block.transform(images[start : start + BLOCK])
    n_filled = int(np.isnan(images).sum())
    if images.ndim == 3:
        return as_images(filled), n_filled
    return pa.table(dict(zip(table.column_names, filled.T, strict=True))), n_filled


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Say in which file the fault is, which may be one of thousands."""
    try:
        yield
    except InputError as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from error


def _or_else(tables: Iterable[pa.Table], other: pa.Table) -> Iterator[pa.Table]:
    """Give the tables, or the other one if there are none."""
    tables = iter(tables)
    yield next(tables, other)
    yield from tables


def _parts(source: Path, place: Path, format: str | None) -> Iterator[Part]:
    """List the files of a directory and what they become: files of their names."""
    for number, path in enumerate(find_parts(source)):
        name = path.name if format is None else f"{path.name.split('.')[0]}.{format}"
        work, result = place / f"{number:05d}", place / "result" / name
        yield Part(number, path, work, result, find_format(name))


def _keep_apart(source: Path, target: Path) -> None:
    """Refuse to write over the source, or into it."""
    if source.resolve() in (target.resolve(), *target.resolve().parents):
        raise FileError(f"{target}: is the input, or lies in it; name another output")


def _digest_of_model(imputer: Imputer) -> str:
    if isinstance(imputer, VAEImputer):
        content = imputer.to_bytes()
    else:
        settings = f"{imputer.method} {imputer.random_state} {imputer.model.architecture}"
        weights = {name: tensor.cpu() for name, tensor in imputer.model.state_dict().items()}
        content = settings.encode() + safetensors.torch.save(weights)
    return hashlib.sha256(content).hexdigest()[:16]


def _digest_of_input(source: Path) -> str:
    """Tell an input from another one by the names, sizes, starts and ends of its files."""
    if str(source) == "-":
        return "-"
    digest = hashlib.sha256()
    for path in find_parts(source) if source.is_dir() else [source]:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            digest.update(f"{path.name} {size} ".encode())
            for start in (0, max(size - ENDS, 0)):
                file.seek(start)
                digest.update(file.read(ENDS))
    return digest.hexdigest()[:16]
