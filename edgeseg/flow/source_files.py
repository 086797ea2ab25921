"""What a network is read from: every file whose change makes another network of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from edgeseg.core.bundle import file_sha256
from edgeseg.core.recipe import ModelChoice
from edgeseg.core.syntax import ONE_TREE


def source_files(choice: ModelChoice) -> list[tuple[str, str]]:
    """Names and sha256: the network, its modules or external data, its weights and their card, file options.

    A name is a path in the folder of the network, or that of a file elsewhere: the place of neither counts.

    Raises:
        GraphError: an ONNX file that cannot be read.
    """
    ref = choice.ref
    network = ref.path or Path(ref.text)
    named = [network, *(Path(value) for value in (choice.weights, *_texts(choice)) if value)]
    found = [path for path in named if path.is_file()]
    found += [card for path in found if (card := path.with_suffix(".json")).is_file()]
    if ref.kind == "python":
        found += _modules(network)
    if ref.kind == "onnx":
        from edgeseg.graph.onnx_file import external_files

        found += external_files(network)
    return sorted((_within(path, network.parent), file_sha256(path)) for path in dict.fromkeys(found))


def portable(choice: ModelChoice) -> dict[str, Any]:
    """What was chosen, with the names of files in place of their paths; of options and classes also what the
    files hold."""
    ref = choice.ref
    found: dict[str, Any] = msgspec.to_builtins(choice)
    return {
        **found,
        "name": ref.at(Path(ref.path.name)) if ref.path else choice.name,
        "weights": Path(choice.weights).name,
        "classes": _held(found["classes"]),
        "options": {key: _held(value) for key, value in found["options"].items()},
    }


def _held(value: Any) -> Any:
    """A value; of a file that it names, the name and the sha256."""
    if not isinstance(value, str) or not value or not Path(value).is_file():
        return value
    return [Path(value).name, file_sha256(Path(value))]


def _texts(choice: ModelChoice) -> list[str]:
    """Options that may name files."""
    return [value for value in choice.options.values() if isinstance(value, str) and value]


def _within(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def _modules(network: Path) -> list[Path]:
    """The modules beside a Python file that it imports, directly or not. Nothing is run."""
    root, waiting = network.parent, [network]
    found: list[Path] = []
    while waiting:
        for parts in _imports(waiting.pop(), root):
            places = [root.joinpath(*parts[:depth]) for depth in range(1, len(parts) + 1)]
            files = [file for place in places for file in (place.with_suffix(".py"), place / "__init__.py")]
            new = [file for file in files if file.is_file() and file not in (network, *found)]
            found += new
            waiting += new
    return sorted(found)


def _imports(file: Path, root: Path) -> Iterator[tuple[str, ...]]:
    """The dotted names that a file imports, relative ones resolved; none of a file that does not parse."""
    try:
        with ONE_TREE:
            tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return
    package = file.parent.relative_to(root).parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = tuple(node.module.split(".")) if node.module else ()
            yield from ((*base, *module, alias.name) for alias in node.names)
