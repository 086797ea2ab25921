"""Can a target be timed on this machine?"""

from __future__ import annotations

from edgeseg.backends import backend_for
from edgeseg.core.ports import Backends
from edgeseg.core.target import Target
from edgeseg.errors import MissingDevice


def require_measurable(target: Target, backends: Backends = backend_for) -> None:
    """Raise MissingDevice, with what to do, for a target that cannot be built and run there."""
    can = backends(target).availability(target)
    if not (can.build and can.run):
        raise MissingDevice(
            f"the latency on {target} cannot be measured here: {can.reason}",
            expected="a target this machine can build and run",
            hint=can.fix or "run `edgeseg targets` to see them",
        )
