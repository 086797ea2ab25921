"""Arrays that results are written to, the caller's or new ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from edgeseg.core.bundle import TensorInfo
from edgeseg.core.ports import Array
from edgeseg.errors import InputError


def arrays(infos: Sequence[TensorInfo], to: Mapping[str, Array] = MappingProxyType({})) -> dict[str, Array]:
    """Where results are written: arrays of `to`, by name, and new ones for others."""
    return {i.name: to[i.name] if i.name in to else np.empty(i.shape, i.dtype) for i in infos}


def require_outputs(
    to: Mapping[str, Array], infos: Sequence[TensorInfo], *, single: bool
) -> dict[str, Array]:
    """The same arrays as [N,...].

    Args:
        infos: of what will be written, [N,...].
        single: the arrays are of one frame, without N.

    Raises:
        InputError: another name, dtype or shape, or no array that can be written to.
    """
    known = {info.name: info for info in infos}
    found = {}
    for name, array in to.items():
        if name not in known:
            raise InputError(f"`to` names the output '{name}'", expected=f"one of {', '.join(known)}")
        shape = known[name].shape[1:] if single else known[name].shape
        given = f"{type(array).__name__}"
        if isinstance(array, np.ndarray):
            given = f"{array.dtype} {list(array.shape)}" + ("" if array.flags.writeable else ", read-only")
        fits = isinstance(array, np.ndarray) and (array.dtype.name, array.shape) == (known[name].dtype, shape)
        if not fits or not array.flags.writeable:
            raise InputError(
                f"`to` has {given} for '{name}'",
                expected=f"a NumPy array of {known[name].dtype} {list(shape)} that can be written to",
            )
        found[name] = array[None] if single else array
    return found
