"""The command `vaefill`: it reads options, calls the library, and says what came out.

Results go to standard output, words and progress to standard error. What a person can put right is
told in one line and ends with 2, Ctrl-C with 130; whatever else is raised is a bug and shows its
traceback. The library is imported by the commands when they run: help must be there in a moment.
"""

import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, NoReturn

import typer

from vaefill import __version__
from vaefill.cli.demo import demo
from vaefill.cli.fit import fit
from vaefill.cli.impute import impute
from vaefill.cli.output import say
from vaefill.cli.report import report
from vaefill.errors import InputError

BAD_INPUT, INTERRUPTED = 2, 130

app = typer.Typer(
    rich_markup_mode=None,  # plain text: the same in a pipe, and there in half the time
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nExample:\n"
    "  vaefill fit data.csv -o model.vaefill\n"
    "  vaefill impute model.vaefill data.csv -o filled.csv",
)
EXAMPLES: dict[Callable[..., None], str] = {
    fit: "vaefill fit data.csv -o model.vaefill --missing -999 --keep id",
    impute: "vaefill impute model.vaefill new.csv -o filled.parquet --draws 5",
    report: "vaefill report data.csv -o report.html",
    demo: "vaefill demo",
}
for command, example in EXAMPLES.items():
    app.command(epilog=f"\b\nExample:\n  {example}")(command)


def _version(asked: bool) -> None:
    if asked:
        print(f"vaefill {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _vaefill(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Fill in missing values of tables."""
    if context.invoked_subcommand is None:
        print(context.get_help())


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command, and end the process with its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process by default.

    Raises
    ------
    SystemExit
        With 0, 2 or 130.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # of a terminal
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: say("warning", str(message))
            code = app(arguments, prog_name="vaefill", standalone_mode=False)
    except InputError as error:
        code = _failed(str(error))
    except OSError as error:
        code = _failed(": ".join(filter(None, [error.filename, error.strerror])) or str(error))
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "vaefill"
        code = _failed(f"{error.format_message().rstrip('.')}; see {command} --help")
    sys.exit(code)


def _failed(reason: str) -> int:
    say("error", reason)
    return BAD_INPUT
