"""A graph against where it came from, and the golden frames of a bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.bundle import Check
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Placement, Size
from edgeseg.errors import GraphError
from edgeseg.graph._edit import shape_of
from edgeseg.graph._run import run, session
from edgeseg.runtime.preprocess import preprocess
from edgeseg.runtime.resize import bilinear, nearest

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import nn

LARGEST_ERROR = 1e-2
"""Of max |reference|: beyond this a graph is wrong, not merely rounded differently."""
ROUNDING = 1e-5
"""An absolute difference that is never wrong: probabilities may all be close to 0."""
SURE_MARGIN = 0.02
"""Of max |score|: a pixel counts in the self-check when its two best scores lie further apart."""
INT8_MARGIN = 0.05
"""The same of an int8 graph, where a rounding of bf16 becomes one of a whole int8 level further on."""

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


def golden(
    deploy: ModelProto,
    plain: ModelProto,
    spec: ModelSpec,
    frames: NDArray[np.uint8],
    margin: float = SURE_MARGIN,
) -> dict[str, Array]:
    """What the deploy graph gives for `frames` in ONNX Runtime, and where it is sure.

    Returns:
        `frames` uint8 [N,H,W,3], `class_map` uint8 [N,H,W], `sure` bool [N,H,W]: see `sure_pixels`.
    """
    class_map = run(session(deploy), {deploy.graph.input[0].name: frames})["class_map"]
    image = preprocess(frames, spec.preprocess, spec.input_size)
    outputs = run(session(plain), {plain.graph.input[0].name: image})
    scores = outputs[spec.postprocess.output or next(iter(outputs))]
    place = spec.preprocess.place((frames.shape[1], frames.shape[2]), spec.input_size)
    return {"frames": frames, "class_map": class_map, "sure": sure_pixels(scores, spec, place, margin)}


def sure_pixels(
    scores: NDArray[np.float32], spec: ModelSpec, place: Placement, margin: float = SURE_MARGIN
) -> NDArray[np.bool_]:
    """bool [N,*place.frame]: pixels that rounding cannot move to another class.

    The two best scores, or every score and its threshold, lie further apart than `margin` of
    the largest |score|.
    """
    if scores.shape[2:] != place.input:
        scores = bilinear(scores, place.input)
    (top, bottom), (left, right) = place.window
    scores = scores[:, :, top:bottom, left:right]
    if spec.postprocess.upsample == "scores":
        scores = bilinear(scores, place.frame)
    if spec.task == "semantic" and scores.shape[1] > 1:
        best = np.partition(scores, -2, axis=1)[:, -2:]
        apart = best[:, 1] - best[:, 0]
    else:
        apart = np.abs(scores - np.float32(spec.postprocess.score_threshold())).min(axis=1)
    sure: NDArray[np.bool_] = apart > margin * float(np.abs(scores).max())
    return nearest(sure, place.frame)


def _noise(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(shape, np.float32)
