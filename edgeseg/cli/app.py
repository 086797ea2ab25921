"""The Typer application and the one place where errors become exit codes.

Exit codes: 0 done or pass, 1 budget missed, 2 bad input, 3 invalid measurement,
4 missing dependency or device.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, NoReturn

import typer

from edgeseg import __version__
from edgeseg.cli import list_commands, make_commands, prove_commands, run_commands
from edgeseg.errors import EdgesegError

HELP = """Take a trained segmentation network to a fast engine, and prove what it costs.

Exit codes: 0 done or pass, 1 budget missed, 2 bad input, 3 invalid measurement,
4 missing dependency or device.
"""

app = typer.Typer(
    help=HELP,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
)
for group in (make_commands, prove_commands, run_commands, list_commands):
    for command in group.COMMANDS:
        app.command()(command)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"edgeseg {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> NoReturn:
    """Run the command line and exit. A user's mistake prints no traceback."""
    try:
        app()
    except EdgesegError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.echo("interrupted; run the same command again to go on", err=True)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    sys.exit(0)
