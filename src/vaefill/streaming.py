"""Fill a file chunk by chunk: memory does not grow with it, and a run that was stopped goes on.

A *chunk* is a fixed number of rows, in whole blocks of the imputer: what is filled in, draws
included, depends on a row's number in its file and not on where a chunk ends. Each is written to
``TARGET.partial/`` (`vaefill.files.partial`) as soon as it is filled; when all are there they are
joined. A directory is a table in *parts*, each a file of its own, and becomes a directory. A run
goes on with what was made of its input as it is now: a file that changed is filled anew.
"""

import hashlib
import io
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import safetensors.torch

from vaefill import __version__
from vaefill.chunks import Imputer, fill_chunk, open_chunks
from vaefill.errors import FileError, InputError
from vaefill.files.formats import Format, Source, find_format
from vaefill.files.partial import digest, making, partial_path
from vaefill.files.parts import Part, list_parts
from vaefill.files.writing import group_rows, read_chunks, write_chunk, write_file, write_tables
from vaefill.image_imputer import ImageImputer
from vaefill.imputer import VAEImputer
from vaefill.storage import load_json, save_json
from vaefill.tables.completion import BLOCK

Progress = Callable[[int], object]


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
        What applies a function to the parts of a directory and gives the results, in any order; the
        function, a `Filling`, can be sent to another process that sees the same files.
    **options
        Of `vaefill.filling.fill_table`: draws, interval, indicator, keep.

    Returns
    -------
    Summary
        Of all rows, also of those done before a run was stopped.

    Raises
    ------
    InputError
        When source or target cannot be used, or a row of the source cannot: nothing that was made
        of this file is kept, but the other parts of a directory are. When the disk is full: all
        that is done is kept for `resume`, and named, as it is after KeyboardInterrupt.
    """
    source, target = Path(source), Path(target)
    if isinstance(imputer, ImageImputer) and any(options.values()):
        raise InputError("an image model gives its best guess of pixels alone; leave out options")
    fill = Filling(imputer, dict(reading or {}), options)
    if str(target) == "-":
        return fill.stream(source, find_format(target, format), progress)
    _check_places(source, target)
    place = partial_path(target)
    parts = list_parts(source, target, format)
    run = {
        "vaefill": __version__,
        "model": _digest_of_model(imputer),
        "reading": fill.reading,
        "format": format,
        "options": options,
    }
    if source.is_dir():  # a part's draws depend on its number
        run |= {f"part {part.number}": part.source.name for part in parts}
    else:
        run |= {"input": source.name}
    with making(target, run, force=force, resume=resume):
        if not source.is_dir():
            return fill(parts[0], progress)
        (place / "result").mkdir(exist_ok=True)
        total = Summary()
        for summary in each(fill, parts):
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
        """Fill a part, from where that was left off, unless it is done.

        Nothing is kept that was made of it before it changed, or when it cannot be used: it will
        have to change.
        """
        with _naming(part.source):
            try:
                return self._fill(part, progress)
            except InputError as error:
                if not isinstance(error.__cause__, OSError):  # such as a disk that is gone
                    part.undo()
                raise

    def _fill(self, part: Part, progress: Progress) -> Summary:
        source = open_chunks(part.source, **self.reading)
        state, now = part.work / "done.json", digest(part.source)
        known = load_json(state) if state.exists() else {}
        if known.pop("input", None) != now:
            part.undo()
            known = {}
        done = Summary(**known)
        if part.result.exists():
            return done
        style = self._style(source, part.format)
        for table, summary in self._chunks(source, part.format, done.rows, part.number):
            if not done.rows:  # what the format has no place for shows now, and not at the end
                write_tables(io.BytesIO(), [table[:0]], n_rows=0, **style)
            write_chunk(part.work / f"{done.rows}.arrow", table)
            done += summary
            save_json(state, {"input": now, **asdict(done)})
            progress(done.rows)
        rows = range(0, max(done.rows, 1), self._step(source))
        chunks = [part.work / f"{row}.arrow" for row in rows]
        for left in part.work.glob("*.joined"):
            left.unlink(missing_ok=True)
        # Not by a name that another process could write to, if it was given up too early.
        joined = part.work / f"{uuid4().hex}.joined"
        write_file(joined, read_chunks(chunks), n_rows=done.rows * self._copies, **style)
        joined.replace(part.result)
        for path in chunks:
            path.unlink()
        return done

    def stream(self, path: Path, format: Format, progress: Progress) -> Summary:
        """Fill a file into standard output as it is read, with nothing kept beside."""
        if format.kind != "csv" or path.is_dir():
            raise InputError(f"{path}: standard output takes one file as text; name an output file")
        source = open_chunks(path, **self.reading)
        done = Summary()

        def tables() -> Iterator[pa.Table]:
            nonlocal done
            for table, summary in self._chunks(source, format):
                yield table
                done += summary
                progress(done.rows)

        with _naming(path):
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
            filled, n_filled = fill_chunk(
                self.imputer,
                source,
                table,
                first_row=first_row,
                part=part,
                own_text=format.kind == "csv",
                options=self.options,
            )
            yield filled, Summary(table.num_rows, n_filled)
            first_row += table.num_rows


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


def _check_places(source: Path, target: Path) -> None:
    """Refuse, before anything is touched, what cannot be read or written at the end."""
    if source.resolve() in (target.resolve(), *target.resolve().parents):
        raise FileError(f"{target}: is the input, or lies in it; name another output")
    if str(source) != "-" and not source.exists():
        raise FileError(f"{source}: no such file")
    if source.is_dir() and target.is_file():
        raise FileError(f"{target}: is a file; a directory becomes a directory, name another")


def _digest_of_model(imputer: Imputer) -> str:
    if isinstance(imputer, VAEImputer):
        content = imputer.to_bytes()
    else:
        settings = f"{imputer.method} {imputer.random_state} {imputer.model.architecture}"
        weights = {name: tensor.cpu() for name, tensor in imputer.model.state_dict().items()}
        content = settings.encode() + safetensors.torch.save(weights)
    return hashlib.sha256(content).hexdigest()[:16]
