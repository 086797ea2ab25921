"""The first opening of an engine that was just made: what it computes, and what rounding leaves of it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgeseg.backends import backend_for
from edgeseg.core.bundle import Bundle, Check
from edgeseg.core.ports import Backends, OpenSettings
from edgeseg.core.target import Target
from edgeseg.errors import BundleError
from edgeseg.runtime.check import Agreement, Computed, agreement
from edgeseg.runtime.session import Session

GOLDEN = "golden frames"
REFERENCE = "ONNX Runtime, unoptimised"


class WrongEngine(BundleError):
    """An engine that was just made does not give the class maps of its network.

    Attributes:
        computed: how it computes there; all but `rounded`: in float32, so it is not rounding.
    """

    computed: Computed = "rounded"


def prove(
    bundle: Bundle, cache: Path | None, *, full: bool | None = None, backends: Backends = backend_for
) -> tuple[Check, ...]:
    """Open an engine and compare its class maps with the golden ones.

    First at full precision where the engine can run the same file so: what differs there is wrong. Then in
    its own precision, on the pixels that rounding cannot move.

    Args:
        full: whether the engine's own precision is full precision; None: it is if the target is `fp32`.

    Returns:
        A check for each comparison; none for a bundle without golden frames, which is opened all the same.

    Raises:
        WrongEngine: the masks agree less than the bundle promises.
        EdgesegError: what opening raises.
    """
    target = Target.parse(bundle.engine.target)
    own_is_full = target.precision == "fp32" if full is None else full
    in_float32: Computed = "levels" if bundle.manifest.quantization else "stored"
    checks = []
    wide = None if own_is_full else at_full_precision(bundle, backends)
    if wide is not None:
        checks.append(_compared(wide, cache, in_float32, backends))
    checks.append(_compared(bundle, cache, in_float32 if own_is_full else "rounded", backends))
    return tuple(check for check in checks if check is not None)


def at_full_precision(bundle: Bundle, backends: Backends = backend_for) -> Bundle | None:
    """The same engine file, to be run in float32; None where the engine cannot."""
    target = Target.parse(bundle.engine.target)
    wide = msgspec.structs.replace(target, precision="fp32")
    backend = backends(target)
    if backend.graph.precision == "stated" or wide == target or not backend.availability(wide).run:
        return None
    record = msgspec.structs.replace(bundle.engine, target=str(wide))
    return Bundle(bundle.path, msgspec.structs.replace(bundle.manifest, engine=record))


def _compared(bundle: Bundle, cache: Path | None, computed: Computed, backends: Backends) -> Check | None:
    options = OpenSettings(cache=cache, lasting=False)
    with Session(bundle, options, check=False, warm_up=0, backends=backends) as session:
        found = agreement(session.outputs, bundle, computed)
        name = str(session.target)
    if found is None:
        return None
    if not found.passed:
        raise _wrong(name, found, computed)
    return Check(what=name, against=REFERENCE, inputs=GOLDEN, agreement=found.agreement)


def _wrong(name: str, found: Agreement, computed: Computed) -> WrongEngine:
    share = f"{found.agreement:.2%} of {found.pixels} {found.decisions}"
    if found.agreement >= found.limit:
        fault = WrongEngine(
            "the engine computes something else than the network, and not by rounding alone: in float32, as "
            f"{name}, {found.different:.2%} of the pixels get another class than the network gives them",
            expected=f"at most {found.most_different:.2%}",
            hint="build for another engine, and report this network",
        )
    elif computed != "rounded":
        fault = WrongEngine(
            "the engine computes something else than the network, and not by rounding: in float32, as "
            f"{name}, {share} get the class that the network gives them",
            expected=f"at least {found.limit:.2%}",
            hint="build for another engine, and report this network",
        )
    else:
        fault = WrongEngine(
            f"rounding in {name} changes what the network says: {share} whose class rounding should not move "
            "get the class that the network gives them",
            expected=f"at least {found.limit:.2%}",
            hint="build for a target with more precision (fp32), which is checked the same way",
        )
    fault.computed = computed
    return fault
