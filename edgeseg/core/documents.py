"""Reading and writing the JSON and TOML files that outlive a process."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from edgeseg.core.files import read_whole
from edgeseg.core.whole import write_whole
from edgeseg.errors import EdgesegError, InputError

T = TypeVar("T")
_one_at_a_time = RLock()
"""msgspec 0.22 crashes when two threads convert to a type for the first time."""

MOST_JSON, MOST_TOML = 64 << 20, 1 << 20
"""Bytes. Machines write JSON, people TOML; `tomllib` takes minutes for some files of a few megabytes."""
MOST_DEPTH = 32
MOST_SHOWN = 200
"""Characters of a wrong value in an error."""
_PART = r"""(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*"""
_DEEP_KEY = re.compile(rf"(?:^|[\[{{,])[ \t]*(?:{_PART}\.[ \t]*){{{MOST_DEPTH}}}", re.MULTILINE)
"""A dotted key for which `tomllib` would take memory with the square of its parts."""


def read_json(
    path: Path,
    kind: type[T],
    *,
    error: type[InputError] = InputError,
    check: Callable[[Mapping[str, Any]], None] | None = None,
) -> T:
    """Read a JSON file as `kind`. Raises `error` with the field and the value that is wrong.

    Args:
        check: called with the plain data of a `schema_version` that is known, before it becomes a `kind`.
    """
    content = read_whole(path, most=MOST_JSON, error=error)
    with _parsing(path, "JSON", error):
        data = msgspec.json.decode(content)
    return convert(data, kind, where=str(path), error=error, check=check)


def read_toml(path: Path, kind: type[T], *, error: type[InputError] = InputError) -> T:
    """Read a TOML file as `kind`. Raises `error` with the field and the value that is wrong."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib  # not on devices, which read no TOML

    content = read_whole(path, most=MOST_TOML, error=error)
    with _parsing(path, "TOML", error):
        text = content.decode("utf-8")
        if _DEEP_KEY.search(text):
            raise RecursionError
        data = tomllib.loads(text)
    return convert(data, kind, where=str(path), error=error)


@contextmanager
def _parsing(path: Path, language: str, error: type[InputError]) -> Iterator[None]:
    try:
        yield
    except RecursionError:
        raise error(f"{path} nests its values too deeply", expected=f"at most {MOST_DEPTH} levels") from None
    except (msgspec.DecodeError, ValueError) as fault:  # ValueError: bytes that are not UTF-8, TOML, digits
        raise error(f"{path} is not {language}: {str(fault)[:MOST_SHOWN]}") from None


def convert(
    data: Any,
    kind: type[T],
    *,
    where: str,
    error: type[InputError] = InputError,
    check: Callable[[Mapping[str, Any]], None] | None = None,
) -> T:
    """Plain data to a typed noun, checking `schema_version` where the noun has one."""
    _require_bounded(data, where, error)
    version = getattr(kind, "SCHEMA_VERSION", None)
    if version is not None and isinstance(data, Mapping):
        given = data.get("schema_version")
        if given is None:
            raise error(f"{where}: schema_version is missing", hint=f"add schema_version = {version}")
        if given != version:
            raise error(
                f"{where} has schema_version {_shown(given)}",
                expected=f"schema_version {version}",
                hint="write it again with this version of edgeseg, or install the one that wrote it",
            )
        if check is not None:
            check(data)
    try:
        with _one_at_a_time:
            return msgspec.convert(data, kind)
    except msgspec.ValidationError as fault:
        if isinstance(refusal := fault.__cause__, EdgesegError):
            raise error(f"{where}: {refusal.message}", expected=refusal.expected, hint=refusal.hint) from None
        message, field = _split(str(fault))
        given = f"; given: {field} = {_shown(_dig(data, field))}" if field else ""
        raise error(f"{where}: {message[:MOST_SHOWN]}{given}", expected=_words(kind, field)) from None


def is_text(value: str) -> bool:
    """Whether a string can be written as UTF-8: names of files and arguments may hold other bytes."""
    return not re.search("[\ud800-\udfff]", value)


def _require_bounded(data: Any, where: str, error: type[InputError]) -> None:
    """Refuse what no noun holds and what later code could not print or store: depth, integers, text."""
    waiting = [(data, "", 0)]
    while waiting:
        value, path, depth = waiting.pop()
        if depth > MOST_DEPTH:
            raise error(f"{where} nests its values too deeply", expected=f"at most {MOST_DEPTH} levels")
        if isinstance(value, Mapping):
            waiting += [(key, path, depth + 1) for key in value]
            waiting += [(v, f"{path}.{k}".lstrip(".")[:MOST_SHOWN], depth + 1) for k, v in value.items()]
        elif isinstance(value, (list, tuple)):
            waiting += [(inner, path, depth + 1) for inner in value]
        elif isinstance(value, int) and value.bit_length() > 63:
            raise error(f"{where}: {path} is an integer of {value.bit_length()} bits", expected="64 bits")
        elif isinstance(value, str) and not is_text(value):
            raise error(f"{where}: {path} is {_shown(value)}, which is not text", expected="UTF-8")


def _shown(value: Any) -> str:
    text = ascii(value) if isinstance(value, str) and not is_text(value) else repr(value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


def json_data(noun: Any) -> Any:
    """`noun` as the plain data that its JSON holds."""
    return msgspec.json.decode(msgspec.json.encode(noun))


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
