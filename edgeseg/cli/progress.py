"""Progress on standard error, so that standard output stays the result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeseg.core.ports import Progress


@contextmanager
def shown() -> Iterator[Progress]:
    """A Progress drawn as bars; one line per activity where standard error is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks = {}

        def report(message: str, done: int = 0, total: int = 0) -> None:
            if message not in tasks:
                tasks[message] = bars.add_task(message, total=total or None)
                if not console.is_terminal:
                    console.print(message, highlight=False)
            bars.update(tasks[message], completed=done, total=total or None)

        yield report
