"""Exceptions of engines, which have no common base, as errors about their bundle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edgeseg.core.bundle import Bundle
from edgeseg.errors import BundleError, EdgesegError


@contextmanager
def engine_of(bundle: Bundle, what: str) -> Iterator[None]:
    """Raise BundleError for what an engine raises: a hash tells nothing of what a file holds."""
    try:
        yield
    except (EdgesegError, MemoryError):
        raise
    except Exception as fault:
        raise engine_error(bundle, what, fault) from fault


def engine_error(bundle: Bundle, what: str, fault: Exception) -> BundleError:
    """The error for an exception of an engine. `what` it does not do: open, start, run."""
    said = " ".join(str(fault).split())[:300]
    return BundleError(
        f"the engine of {bundle.path} does not {what}: {type(fault).__name__}: {said}",
        expected=f"an engine for {bundle.engine.target}, whole and of this machine",
        hint="copy the bundle again, or make it again on this machine",
    )
