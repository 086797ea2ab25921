"""Would the ranges of a list hold for images it has not seen? Their values that lie outside, per tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edgeseg.calibration.network import Network
from edgeseg.core.ports import Array, Progress
from edgeseg.errors import GraphError

if TYPE_CHECKING:
    from onnx import ModelProto

    from edgeseg.datasets import Split
    from edgeseg.graph.editor import Editor

OBSERVED = ("Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Concat", "Resize", "AveragePool")
"""Operators whose inputs an int8 graph observes."""

Add = Callable[["Editor", str], None]


class Saturation(msgspec.Struct, frozen=True, kw_only=True):
    """
    Attributes:
        tensor: read by the node `by`.
        low, high: range over the images of the list.
        held_low, held_high: range over the held-out images.
        outside: share of the held-out values outside [low, high].
    """

    tensor: str
    by: str
    low: float
    high: float
    held_low: float
    held_high: float
    outside: float


def saturation(network: Network, listed: Split, held: Split, progress: Progress) -> tuple[Saturation, ...]:
    """Every observed tensor, the worst first. Extremes and shares are computed inside ONNX Runtime.

    Raises:
        GraphError: a tensor is NaN or infinite for an image; both are named.
    """
    readers = _observed(network.graph)
    ranges = _ranges(network, listed, readers, "ranges of the list", progress)
    reach = _ranges(network, held, readers, "ranges of the held-out images", progress)
    outside = _outside(network, held, ranges, progress)
    found = [
        Saturation(
            tensor=name,
            by=readers[name],
            low=ranges[name][0],
            high=ranges[name][1],
            held_low=reach[name][0],
            held_high=reach[name][1],
            outside=outside[name],
        )
        for name in readers
    ]
    return tuple(sorted(found, key=lambda one: -one.outside))


def _observed(model: ModelProto) -> dict[str, str]:
    """Tensor -> the first node that reads it, in the order of the graph; the network's input first."""
    from onnx import TensorProto

    from edgeseg.graph.editor import describe
    from edgeseg.graph.shapes import element_types

    types = element_types(model)
    constants = {t.name for t in model.graph.initializer}
    made = {model.graph.input[0].name, *(n for node in model.graph.node for n in node.output)}
    found: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type == "Constant":
            constants |= set(node.output)
        if node.op_type in OBSERVED:
            for name in node.input:
                if name in made - constants and types.get(name) == TensorProto.FLOAT:
                    found.setdefault(name, describe(node))
    return found


def _ranges(
    network: Network, split: Split, names: Iterable[str], what: str, progress: Progress
) -> dict[str, tuple[float, float]]:
    from onnx import helper

    def extremes(editor: Editor, name: str) -> None:
        for word, kind in (("low", "ReduceMin"), ("high", "ReduceMax")):
            editor.graph.node.append(helper.make_node(kind, [name], [f"{name}/{word}"], keepdims=0))
            _output(editor, f"{name}/{word}")

    lows = dict.fromkeys(names, np.inf)
    highs = dict.fromkeys(names, -np.inf)
    for identity, found in _walk(network, split, names, extremes, what, progress):
        for name in names:
            low, high = float(found[f"{name}/low"]), float(found[f"{name}/high"])
            if not (np.isfinite(low) and np.isfinite(high)):
                raise GraphError(
                    f"the tensor '{name}' holds NaN or infinite values for the image '{identity}'",
                    expected="finite activations",
                    hint="check the weights of the network and its preprocessing",
                )
            lows[name], highs[name] = min(lows[name], low), max(highs[name], high)
    return {name: (lows[name], highs[name]) for name in names}


def _outside(
    network: Network, held: Split, ranges: dict[str, tuple[float, float]], progress: Progress
) -> dict[str, float]:
    from onnx import TensorProto, helper

    def share(editor: Editor, name: str) -> None:
        low, high = (editor.add_initializer(f"{name}/limit", np.array(v, np.float32)) for v in ranges[name])
        tests = (("Less", low, "below"), ("Greater", high, "above"))
        for kind, limit, word in tests:
            editor.graph.node.append(helper.make_node(kind, [name, limit], [f"{name}/{word}"]))
        node = helper.make_node("Or", [f"{name}/below", f"{name}/above"], [f"{name}/out"])
        cast = helper.make_node("Cast", [f"{name}/out"], [f"{name}/count"], to=TensorProto.FLOAT)
        mean = helper.make_node("ReduceMean", [f"{name}/count"], [f"{name}/share"], keepdims=0)
        editor.graph.node.extend((node, cast, mean))
        _output(editor, f"{name}/share")

    sums = dict.fromkeys(ranges, 0.0)
    for _, found in _walk(network, held, ranges, share, "values outside the ranges", progress):
        for name in sums:
            sums[name] += float(found[f"{name}/share"])
    return {name: total / len(held) for name, total in sums.items()}


def _walk(
    network: Network, split: Split, names: Iterable[str], add: Add, what: str, progress: Progress
) -> list[tuple[str, dict[str, Array]]]:
    """Outputs that `add` gives each tensor, image by image: a few numbers each."""
    from edgeseg.graph.editor import Editor
    from edgeseg.graph.reference import run, session

    editor = Editor(network.graph)
    del editor.graph.output[:]
    for name in names:
        add(editor, name)
    opened, split = session(editor.finish(), keep=True), network.seen(split)
    found = []
    for index, identity in enumerate(split.ids):
        progress(what, index, len(split))
        found.append((identity, run(opened, network.feed(split.image(index)))))
    return found


def _output(editor: Editor, name: str) -> None:
    from onnx import TensorProto, helper

    editor.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, []))
