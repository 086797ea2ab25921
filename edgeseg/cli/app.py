"""The Typer application and the one place where errors become exit codes.

Exit codes: 0 done or pass, 1 budget missed, 2 bad input, 3 invalid measurement,
4 missing dependency or device, or a limit that could not be measured.
"""

from __future__ import annotations

import functools
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from edgeseg import __version__
from edgeseg.cli import (
    calibrate_commands,
    list_commands,
    make_commands,
    prove_commands,
    quantize_commands,
    run_commands,
)
from edgeseg.cli.errors import document, fail
from edgeseg.core.documents import is_text
from edgeseg.core.faults import explained
from edgeseg.errors import EdgesegError, EdgesegWarning

HELP = """Take a trained segmentation network to a fast engine, and prove what it costs.

Exit codes: 0 done or pass, 1 budget missed, 2 bad input, 3 invalid measurement,
4 missing dependency or device, or a limit that could not be measured.
"""

INTERRUPTED = 130
LONGEST_WORD = 4096
"""Characters of one argument: no path is longer."""
UsageError: Any = typer.BadParameter.__mro__[1]
"""The base of what Typer raises for a command line it cannot read, which it gives no public name."""


def _guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Whatever goes wrong: one message and an exit code, no traceback."""

    @functools.wraps(command)
    def run(*args: object, **options: object) -> None:
        try:
            try:
                command(*args, **options)
            finally:
                sys.stdout.flush()
        except EdgesegError as error:
            fail(error, json=bool(options.get("json")))
        except KeyboardInterrupt:
            typer.echo("interrupted; run the same command again to go on", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            _drop_output()
        except typer.Exit:
            raise
        except Exception as fault:
            if isinstance(fault, OSError):
                _drop_output()
            fail(explained(fault), json=bool(options.get("json")))

    return run


def _drop_output() -> None:
    """What is left in the buffer of standard output cannot be written: let it go."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


app = typer.Typer(
    help=HELP,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
)
for group in (make_commands, quantize_commands, prove_commands, run_commands, list_commands):
    for command in group.COMMANDS:
        app.command()(_guarded(command))
calibrate = typer.Typer(help=calibrate_commands.HELP, rich_markup_mode=None, no_args_is_help=True)
for command in calibrate_commands.COMMANDS:
    calibrate.command()(_guarded(command))
app.add_typer(calibrate, name="calibrate")


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


def _one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """A warning of edgeseg as a line without the place in its source; others as Python shows them."""
    if issubclass(category, EdgesegWarning):
        return f"warning: {message}\n"
    return _python_format(message, category, filename, lineno, line)


_python_format = warnings.formatwarning


def _open_streams() -> None:
    """Standard output and error take any text; where one was closed, what is printed there is dropped."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def main() -> NoReturn:
    """Run the command line and exit."""
    warnings.formatwarning = _one_line
    _open_streams()
    for given in sys.argv[1:]:
        if not is_text(given) or len(given) > LONGEST_WORD:
            told = f"the argument {given[:60]!a} is not text, or has {len(given):,} characters"
            typer.echo(f"error: {told}\nexpected: UTF-8, at most {LONGEST_WORD:,}", err=True)
            sys.exit(EdgesegError.exit_code)
    try:
        sys.exit(app(standalone_mode="--json" not in sys.argv))
    except UsageError as error:
        error.show()
        document(error.format_message(), error.exit_code)
        sys.exit(error.exit_code)
