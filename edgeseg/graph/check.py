"""A graph against where it came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.bundle import Check
from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Size
from edgeseg.errors import GraphError
from edgeseg.graph._edit import shape_of
from edgeseg.graph._run import run, session

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import nn

LARGEST_ERROR = 1e-2
"""Of max |reference|: beyond this a graph is wrong, not merely rounded differently."""
ROUNDING = 1e-5
"""An absolute difference that is never wrong: probabilities may all be close to 0."""
Reference = Callable[[NDArray[np.float32]], Sequence[Array]]


def check_against_torch(
    graph: ModelProto,
    module: nn.Module,
    input_size: Size,
    batch: int,
    inputs: Mapping[str, NDArray[np.float32]],
) -> tuple[Check, ...]:
    """Compare with the torch module, in eval mode, on random values and on `inputs` (kind -> NCHW).

    Raises:
        GraphError: an output differs by more than LARGEST_ERROR.
    """
    import torch
    from torch.utils._pytree import tree_leaves

    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    was_training = module.training
    module.eval()

    def reference(image: NDArray[np.float32]) -> list[Array]:
        with torch.no_grad():
            return [t.cpu().numpy() for t in tree_leaves(module(torch.from_numpy(image).to(device)))]

    try:
        return compare(
            graph, reference, {"random": _noise((batch, 3, *input_size)), **inputs}, against="PyTorch"
        )
    finally:
        module.train(was_training)


def check_against_onnx(
    graph: ModelProto, original: ModelProto, inputs: Mapping[str, NDArray[np.float32]]
) -> tuple[Check, ...]:
    """Compare with the graph as it was before it was rewritten. Raises as `check_against_torch`."""
    opened = session(original)
    source = original.graph.input[0]

    def reference(image: NDArray[np.float32]) -> list[Array]:
        return list(run(opened, {source.name: image}).values())

    shape = tuple(int(d) for d in shape_of(source))
    return compare(graph, reference, {"random": _noise(shape), **inputs}, against="the ONNX file")


def compare(
    graph: ModelProto, reference: Reference, inputs: Mapping[str, NDArray[np.float32]], *, against: str
) -> tuple[Check, ...]:
    """One Check per kind of input: the largest error over all outputs, each relative to its largest value.

    Args:
        reference: takes the input, returns the outputs in the order of the graph.
    """
    opened = session(graph)
    source = graph.graph.input[0].name
    checks = []
    for kind, image in inputs.items():
        found = run(opened, {source: np.ascontiguousarray(image)})
        expected = reference(image)
        errors = [relative_error(a, b) for a, b in zip(found.values(), expected)]
        worst = int(np.argmax(errors))
        absolute = errors[worst] * _largest(expected[worst])
        if not (errors[worst] <= LARGEST_ERROR or absolute <= ROUNDING):
            raise GraphError(
                f"the output '{list(found)[worst]}' of the ONNX graph differs from {against} by "
                f"{errors[worst]:.1e} of its largest value on {kind} input",
                expected=f"at most {LARGEST_ERROR:.0e}",
                hint="report this network: an operator was translated wrongly",
            )
        checks.append(Check(what="ONNX Runtime", against=against, inputs=kind, max_error=errors[worst]))
    return tuple(checks)


def relative_error(found: Array, reference: Array) -> float:
    """Largest |difference| over largest |reference|; infinite for other shapes or NaN on one side only."""
    if found.shape != reference.shape or (np.isnan(found) != np.isnan(reference)).any():
        return float("inf")
    if not reference.size:
        return 0.0
    return float(np.nanmax(np.abs(found.astype(np.float64) - reference))) / _largest(reference)


def _largest(values: Array) -> float:
    return float(np.nanmax(np.abs(values))) or 1.0


def _noise(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(shape, np.float32)
