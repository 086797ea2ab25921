"""The int8 schemes of the engines there are, as their backends state them."""

from __future__ import annotations

from edgeseg.backends import BACKENDS
from edgeseg.core.int8 import Scheme
from edgeseg.core.ports import Backend
from edgeseg.errors import TargetError


def schemes() -> dict[str, Scheme]:
    """By name. Engines of one kind share a scheme."""
    found: dict[str, Scheme] = {}
    for engine in BACKENDS.names():
        scheme = _backend(engine).int8
        if scheme and found.setdefault(scheme.name, scheme) != scheme:
            raise TargetError(
                f"the int8 scheme '{scheme.name}' of the engine '{engine}' differs from another engine's",
                expected="a name of its own for each scheme",
            )
    return found


def scheme_named(name: str) -> Scheme:
    """Raises TargetError when no engine has it."""
    known = schemes()
    if name not in known:
        raise TargetError(f"there is no int8 scheme '{name}'", expected=f"one of {', '.join(sorted(known))}")
    return known[name]


def scheme_for(engine: str) -> Scheme:
    """The scheme of an engine as targets name it (`openvino`, `ort`, `trt`, `rtx`).

    Raises:
        TargetError: that engine has no int8 scheme, or there is no such engine.
    """
    scheme = _backend(engine).int8
    if scheme is None:
        with_int8 = sorted(name for name in BACKENDS.names() if _backend(name).int8)
        raise TargetError(
            f"the engine '{engine}' has no int8 scheme", expected=f"one of {', '.join(with_int8)}"
        )
    return scheme


def _backend(engine: str) -> Backend:
    backend: Backend = BACKENDS.load(engine).backend(engine)
    return backend
