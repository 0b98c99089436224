"""Options that several commands have. One that is not given is not passed on: see `given`."""

import csv
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vaefill.cli.output import progress
from vaefill.errors import FileError, InputError

if TYPE_CHECKING:
    from vaefill.fitting import Sample as Rows

Table = Annotated[
    Path,
    typer.Argument(
        metavar="TABLE",
        help="CSV (.csv, .tsv, .txt, each also .gz), Parquet, Arrow, Feather, NPY or NPZ;"
        " a directory of such files; or - for standard input.",
    ),
]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="What to write.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an output that exists.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
Keep = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN",
        help="Leave this column as it is, such as a name or a date: it is not learned from, nor"
        " filled; several times, or as A,B.",
    ),
]
Separator = Annotated[
    str | None,
    typer.Option(
        metavar="CHARACTER", help="Between the cells of a CSV file; found out from its first line."
    ),
]
Decimal = Annotated[
    str | None, typer.Option(metavar="CHARACTER", show_default=".", help="Decimal sign of CSV.")
]
Missing = Annotated[
    list[str] | None,
    typer.Option(
        metavar="VALUE",
        help="Stands for a missing cell too, such as -999; several times. Empty cells, NA, N/A,"
        " nan, null, None and ? always do in CSV.",
    ),
]
Encoding = Annotated[
    str | None, typer.Option(metavar="NAME", show_default="utf-8", help="Of a CSV file.")
]
Format = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Of the table, where its name does not tell: csv, parquet, ..."
    ),
]
Kind = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN=KIND",
        help="continuous, bounded:LOWER:UPPER, count, binary, ordered:FIRST:SECOND:... or"
        " categorical, where it is not to be read off the cells; several times.",
    ),
]
Prior = Annotated[
    Literal["gaussian", "student_t"] | None,
    typer.Option(show_default="gaussian", help="Of the latent code."),
]
Df = Annotated[
    float | None,
    typer.Option(metavar="NUMBER", show_default="5", help="Degrees of freedom of the t prior."),
]
Likelihood = Annotated[
    Literal["gaussian", "student_t"] | None,
    typer.Option(show_default="gaussian", help="Of numbers; student_t withstands outliers."),
]
Experts = Annotated[
    Literal["fast", "thorough"] | None,
    typer.Option(show_default="fast", help="thorough: trees too, several times as slow."),
]
Device = Annotated[
    Literal["cpu", "cuda", "auto"] | None,
    typer.Option(show_default="cpu", help="Where to compute."),
]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, metavar="N", help="Of everything random.")]
Sample = Annotated[
    int | None,
    typer.Option(
        min=2,
        metavar="ROWS",
        show_default="200000",
        help="Learn from so many rows at most, drawn uniformly in one pass.",
    ),
]


def given(**options: Any) -> dict[str, Any]:
    """Leave out what was not given: defaults are those of the function that takes the options."""
    return {name: value for name, value in options.items() if value is not None}


def reading(
    separator: str | None,
    decimal: str | None,
    missing: list[str] | None,
    encoding: str | None,
    format: str | None,
) -> dict[str, Any]:
    """Name what `vaefill.files.formats.open_source` is told about a file."""
    return given(
        separator=separator,
        decimal=decimal,
        missing=None if missing is None else tuple(missing),
        encoding=encoding,
        format=format,
    )


def names(keep: list[str] | None) -> tuple[str, ...]:
    """Take names apart that were given several at a time, as in a line of CSV."""
    return tuple(name for row in csv.reader(keep or ()) for name in row)


def kinds(texts: list[str] | None) -> dict[Any, Any]:
    """Read the kinds of columns.

    Raises
    ------
    InputError
        When one is not of the form COLUMN=KIND.
    """
    found: dict[Any, Any] = {}
    for text in texts or ():
        name, _, choice = text.rpartition("=")
        if not name:
            raise InputError(f"--kind {text}: must be COLUMN=KIND, such as age=count")
        kind, *ends_or_levels = choice.split(":")
        found[name] = (kind, *map(_value, ends_or_levels)) if ends_or_levels else kind
    return found


def _value(text: str) -> float | str:
    for number in (int, float):
        with suppress(ValueError):
            return number(text)
    return text


def read_rows(
    table: Path, reading: dict[str, Any], *, n_rows: int | None, quiet: bool, **how: Any
) -> "Rows":
    """Read rows to learn from, as `vaefill.fitting.read_sample` does, and show how far it is."""
    from vaefill.files.formats import open_source
    from vaefill.fitting import read_sample

    source = open_source(table, **reading)
    with progress(quiet) as bar:
        return read_sample(source, progress=bar, **given(n_rows=n_rows), **how)


def check_output(output: Path, *inputs: Path, force: bool) -> None:
    """Refuse what cannot be written, or not over what is there, before anything is computed.

    Raises
    ------
    FileError
        When it exists and is not to be replaced, is one of the inputs, or lies in no directory.
    """
    if str(output) == "-":
        raise FileError("--output -: standard output is for what is printed; name a file")
    check_apart(output, *inputs)
    if output.is_dir():
        raise FileError(f"{output}: is a directory; remove it or name another output")
    if output.exists() and not force:
        raise FileError(f"{output}: exists; name another file, or add --force to replace it")
    place = next(path for path in output.absolute().parents if path.exists())
    if not (place.is_dir() and os.access(place, os.W_OK)):
        raise FileError(f"{output}: {place} is no directory to write to; name another output")


def check_apart(output: Path, *inputs: Path) -> None:
    """Refuse to write over an input.

    Raises
    ------
    FileError
        When the output is one.
    """
    for path in inputs:
        if path.exists() and output.exists() and output.samefile(path):
            raise FileError(f"{output}: is an input too; name another output")
