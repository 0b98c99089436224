"""`vaefill demo`: a page about a table that comes with scikit-learn."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from vaefill.cli import options
from vaefill.cli.output import say, show, shows_progress

PAGE = Path("vaefill-demo.html")


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The page, replaced if there.")
    ] = PAGE,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Do not show the page in a browser.")
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """Make gaps in a table of scikit-learn, fill them, and show the page about it."""
    options.check_output(output, force=True)
    from vaefill.report.demo import demo_table
    from vaefill.report.page import write_report

    write_report(
        demo_table(),
        output,
        name="Diabetes, from scikit-learn, with gaps made for this",
        verbose=shows_progress(quiet),
    )
    show(str(output))
    if not no_open and not webbrowser.open(output.resolve().as_uri()):
        say("note", f"no browser to be found; open {output} in one")
