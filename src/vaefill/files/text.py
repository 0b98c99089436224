"""Tables as text: each cell comes as the file has it, and is taken for nothing yet."""

import codecs
import csv
import gzip
import io
import re
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

import pyarrow as pa
from pyarrow.csv import ConvertOptions, ParseOptions, ReadOptions, open_csv

from vaefill.errors import FileError, InputError
from vaefill.files.source import Source, check_names, drop, reading

SEPARATORS = ",;\t|"
#: Bytes that are read at a time: neither the header nor any other row is longer.
READ_BYTES = 1 << 20
#: What Arrow says of a row. It tells the numbers to a function too, but not where text is broken.
RAGGED = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+)")


def open_text(
    path: str, *, packed: bool, separator: str | None, encoding: str, decimal: str
) -> Source:
    """Open a table that is text, with a header.

    Parameters
    ----------
    path : str
        Its name; ``-`` is standard input.
    packed : bool
        Whether by gzip.
    separator : str or None
        One character; None for the one of `SEPARATORS` that cuts the header into most names.
    encoding : str
        As Python calls it.
    decimal : str
        The decimal sign, which separates nothing else.

    Returns
    -------
    Source
        When it is read, FileError is raised for a row that is not as long as the header, or longer
        than `READ_BYTES`.

    Raises
    ------
    FileError
        When the file is missing, empty, not text in this encoding, or its header cannot be used.
    InputError
        When there is no such encoding, or the separator is not one character.
    """
    if separator is not None and (len(separator) != 1 or separator in '"\r\n' + decimal):
        raise InputError(f"separator = {separator!r}: must be one character, and not {decimal!r}")
    # Standard input cannot be opened once more: what was read ahead of it is kept.
    opened = _open(path, packed) if path == "-" else None
    with reading(path), nullcontext(opened) if opened else _open(path, packed) as file:
        head = file.peek()
    header = _decoded(path, head, encoding)
    separator = separator or _separator(header, SEPARATORS.replace(decimal, ""))
    blank = len(header[: len(header) - len(header.lstrip("\r\n"))].splitlines())
    try:
        rows = csv.reader(io.StringIO(header, newline=""), delimiter=separator)
        names = next(filter(None, rows), [])
    except csv.Error as error:
        raise FileError(f"{path}: the header cannot be read ({error})") from error
    check_names(path, names)
    return _Text(path, packed, encoding, names, separator, blank, opened).source()


class _StandardInput(io.RawIOBase):
    """Standard input, which is not closed with this."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return cast(io.BufferedReader, sys.stdin.buffer).readinto(buffer)


def _open(path: str, packed: bool) -> io.BufferedReader:
    with reading(path):
        raw = _StandardInput() if path == "-" else None
        file: Any = gzip.GzipFile(path, "rb", fileobj=raw) if packed else raw or io.FileIO(path)
        # The buffer is large enough to look for the header in.
        return io.BufferedReader(file, READ_BYTES)


def _decoded(path: str, head: bytes, encoding: str) -> str:
    """Decode the first bytes of a file, of which the last character may be cut."""
    if not head.strip():
        raise FileError(f"{path}: is empty; the first line must name the columns")
    try:
        "".encode(encoding)  # which tells of codecs that are not of text
        text = codecs.getincrementaldecoder(encoding)().decode(head).removeprefix("\ufeff")
    except UnicodeError as error:
        raise _not_encoded(path, encoding, head) from error
    except (LookupError, ValueError) as error:
        raise InputError(f"encoding = {encoding!r}: there is none of this name") from error
    if "\0" in text:
        raise _not_encoded(path, encoding, head)
    return text


def _separator(header: str, separators: str) -> str:
    """Find what is in the first line most often, quoted parts aside."""
    line = re.sub('"[^"]*"', "", header).lstrip("\r\n").split("\n")[0]
    return max(separators, key=line.count)


def _not_encoded(path: str, encoding: str, head: bytes = b"") -> FileError:
    likely = "utf-16" if b"\0" in head else "latin-1"
    return FileError(
        f"{path}: is not text in {encoding}; if it is text, give its encoding, such as {likely}"
    )


@dataclass(frozen=True)
class _Text:
    path: str
    packed: bool
    encoding: str
    names: list[str]
    separator: str
    blank: int
    opened: io.BufferedReader | None

    def source(self) -> Source:
        schema = pa.schema([(name, pa.string()) for name in self.names])
        return Source(self.path, schema, self.read, self.separator, self.place)

    def open(self) -> AbstractContextManager[Any]:
        # Arrow reads ahead in a thread: were that in Python at the end of the process, it would
        # abort it. So files are Arrow's own.
        return self.opened or pa.input_stream(self.path, "gzip" if self.packed else None)

    def read(self, start: int) -> Iterator[pa.RecordBatch]:
        # Columns go by their number: names may be anything.
        keys = [str(number) for number in range(len(self.names))]
        try:
            with self.open() as file:
                reader = open_csv(
                    file,
                    read_options=ReadOptions(
                        column_names=keys,
                        skip_rows=self.blank,
                        skip_rows_after_names=1,
                        block_size=READ_BYTES,
                        encoding=self.encoding,
                        use_threads=False,
                    ),
                    parse_options=ParseOptions(
                        delimiter=self.separator,
                        newlines_in_values=True,
                        # A line of nothing is a gap, if there is one column.
                        ignore_empty_lines=len(keys) > 1,
                    ),
                    convert_options=ConvertOptions(column_types=dict.fromkeys(keys, pa.string())),
                )
                for batch in drop(reader, start):
                    yield batch.rename_columns(self.names)
        except (pa.ArrowInvalid, UnicodeError) as error:
            raise self._explained(error) from error

    def place(self, row: int) -> str:
        line = self.line(row)
        return f"row {row}" if line is None else f"row {row} (line {line})"

    def line(self, row: int) -> int | None:
        """Tell the line in which a row begins, from 1; that of the header is row 0."""
        if self.path == "-":
            return None
        with (
            _open(self.path, self.packed) as raw,
            io.TextIOWrapper(raw, self.encoding, "replace", newline="") as file,
        ):
            rows = csv.reader(islice(file, self.blank, None), delimiter=self.separator)
            first = self.blank + 1
            try:
                for cells in rows:
                    if cells or len(self.names) == 1:
                        if row == 0:
                            return first
                        row -= 1
                    first = self.blank + rows.line_num + 1
            except csv.Error:
                return None
        return None

    def _explained(self, error: Exception) -> FileError:
        if ragged := RAGGED.search(str(error)):
            number, expected, actual = map(int, ragged.groups())
            row = number - self.blank - 1
            line = self.line(row)
            return FileError(
                f"{self.path}: {f'row {row}' if line is None else f'line {line}'} has"
                f" {actual} in place of {expected} cells; mend it, or"
                f" give the separator, if it is not {self.separator!r}"
            )
        if "straddling" in str(error):
            return FileError(
                f"{self.path}: a row is longer than {READ_BYTES} bytes; is a quote not closed?"
            )
        if "UTF8" in str(error) or isinstance(error, UnicodeError):
            return _not_encoded(self.path, self.encoding)
        reason = str(error).split("\n")[0]
        return FileError(f"{self.path}: is not a table ({reason})")
