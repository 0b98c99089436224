"""Learn an imputer from a file with gaps, however long it is, and say what was seen."""

import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from vaefill.errors import InputError
from vaefill.files.sampling import sample_rows
from vaefill.files.source import ImageSource, Source
from vaefill.files.typing import Type, TypeFinder, to_typed
from vaefill.imputer import VAEImputer
from vaefill.tables.columns import fit_columns
from vaefill.tables.kinds import Choice, Kind, some

#: Rows that are read at a time.
_ROWS = 1 << 16


@dataclass(frozen=True)
class Sample:
    """Rows of a file to learn from.

    Parameters
    ----------
    path : str
        The file.
    table : pyarrow.Table
        The sample, in the order of the file, without the columns to keep as they are.
    rows : int
        Rows of the whole file.
    kept : tuple of str
        Its other columns.
    """

    path: str
    table: pa.Table
    rows: int
    kept: tuple[str, ...]


@dataclass(frozen=True)
class ColumnFacts:
    """A column of the model.

    Parameters
    ----------
    name : str
        Its name.
    kind : str
        One of `vaefill.tables.kinds.KINDS`.
    missing : float
        Share of its cells that are missing, among the rows of the sample.
    """

    name: str
    kind: Kind
    missing: float


@dataclass(frozen=True)
class Facts:
    """What a fit saw.

    Parameters
    ----------
    rows : int
        Rows of the file.
    learned : int
        Rows that were learned from: those of the sample in which anything is observed.
    columns : tuple of ColumnFacts
        Those of the model, in the order of the file.
    left_out : dict of str to str
        Why others are not among them; these come out as they came.
    """

    rows: int
    learned: int
    columns: tuple[ColumnFacts, ...]
    left_out: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Describe the fit by plain values, for JSON."""
        return asdict(self)


def read_sample(
    source: Source | ImageSource,
    *,
    n_rows: int = 200_000,
    keep: Collection[str] = (),
    kinds: Mapping[str | int, Choice] | None = None,
    seed: int = 0,
    progress: Callable[[int], None] = lambda rows: None,
) -> Sample:
    """Draw rows uniformly from a file, in one pass.

    Parameters
    ----------
    source : Source
        The file.
    n_rows : int, default=200_000
        How many at most.
    keep : collection of str
        Columns that are not to be learned from.
    kinds : mapping of name to kind, optional
        As for `VAEImputer`. In a file of text, columns of categories are taken as text, and so are
        ordered ones whose levels are given as text, whatever they look like.
    seed : int, default=0
        Of the choice of rows.
    progress : callable, optional
        Told how many rows were read.

    Returns
    -------
    Sample

    Raises
    ------
    InputError
        When these are images, `keep` or `kinds` name no column, there are no rows, or no columns
        but those to keep, or when a cell anywhere in the file is text among numbers.
    """
    if isinstance(source, ImageSource):
        raise InputError(f"{source.path}: images; models of images are trained by the pipeline")
    if n_rows < 2:
        raise InputError(f"n_rows = {n_rows}: must be at least 2 to learn from")
    for option, asked in {"keep": keep, "kinds": kinds or {}}.items():
        if unknown := [name for name in asked if name not in source.names]:
            raise InputError(
                f"{option}: no column {some(unknown)} in {source.path}, which has"
                f" {some(source.names)}; mend the name"
            )
    names = [name for name in source.names if name not in keep]
    if not names:
        raise InputError(f"keep: names every column of {source.path}; leave some to learn from")
    how: dict[str, Any] = {"decimal": source.decimal, "missing": source.missing}
    finder = TypeFinder(**how)

    def watched() -> Iterator[pa.Table]:
        for table in source.batches(_ROWS):
            rows = table.select(names)
            finder.update(rows)
            progress(finder.rows)
            yield rows

    if source.text and all(map(_is_number, source.names)):
        warnings.warn(
            f"{source.path}: its first line holds numbers alone ({some(source.names)}) and was"
            " taken for the names of the columns; add a line of names if it is a row",
            stacklevel=2,
        )
    rows = sample_rows(watched(), n_rows, seed)
    # Files with types of their own keep them: text that looks like numbers is text there.
    text = [str(name) for name, kind in (kinds or {}).items() if _as_text(kind)]
    own: dict[str, Type] = dict.fromkeys(names, "text")
    types = finder.types(text, source.place) if source.text else own
    typed = to_typed(rows, types, **how)
    return Sample(source.path, typed, finder.rows, tuple(keep))


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def _as_text(kind: Choice) -> bool:
    if isinstance(kind, str):
        return kind in ("binary", "categorical")
    return all(isinstance(part, str) for part in kind)


def fit_sample(
    sample: Sample,
    *,
    kinds: Mapping[str | int, Choice] | None = None,
    seed: int = 0,
    **settings: Any,
) -> tuple[VAEImputer, Facts]:
    """Fit an imputer to a sample.

    Parameters
    ----------
    sample : Sample
        As `read_sample` gives it.
    kinds, **settings
        As for `VAEImputer`.
    seed : int, default=0
        Of everything random in the fit.

    Returns
    -------
    imputer : VAEImputer
    facts : Facts

    Raises
    ------
    InputError
        When nothing is observed, no column holds numbers, and as `VAEImputer.fit` does.
    """
    table = sample.table
    try:
        columns = fit_columns(table, kinds=kinds)
    except InputError as error:
        raise InputError(f"{error}; or keep the column as it is") from error
    if columns.empty.all():
        raise InputError(
            f"{sample.path}: nothing is observed in it; there is nothing to learn from"
        )
    if all(column.levels or column.empty for column in columns.columns):
        raise InputError(
            f"{sample.path}: no column of numbers among {some(table.column_names)}; mend it, or"
            " say what stands for a missing cell"
        )
    size = {"max_samples": max(len(table), 2)}
    imputer = VAEImputer(kinds=kinds, random_state=seed, **size | settings).fit(table)
    gaps = columns.missing(table)
    found = list(zip(table.column_names, columns.columns, gaps.mean(0).tolist(), strict=True))
    facts = Facts(
        rows=sample.rows,
        learned=int((~gaps).any(1).sum()),
        columns=tuple(ColumnFacts(n, c.kind, share) for n, c, share in found if not c.empty),
        left_out=dict.fromkeys(sample.kept, "kept as it is")
        | {name: "nothing is observed" for name, column, _ in found if column.empty},
    )
    return imputer, facts
