"""Where an engine leaves its network: the results of its nodes beside those of the graph it was made from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper

from edgeseg.backends import backend_for
from edgeseg.core.bundle import Bundle, EngineRecord
from edgeseg.core.ports import Array, Backends, BuildSettings, OpenSettings, own
from edgeseg.core.target import Target
from edgeseg.core.whole import Scratch
from edgeseg.device.build import make_engine
from edgeseg.errors import EdgesegError
from edgeseg.graph.dequantize import dequantized
from edgeseg.graph.editor import Editor, describe
from edgeseg.graph.reference import run, session
from edgeseg.graph.shapes import element_types, static_shapes
from edgeseg.graph.widen import widened
from edgeseg.runtime.check import Computed, golden_frames
from edgeseg.runtime.frames import for_engine

DIFFERENT = 0.1
"""Root mean square of a difference over that of the values: beyond rounding, even through int8."""
PART_BYTES = 256 << 20
"""Results that are looked at together."""


def first_difference(bundle: Bundle, computed: Computed, backends: Backends = backend_for) -> str:
    """A sentence that names the first node whose result differs by DIFFERENT, or the one that differs most.

    The engine is built anew with these results as outputs, so what it fuses may change.

    Args:
        computed: all but `rounded`: compare in float32 where the engine can.
    """
    golden, record = golden_frames(bundle), bundle.engine
    if golden is None:
        return ""
    model = onnx.load(str(bundle.file(record.graph)))
    exact = widened(model)
    if computed == "stored":
        exact = dequantized(exact)
    target = Target.parse(record.target)
    wide = msgspec.structs.replace(target, precision="fp32")
    if computed != "rounded" and backends(target).availability(wide).run:
        model, target = exact, wide
    frames = np.resize(golden.frames, (record.batch, *golden.frames.shape[1:]))
    worst = (0.0, "")
    try:
        for nodes in _parts(model):
            wanted = [node.output[0] for node in nodes]
            found = _in_engine(_returning(model, wanted), target, record, frames, backends)
            expected = run(session(_returning(exact, wanted)), {model.graph.input[0].name: frames})
            for node in nodes:
                error = _error(found[node.output[0]], expected[node.output[0]])
                if error > DIFFERENT:
                    return f"The first node that differs is {describe(node)}, by {error:.0%} of its values"
                worst = max(worst, (error, describe(node)))
    except EdgesegError as fault:
        return f"Its nodes cannot be compared one by one: {fault.message}"
    return (
        f"No node differs by more than {worst[0]:.1%} of its values ({worst[1]}) once the engine returns "
        "them all, so it is in what the engine fuses or in the class decision"
    )


def _parts(model: ModelProto) -> Iterator[Sequence[NodeProto]]:
    """Nodes that compute floats, in the order of the graph, in groups of PART_BYTES of results."""
    types, shapes = element_types(model), static_shapes(model)
    part: list[NodeProto] = []
    size = 0
    for node in model.graph.node:
        name = next(iter(node.output), "")
        if types.get(name) not in (TensorProto.FLOAT, TensorProto.FLOAT16) or name not in shapes:
            continue
        part.append(node)
        size += 4 * math.prod(shapes[name])
        if size > PART_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _returning(model: ModelProto, names: Sequence[str]) -> ModelProto:
    """The graph with these results as its outputs."""
    editor = Editor(model)
    types, shapes = element_types(model), static_shapes(model)
    del editor.graph.output[:]
    editor.graph.output.extend(helper.make_tensor_value_info(n, types[n], shapes[n]) for n in names)
    return editor.finish()


def _in_engine(
    model: ModelProto, target: Target, record: EngineRecord, frames: Array, backends: Backends
) -> dict[str, Array]:
    with Scratch() as place:
        onnx.save(model, str(place / record.graph))
        record = msgspec.structs.replace(record, target=str(target))
        built, _ = make_engine(record, place, BuildSettings(), backends=backends)
        engine = backends(target).open(place / built.entry, built, OpenSettings())
        try:
            request = engine.request()
            request.write({engine.inputs[0].name: for_engine(frames, engine.inputs[0])})
            request.execute()
            return own(request.read())
        finally:
            engine.close()


def _error(found: Array, expected: Array) -> float:
    difference = found.astype(np.float64) - expected
    if not np.isfinite(difference).all():
        return math.inf
    size = float(np.sqrt(np.mean(np.square(expected, dtype=np.float64))))
    return float(np.sqrt(np.mean(np.square(difference)))) / (size or 1.0)
