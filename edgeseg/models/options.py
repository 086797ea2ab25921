"""Options of a zoo network or a factory: checked, typed and fit for JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgeseg.core.model_spec import Option
from edgeseg.core.plugins import unknown
from edgeseg.errors import ModelError


def plain(name: str, value: Any) -> Option:
    """An option value as what JSON can hold: paths become text, lists become tuples of int."""
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (list, tuple)) and all(type(item) is int for item in value):
        return tuple(value)
    raise ModelError(
        f"option {name}={value!r} cannot be recorded",
        expected="text, a number, true or false, or a list of integers",
    )


def checked(model: str, given: Mapping[str, Any], defaults: Mapping[str, Option]) -> dict[str, Option]:
    """`given` with every value in the type of its default; text such as `96,48,32` is read.

    Raises:
        ModelError: an option the network does not have, or a value of another type.
    """
    result: dict[str, Option] = {}
    for name, value in given.items():
        if name not in defaults:
            if not defaults:
                raise ModelError(f"'{model}' takes no options, '{name}' was given")
            raise unknown(
                name, defaults, noun=f"option of '{model}' named", listing="edgeseg models", error=ModelError
            )
        result[name] = _typed(model, name, plain(name, value), defaults[name])
    return result


def _typed(model: str, name: str, value: Option, default: Option) -> Option:
    readers: dict[type, Callable[[Option], Option]] = {
        bool: _bool,
        int: _int,
        float: _float,
        tuple: _ints,
        str: _text,
    }
    read = readers.get(type(default))
    try:
        return value if read is None else read(value)
    except ValueError:
        wanted = {
            bool: "true or false",
            int: "a positive integer",
            float: "a positive number",
            tuple: "positive integers, as in 96,48,32,16,16",
        }
        raise ModelError(
            f"option {name}={value!r} of '{model}' has the wrong type",
            expected=f"{wanted.get(type(default), 'text')} (default: {default!r})",
        ) from None


def _bool(value: Option) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if isinstance(value, bool):
        return value
    if not isinstance(value, str) or value.lower() not in words:
        raise ValueError(value)
    return words[value.lower()]


def _int(value: Option) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)) or int(value) < 1:
        raise ValueError(value)
    return int(value)


def _float(value: Option) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(value)
    if not 0.0 < (number := float(value)) < math.inf:
        raise ValueError(value)
    return number


def _ints(value: Option) -> tuple[int, ...]:
    if isinstance(value, str):
        value = tuple(int(part) for part in value.split(","))
    if not isinstance(value, tuple) or not value:
        raise ValueError(value)
    return tuple(_int(item) for item in value)


def _text(value: Option) -> str:
    if not isinstance(value, str):
        raise ValueError(value)
    return value
