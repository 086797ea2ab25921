"""Drawing on standard output: one console, tables, numbers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgeseg.core.faults import printable

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 160
STATUS_STYLE = {
    "pass": "green",
    "fail": "red",
    "invalid": "yellow",
    "unjudged": "magenta",
    "unmeasured": "cyan",
}


def console() -> Console:
    """Standard output; wide enough for a table where it is not a terminal."""
    from rich.console import Console

    return Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, left: int = 1) -> None:
    """Print a table; the first `left` columns are aligned left, the others right. None is shown as a dash."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left")
    for position, name in enumerate(columns):
        drawn.add_column(name, justify="left" if position < left else "right", overflow="fold")
    for row in rows:
        drawn.add_row(*(cell if isinstance(cell, Text) else _cell(cell) for cell in row))
    console().print(drawn)


def _cell(value: object) -> str:
    return "-" if value is None else printable(str(value))


def status(word: str) -> Any:
    from rich.text import Text

    return Text(word, style=STATUS_STYLE.get(word, ""))


def line(text: str = "") -> None:
    console().print(printable(text), soft_wrap=True)


def verdict(status_word: str, reasons: Sequence[str]) -> None:
    from rich.text import Text

    console().print(Text("verdict: ") + status(status_word))
    for reason in dict.fromkeys(reasons):
        line(f"  {reason}")


def number(value: float | None, digits: int = 2) -> str | None:
    """Fixed point; None and NaN stay a dash."""
    return None if value is None or value != value else f"{value:.{digits}f}"


def percent(value: float | None) -> str | None:
    """A fraction as points of 100."""
    return None if value is None else number(100 * value)
