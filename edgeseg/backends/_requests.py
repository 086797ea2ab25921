"""What the requests of all engines share."""

from __future__ import annotations

from collections.abc import Iterator

from edgeseg.core.bundle import TensorInfo
from edgeseg.core.ports import Array, Tensors, as_input
from edgeseg.errors import InputError


def checked(inputs: Tensors, infos: tuple[TensorInfo, ...]) -> Iterator[tuple[str, Array]]:
    """(name, C-contiguous array) per input.

    Raises:
        InputError: a name is missing or unknown, or dtype or shape differ.
    """
    names = [info.name for info in infos]
    if sorted(inputs) != sorted(names):
        raise InputError(f"got the inputs {', '.join(sorted(inputs)) or 'none'}", expected=", ".join(names))
    arrays = [(info.name, as_input(inputs[info.name], info)) for info in infos]
    return iter(arrays)
