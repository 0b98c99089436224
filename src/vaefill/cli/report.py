"""`vaefill report`: a page about the gaps of a table."""

from vaefill.cli import options
from vaefill.cli.output import show, show_json, shows_progress


def report(
    table: options.Table,
    output: options.Output,
    keep: options.Keep = None,
    kind: options.Kind = None,
    seed: options.Seed = 0,
    sample: options.Sample = None,
    separator: options.Separator = None,
    decimal: options.Decimal = None,
    missing: options.Missing = None,
    encoding: options.Encoding = None,
    format: options.Format = None,
    force: options.Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a page about the gaps of a table: where they are, and how well they can be filled."""
    kinds = options.kinds(kind)
    options.check_output(output, table, force=force)
    from vaefill.report.assessment import scores
    from vaefill.report.page import write_report

    kept = options.names(keep)
    rows = options.read_rows(
        table,
        options.reading(separator, decimal, missing, encoding, format),
        keep=kept,
        kinds=kinds,
        seed=seed,
        n_rows=sample,
        quiet=quiet,
    )
    assessment = write_report(
        rows.table,
        output,
        name=table.name,
        n_rows=rows.rows,
        kept=kept,
        kinds=kinds,
        seed=seed,
        verbose=shows_progress(quiet),
    )
    if json:
        show_json({"page": str(output), "rows": rows.rows, "scores": scores(assessment)})
    else:
        show(str(output))
