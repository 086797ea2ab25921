"""A graph against where it came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.bundle import Check
from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Preprocess, Shape, Size
from edgeseg.errors import GraphError
from edgeseg.graph.editor import shape_of
from edgeseg.graph.reference import run, session
from edgeseg.runtime.frames import frame_size
from edgeseg.runtime.preprocess import preprocess

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import nn

LARGEST_ERROR = 1e-2
"""Of max |reference|: beyond this a graph is wrong, not merely rounded differently."""
ROUNDING = 1e-5
"""An absolute difference that is never wrong: probabilities may all be close to 0."""
NUDGE = 2.0**-20
"""A change of the input, relative and absolute, that no sound output follows: some bits of a float32."""

Reference = Callable[[NDArray[np.float32]], Sequence[Array]]


def check_images(
    frames: Array, kind: str, contract: Preprocess, input_size: Size
) -> dict[str, NDArray[np.float32]]:
    """Inputs [N,C,*input_size] by kind: the frames [N,...], black and white ones, `constant` (zero, the
    mean colour of most contracts), and `out of range`: pixels from minus the full value to twice it."""
    full = contract.frame.full
    of_images = contract.of_images
    flat = of_images.frame.shape(len(frames), *frame_size(frames, contract.frame))
    black, white = (np.full(flat, value, contract.frame.dtype) for value in (0, full))
    multiplier, offset = (np.array(v, np.float32)[:, None, None] for v in contract.affine())
    shape = (len(frames), contract.channels, *input_size)
    pixels = np.random.default_rng(1).uniform(-full, 2 * full, shape).astype(np.float32)
    return {
        kind: preprocess(frames, contract, input_size),
        "black": preprocess(black, of_images, input_size),
        "white": preprocess(white, of_images, input_size),
        "constant": np.zeros(shape, np.float32),
        "out of range": pixels * multiplier + offset,
    }


def check_against_torch(
    graph: ModelProto,
    module: nn.Module,
    shape: Shape,
    batch: int,
    inputs: Mapping[str, NDArray[np.float32]],
) -> tuple[Check, ...]:
    """Compare with the torch module, in eval mode, on random values and on `inputs` (kind -> NCHW).

    Raises:
        GraphError: an output differs by more than LARGEST_ERROR, or from run to run.
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
        return compare(graph, reference, {"random": _noise((batch, *shape)), **inputs}, against="PyTorch")
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

    What the last bits of the input decide in the reference itself, as noise over its own deviation in a flat
    picture, is not compared; a kind of input where nothing else is left has no Check.

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
        if not _accepted(errors[worst], expected[worst]):
            _require_repeatable(reference, image, expected, kind)
        if np.isfinite(errors[worst]) and not _accepted(errors[worst], expected[worst]):
            settled = _settled(reference, image, expected)
            if not any(mask.any() for mask in settled):
                continue
            errors = [
                relative_error(np.where(mask, a, b), b)
                for mask, a, b in zip(settled, found.values(), expected)
            ]
            worst = int(np.argmax(errors))
        if not _accepted(errors[worst], expected[worst]):
            raise GraphError(
                f"the output '{list(found)[worst]}' of the ONNX graph differs from {against} by "
                f"{errors[worst]:.1e} of its largest value on {kind} input",
                expected=f"at most {LARGEST_ERROR:.0e}",
                hint="report this network: an operator was translated wrongly",
            )
        checks.append(Check(what="ONNX Runtime", against=against, inputs=kind, max_error=errors[worst]))
    return tuple(checks)


def _require_repeatable(
    reference: Reference, image: NDArray[np.float32], expected: Sequence[Array], kind: str
) -> None:
    """
    Raises:
        GraphError: the reference gives something else when it is run on the same input again.
    """
    if all(_accepted(relative_error(a, b), b) for a, b in zip(reference(image), expected)):
        return
    raise GraphError(
        f"the network gives another output each time it is run on the same {kind} input",
        expected="a network that chance does not change in evaluation mode",
        hint="dropout takes training=self.training (F.dropout is always on without it), and forward draws no "
        "random numbers",
    )


def relative_error(found: Array, reference: Array) -> float:
    """Largest |difference| over largest |reference|, of finite values; infinite for other shapes, or NaN or
    infinity on one side only."""
    if found.shape != reference.shape:
        return float("inf")
    finite = np.isfinite(found) & np.isfinite(reference)
    if not np.array_equal(found[~finite], reference[~finite], equal_nan=True):
        return float("inf")
    apart = np.abs(found[finite].astype(np.float64) - reference[finite])
    return float(apart.max(initial=0.0)) / _largest(reference)


def _accepted(error: float, reference: Array) -> bool:
    return error <= LARGEST_ERROR or error * _largest(reference) <= ROUNDING


def _settled(
    reference: Reference, image: NDArray[np.float32], expected: Sequence[Array]
) -> list[NDArray[np.bool_]]:
    """Where each output of the reference stays when the input moves by NUDGE."""
    rng = np.random.default_rng(0)
    factors, shifts = rng.uniform(-NUDGE, NUDGE, (2, *image.shape)).astype(np.float32)
    moved = reference(image * (1 + factors) + shifts)
    return [np.abs(a - b) <= LARGEST_ERROR * _largest(b) for a, b in zip(moved, expected)]


def _largest(values: Array) -> float:
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max(initial=0.0)) or 1.0


def _noise(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(shape, np.float32)
