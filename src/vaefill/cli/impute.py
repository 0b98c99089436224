"""`vaefill impute`: fill in a table with a model."""

from pathlib import Path
from typing import Annotated

import typer

from vaefill.cli import options
from vaefill.cli.output import progress, say, show, show_json
from vaefill.errors import InputError


def impute(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="What fit wrote; or a trained model of images.")
    ],
    table: options.Table,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The filled table, of any format named above; a directory if TABLE is one; or -"
            " for standard output, as CSV.",
        ),
    ],
    draws: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Fill in so many draws instead of the best guess: each row comes out so many"
            " times, after a column 'draw'.",
        ),
    ] = None,
    interval: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Add columns NAME_lower and NAME_upper, between which such a share of the missing"
            " numbers shall lie, such as 0.9.",
        ),
    ] = None,
    indicator: Annotated[
        bool, typer.Option("--indicator", help="Add columns NAME_missing: true where it was.")
    ] = False,
    keep: options.Keep = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was interrupted.")
    ] = False,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="local|ADDRESS|FILE",
            help="Fill the parts of a directory side by side, by Dask: on this machine, or on the"
            " workers of a running scheduler.",
        ),
    ] = None,
    device: options.Device = None,
    separator: options.Separator = None,
    decimal: options.Decimal = None,
    missing: options.Missing = None,
    encoding: options.Encoding = None,
    format: options.Format = None,
    output_format: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of the output, where its name does not tell."),
    ] = None,
    force: options.Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Fill in the gaps of a table with a model, without learning anew."""
    if to_stdout := str(output) == "-":
        if json:
            raise InputError("--json: standard output holds the table already; name an output file")
    else:
        options.check_apart(output, model, table)  # `fill_file` knows what may be replaced
    from vaefill.files.partial import partial_path
    from vaefill.imputer import VAEImputer

    if scheduler is None:
        from vaefill.streaming import fill_file as fill
    else:
        from vaefill.dask import fill_directory as fill

    imputer = VAEImputer.load(model, **options.given(device=device))
    with progress(quiet) as bar:
        try:
            summary = fill(
                imputer,
                table,
                output,
                reading=options.reading(separator, decimal, missing, encoding, format),
                format=output_format,
                force=force,
                resume=resume,
                progress=bar,
                **options.given(scheduler=scheduler, draws=draws, interval=interval),
                indicator=indicator,
                keep=options.names(keep),
            )
        except KeyboardInterrupt:
            place = partial_path(output)
            kept = f"what is done is kept in {place}; go on with --resume"
            say("interrupted", kept if place.exists() else "nothing was written")
            raise
    if json:
        show_json({"output": str(output), "rows": summary.rows, "filled": summary.filled})
    elif not to_stdout:
        show(f"{output}: {summary.filled} cells filled in {summary.rows} rows")
