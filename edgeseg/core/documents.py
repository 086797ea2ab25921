"""Reading and writing the JSON and TOML files that outlive a process."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from threading import RLock
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from edgeseg.core.whole import write_whole
from edgeseg.errors import EdgesegError, InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")
_one_at_a_time = RLock()
"""msgspec 0.22 crashes when two threads convert to a type for the first time."""


def read_json(path: Path, kind: type[T], *, error: type[InputError] = InputError) -> T:
    """Read a JSON file as `kind`. Raises `error` with the field and the value that is wrong."""
    try:
        data = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        raise error(f"{path} does not exist") from None
    except msgspec.DecodeError as fault:
        raise error(f"{path} is not JSON: {fault}") from None
    return convert(data, kind, where=str(path), error=error)


def read_toml(path: Path, kind: type[T], *, error: type[InputError] = InputError) -> T:
    """Read a TOML file as `kind`. Raises `error` with the field and the value that is wrong."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise error(f"{path} does not exist") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise error(f"{path} is not TOML: {fault}") from None
    return convert(data, kind, where=str(path), error=error)


def convert(data: Any, kind: type[T], *, where: str, error: type[InputError] = InputError) -> T:
    """Plain data to a typed noun, checking `schema_version` where the noun has one."""
    version = getattr(kind, "SCHEMA_VERSION", None)
    if version is not None and isinstance(data, Mapping):
        given = data.get("schema_version")
        if given is None:
            raise error(f"{where}: schema_version is missing", hint=f"add schema_version = {version}")
        if given != version:
            raise error(
                f"{where} has schema_version {given!r}",
                expected=f"schema_version {version}",
                hint="write it again with this version of edgeseg, or install the one that wrote it",
            )
    try:
        with _one_at_a_time:
            return msgspec.convert(data, kind)
    except msgspec.ValidationError as fault:
        if isinstance(refusal := fault.__cause__, EdgesegError):
            raise error(f"{where}: {refusal.message}", expected=refusal.expected, hint=refusal.hint) from None
        message, field = _split(str(fault))
        given = f"; given: {field} = {_dig(data, field)!r}" if field else ""
        raise error(f"{where}: {message}{given}", expected=_words(kind, field)) from None


def encode(noun: Any) -> bytes:
    """Stable, indented JSON."""
    return msgspec.json.format(msgspec.json.encode(noun, order="deterministic"), indent=2) + b"\n"


def write_document(path: Path, noun: Any) -> None:
    """Write `noun` as JSON, whole or not at all; its folder is made.

    Raises:
        InputError: it cannot be written there.
    """
    writable_folder(path.parent)
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(encode(noun))
            return
        write_whole(path, encode(noun))
    except OSError as fault:
        raise InputError(f"{path} cannot be written: {fault.strerror}", expected="a file to write") from None


def writable_folder(path: Path) -> Path:
    """`path`, made if it is not there; nothing is left in it.

    Raises:
        InputError: no files can be made there.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as fault:
        raise InputError(
            f"no files can be made in {path}: {fault.strerror}", expected="a folder to write to"
        ) from None


def _split(fault: str) -> tuple[str, str]:
    message, _, path = fault.partition(" - at `$")
    return message, path.rstrip("`").lstrip(".")


def _words(kind: Any, field: str) -> str:
    """The words a field of `kind` may hold, where it holds one of a few."""
    hint = get_type_hints(kind).get(field) if isinstance(kind, type) else None
    words = next((one for one in (hint, *get_args(hint)) if get_origin(one) is Literal), None)
    return f"one of {', '.join(map(str, get_args(words)))}" if words else ""


def _dig(data: Any, path: str) -> Any:
    """The value at a msgspec path such as `steps[0].targets`, as far as it can be followed."""
    for key, index in re.findall(r"([^.\[\]]+)|\[(\d+|\.\.\.)\]", path):
        try:
            data = data[key] if key else data[int(index)]
        except (KeyError, IndexError, TypeError, ValueError):
            break
    return data
