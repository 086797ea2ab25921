"""Progress on standard error, so that standard output stays the result."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING

from edgeseg.core.faults import printable

if TYPE_CHECKING:
    from rich.console import Console

    from edgeseg.core.ports import Progress

TENTHS = 10
"""Where standard error is not a terminal, an activity prints a line each time another tenth is done."""


@contextmanager
def shown() -> Iterator[Progress]:
    """A Progress drawn as bars, or as lines where standard error is not a terminal.

    Meanwhile, what the user's network prints goes to standard error as well.
    """
    from rich.console import Console

    console = Console(file=sys.stderr, highlight=False, markup=False)
    with redirect_stdout(sys.stderr), _bars(console) if console.is_terminal else _lines(console) as report:
        yield report


@contextmanager
def _bars(console: Console) -> Iterator[Progress]:
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=console, transient=True) as bars:
        tasks = {}

        def report(message: str, done: int = 0, total: int = 0) -> None:
            message = printable(message)
            activity = _activity(message)
            if activity not in tasks:
                tasks[activity] = bars.add_task(message, total=total or None)
            bars.update(tasks[activity], description=message, completed=done, total=total or None)

        yield report


@contextmanager
def _lines(console: Console) -> Iterator[Progress]:
    seen: dict[str, int] = {}

    def report(message: str, done: int = 0, total: int = 0) -> None:
        message, tenth = printable(message), TENTHS * done // total if total else 0
        if seen.get(_activity(message), -1) < tenth:
            seen[_activity(message)] = tenth
            console.print(f"{message} ({done} of {total})" if tenth else message, soft_wrap=True)

    yield report


def _activity(message: str) -> str:
    """The message without its changing numbers: `training: loss 0.84` and `training: loss 0.79` are one."""
    return re.sub(r"\d+(\.\d+)?", "#", message)
