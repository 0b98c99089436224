"""`vaefill fit`: learn from a table, and say what was seen and how well it will be filled."""

import math
from typing import Annotated

import typer

from vaefill.cli import options
from vaefill.cli.output import show, show_json, show_table, shows_progress

#: Columns in the printed table; ``--json`` lists all.
MOST_COLUMNS = 40


def fit(
    table: options.Table,
    output: options.Output,
    keep: options.Keep = None,
    kind: options.Kind = None,
    prior: options.Prior = None,
    df: options.Df = None,
    likelihood: options.Likelihood = None,
    experts: options.Experts = None,
    device: options.Device = None,
    seed: options.Seed = 0,
    sample: options.Sample = None,
    no_check: Annotated[
        bool,
        typer.Option(
            "--no-check",
            help="Do not try the imputer, the mean, nearest rows and chained regressions on cells"
            " hidden for that: half the time.",
        ),
    ] = False,
    separator: options.Separator = None,
    decimal: options.Decimal = None,
    missing: options.Missing = None,
    encoding: options.Encoding = None,
    format: options.Format = None,
    force: options.Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Learn from a table with gaps, and write a model of it."""
    kinds = options.kinds(kind)
    options.check_output(output, table, force=force)
    from vaefill.fitting import fit_sample
    from vaefill.report.assessment import IMPUTERS, scores
    from vaefill.report.trial import assess

    rows = options.read_rows(
        table,
        options.reading(separator, decimal, missing, encoding, format),
        keep=options.names(keep),
        kinds=kinds,
        seed=seed,
        n_rows=sample,
        quiet=quiet,
    )
    settings = options.given(
        prior=prior, df=df, likelihood=likelihood, experts=experts, device=device
    )
    settings |= {"kinds": kinds, "seed": seed, "verbose": shows_progress(quiet)}
    imputer, facts = fit_sample(rows, **settings)
    errors: dict[str, dict[str, float]] = {}
    for score in [] if no_check else scores(assess(rows.table, **settings)):
        if score["metric"] in ("rmse", "wrong"):
            errors.setdefault(score["column"], {})[score["imputer"]] = score["value"]
    imputer.save(output)
    if json:
        show_json({"model": str(output), **facts.to_dict(), "errors": errors})
        return
    tried = IMPUTERS if errors else ()
    show(f"{output}: learned from {facts.learned} of {facts.rows} rows")
    show_table(
        ["column", "kind", "missing", *tried],
        [
            [
                column.name,
                column.kind or "empty",
                f"{column.missing:.1%}",
                *(errors.get(column.name, {}).get(name, math.nan) for name in tried),
            ]
            for column in facts.columns[:MOST_COLUMNS]
        ],
    )
    if (more := len(facts.columns) - MOST_COLUMNS) > 0:
        show(f"and {more} columns more; --json lists them all")
    if tried:
        show("Errors in hidden cells: of numbers root mean squared, in standard deviations;")
        show("of categories the share that is wrong.")
