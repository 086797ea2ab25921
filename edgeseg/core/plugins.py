"""Plug-ins are files: a folder is listed, names are read as text, nothing is imported until used.

A plug-in file states the names it registers as a literal tuple at its top level:

    NAMES = ("mobile-unet", "eff-unet")

Files whose name starts with an underscore are helpers, not plug-ins.
"""

from __future__ import annotations

import ast
import difflib
import importlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import ModuleType

from edgeseg.core.syntax import ONE_TREE
from edgeseg.errors import InputError


class PluginFolder:
    """The plug-ins of one package.

    Args:
        package: its dotted name, such as `edgeseg.backends`.
        noun: what one plug-in is, for errors: `backend`.
        listing: the command that shows them all, for errors.
        error: raised for an unknown name.
    """

    def __init__(
        self, package: str, noun: str, *, listing: str, error: type[InputError] = InputError
    ) -> None:
        self.package = package
        self.noun = noun
        self.listing = listing
        self.error = error

    def modules(self) -> dict[str, str]:
        """Registered name -> dotted module, in the order of file name and NAMES."""
        found: dict[str, str] = {}
        for folder in importlib.import_module(self.package).__path__:
            for file in sorted(Path(folder).glob("[!_]*.py")):
                for name in read_literal(file, "NAMES"):
                    found[name] = f"{self.package}.{file.stem}"
        return found

    def names(self) -> tuple[str, ...]:
        return tuple(self.modules())

    def load(self, name: str) -> ModuleType:
        """Import the file that registers `name`. Raises `error` with the nearest names."""
        modules = self.modules()
        if name not in modules:
            raise unknown(name, modules, noun=self.noun, listing=self.listing, error=self.error)
        return importlib.import_module(modules[name])


def unknown(
    name: str, known: Iterable[str], *, noun: str, listing: str, error: type[InputError] = InputError
) -> InputError:
    """The error for a name that is not registered."""
    known = tuple(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    guess = f"did you mean '{close[0]}'? " if close else ""
    return error(
        f"there is no {noun} '{name}'",
        expected=f"one of {', '.join(known)}",
        hint=f"{guess}run `{listing}` to see all",
    )


def read_literal(file: Path, variable: str) -> tuple[str, ...]:
    """The value of `VARIABLE = ("...", ...)` at the top level of a Python file, read as text."""
    return _literal(file, variable, file.stat().st_mtime_ns)


@cache
def _literal(file: Path, variable: str, changed: int) -> tuple[str, ...]:
    with ONE_TREE:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign):
            targets = [t.id for t in node.targets if isinstance(t, ast.Name)]
            if variable in targets:
                return tuple(ast.literal_eval(node.value))
    return ()
