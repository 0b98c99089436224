"""What the command prints: one place, so that no text of a file can do anything to a terminal."""

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

#: Characters of a message, and of a cell of a printed table, at most.
LONGEST_MESSAGE, LONGEST_CELL = 1000, 32


def say(kind: str, message: str) -> None:
    """Tell something in one line on standard error, above a bar of progress if there is one."""
    from tqdm import tqdm

    tqdm.write(f"vaefill: {kind}: {printable(message, LONGEST_MESSAGE)}", file=sys.stderr)


def shows_progress(quiet: bool) -> bool:
    """Whether there is a terminal to show progress on, and leave to do so."""
    return sys.stderr.isatty() and not quiet


@contextmanager
def progress(quiet: bool) -> Iterator[Callable[[int], None]]:
    """Give what is to be told the number of rows that are done."""
    from tqdm import tqdm

    with tqdm(unit=" rows", unit_scale=True, disable=not shows_progress(quiet)) as bar:

        def tell(rows: int) -> None:
            bar.update(rows - bar.n)

        yield tell


def show(line: str) -> None:
    """Print a line of the result."""
    print(printable(line, LONGEST_MESSAGE), flush=True)


def show_json(value: Any) -> None:
    """Print one object for other programs; what is nan is null."""
    print(json.dumps(_strict(value), indent=2), flush=True)


def show_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows in aligned columns, all but the first to the right."""
    cells = [[_cell(value) for value in row] for row in [header, *rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for first, *others in cells:
        aligned = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        print("  ".join([first.ljust(widths[0]), *aligned]).rstrip(), flush=True)


def printable(text: str, longest: int) -> str:
    """Write control characters and such as escapes, and leave out the middle of what is long.

    Parameters
    ----------
    text : str
        Anything, also of unknown origin.
    longest : int
        Most characters to give.
    """
    if len(text) > longest:
        half = (longest - 1) // 2
        text = f"{text[:half]}…{text[-half:]}"
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "–" if math.isnan(value) else f"{value:.2f}"
    return printable(str(value), LONGEST_CELL)


def _strict(value: Any) -> Any:
    """Replace what JSON does not know."""
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
