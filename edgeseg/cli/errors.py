"""Errors as text on standard error and, with `--json`, as one document on standard output."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from edgeseg.core.faults import printable
from edgeseg.errors import EdgesegError


def fail(error: EdgesegError, *, json: bool) -> NoReturn:
    """Tell a user's mistake and exit with its code."""
    typer.echo(printable(f"error: {error}"), err=True)
    if json:
        document(error.message, error.exit_code, expected=error.expected, hint=error.hint)
    raise typer.Exit(error.exit_code)


def document(message: str, exit_code: int, *, expected: str = "", hint: str = "") -> None:
    """Print `{"error": {...}}`: what results never have at their top."""
    import msgspec

    fields = {"message": message, "expected": expected, "hint": hint, "exit_code": exit_code}
    encoded = msgspec.json.encode({"error": fields})
    sys.stdout.buffer.write(msgspec.json.format(encoded, indent=2) + b"\n")
    sys.stdout.flush()
