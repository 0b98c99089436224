"""The files that a table comes in, one or a directory of them, and what becomes of each."""

import shutil
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from vaefill.errors import FileError
from vaefill.files.formats import FORMATS, Format, find_format, find_parts
from vaefill.files.partial import partial_path


class Part(NamedTuple):
    """A file of a table: its number, where it is, where to work on it, and what it becomes."""

    number: int
    source: Path
    work: Path
    result: Path
    format: Format

    def undo(self) -> None:
        """Throw away what was made of it; first of all what says that there is something."""
        (self.work / "done.json").unlink(missing_ok=True)
        self.result.unlink(missing_ok=True)
        shutil.rmtree(self.work, ignore_errors=True)


def list_parts(source: Path, target: Path, format: str | None) -> list[Part]:
    """List the files of a directory, or the one file, and what becomes of them.

    Parameters
    ----------
    source, target : Path
        What is read, and what will come into being in ``TARGET.partial/``.
    format : str, optional
        Of the results: by default that of the part, and of one file that of the target's name.

    Raises
    ------
    InputError
        When there is none, a format is not known, or two of them would become one.
    """
    place = partial_path(target)
    result = place / "result"
    if not source.is_dir():
        return [Part(0, source, place / "0", result, find_format(target, format))]
    parts = []
    for number, path in enumerate(find_parts(source)):
        ending = next(e for e in FORMATS if path.name.lower().endswith(f".{e}"))
        name = path.name if format is None else path.name[: -len(ending)] + format
        parts.append(
            Part(number, path, place / str(number), result / name, find_format(name, format))
        )
    twice = [name for name, n in Counter(part.result.name for part in parts).items() if n > 1]
    if twice:
        raise FileError(f"{source}: two parts would become {twice[0]}; rename one")
    return parts
