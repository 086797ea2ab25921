"""Do the engines have the operators of a network? Asked before anything is calibrated, trained or built."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
from onnx import ModelProto

from edgeseg.backends import backend_for
from edgeseg.core.ports import Backends, ChecksOperators
from edgeseg.core.target import Target
from edgeseg.graph.engine_graph import rewritten
from edgeseg.graph.opsets import to_opset


def require_accepted(network: ModelProto, targets: Iterable[str], backends: Backends = backend_for) -> None:
    """Raise what the build would raise, for each engine that is installed and tells without building.

    Args:
        network: static, float32.

    Raises:
        UnsupportedOperator: names the operator and its node.
        GraphError: an engine that cannot read the graph.
    """
    engines = {target.engine: target for target in map(Target.parse, targets)}
    for target in engines.values():
        backend = backends(target)
        if isinstance(backend, ChecksOperators) and backend.availability(target).build:
            with TemporaryDirectory(prefix="edgeseg-operators-") as folder:
                file = Path(folder) / "network.onnx"
                form = to_opset(rewritten(network, backend), backend.graph.opset)
                onnx.save(form, str(file))
                backend.check(file, target)
