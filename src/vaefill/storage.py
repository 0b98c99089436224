"""Files: written whole or not at all, with the same bytes for the same content.

Every write goes to a temporary name in the target's own directory, is flushed to disk, and
then replaces the target in one step, so that a full disk, a missing permission or a kill
leaves the previous file as it was. No file carries a time stamp or a path.
"""

import csv
import io
import json
import os
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaefill.errors import FileError


def write_bytes(path: str | Path, content: bytes) -> None:
    """Replace the file at `path` by `content`, or leave it untouched.

    Parameters
    ----------
    path : path-like
        The target; its directory is made if it does not exist.
    content : bytes
        The whole content.

    Raises
    ------
    OSError
        When the directory cannot be written to or the disk is full; the target is unchanged.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of this process's own: two writers never share a temporary file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, content: str) -> None:
    """Write UTF-8 text, line ends as given on every platform, as `write_bytes` does."""
    write_bytes(path, content.encode("utf-8"))


def save_arrays(path: str | Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays as an uncompressed ``.npz``.

    Uncompressed, because the bytes then depend on the arrays alone and not on the version of
    the compression library.
    """
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    write_bytes(path, buffer.getvalue())


def load_arrays(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read what `save_arrays` wrote; nothing in the file is executed.

    Raises
    ------
    FileError
        When the file is missing, truncated or no archive of plain arrays.
    """
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (FileNotFoundError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise unreadable(path, "an archive of arrays (.npz)", error) from error


def save_array(path: str | Path, array: NDArray[Any]) -> None:
    """Write one array as ``.npy``."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_bytes(path, buffer.getvalue())


def load_array(path: str | Path) -> NDArray[Any]:
    """Read what `save_array` wrote.

    Raises
    ------
    FileError
        When the file is missing, truncated or no plain array.
    """
    try:
        with Path(path).open("rb") as file:
            array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    except (FileNotFoundError, ValueError, EOFError) as error:
        raise unreadable(path, "an array (.npy)", error) from error
    return array


def save_json(path: str | Path, value: Any) -> None:
    """Write JSON with sorted keys and floats of 6 significant digits; `nan` is refused."""
    text = json.dumps(_rounded(value), indent=2, sort_keys=True, allow_nan=False)
    write_text(path, text + "\n")


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def load_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    FileError
        When the file is missing or not JSON.
    """
    try:
        return json.loads(Path(path).read_text("utf-8"))
    except (FileNotFoundError, ValueError) as error:
        raise unreadable(path, "JSON", error) from error


def save_table(
    path: str | Path, columns: Sequence[str], rows: Iterable[Sequence[int | float | str]]
) -> None:
    """Write a CSV file; floats keep 6 significant digits.

    Parameters
    ----------
    path : path-like
        The target.
    columns : sequence of str
        The header.
    rows : iterable of sequences
        One value per column.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([f"{v:.6g}" if isinstance(v, float) else v for v in row])
    write_text(path, text.getvalue())


def load_table(path: str | Path) -> list[dict[str, str]]:
    """Read a CSV file with a header: one dict of strings per row.

    Raises
    ------
    FileError
        When the file is missing, or a row is not as long as the header.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, restkey="", strict=True))
    except (FileNotFoundError, ValueError, csv.Error) as error:
        raise unreadable(path, "a table (.csv)", error) from error
    for number, row in enumerate(rows, start=2):
        if "" in row or None in row.values():
            raise FileError(f"{path}: line {number} does not have one value per column")
    return rows


def unreadable(path: str | Path, kind: str, error: Exception) -> FileError:
    """Say in one line that a file is missing or broken."""
    if isinstance(error, FileNotFoundError):
        return FileError(f"{path}: no such file")
    reason = str(error).strip().split("\n")[0] or type(error).__name__
    return FileError(f"{path}: not {kind} ({reason}); replace it")
