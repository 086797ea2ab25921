"""A graph typed in float16 as a device with fp16 arithmetic computes it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from onnx import ModelProto, NodeProto, TensorProto, helper

from edgeseg.core.ports import Array
from edgeseg.errors import GraphError
from edgeseg.graph.editor import Editor
from edgeseg.graph.fp16 import measure_maxima
from edgeseg.graph.shapes import element_types
from edgeseg.graph.widen import widened


def rounded_to_half(model: ModelProto) -> ModelProto:
    """The graph in float32, with each fp16 tensor rounded to fp16 behind the node that makes it.

    ONNX Runtime computes fp16 in float32 on a CPU and removes the casts between: what overflows or vanishes
    on a GPU does not show there.
    """
    half = {name for name, dtype in element_types(model).items() if dtype == TensorProto.FLOAT16}
    editor = Editor(widened(model))
    nodes: list[NodeProto] = []
    for node in editor.graph.node:
        nodes.append(node)
        for index, name in enumerate(node.output):
            if name in half:
                node.output[index], short = editor.unique(f"{name}/exact"), editor.unique(f"{name}/fp16")
                nodes.append(helper.make_node("Cast", [node.output[index]], [short], to=TensorProto.FLOAT16))
                nodes.append(helper.make_node("Cast", [short], [name], to=TensorProto.FLOAT))
    del editor.graph.value_info[:]
    editor.keep_nodes(nodes)
    return editor.finish()


def check_half(half: ModelProto, maxima: Mapping[str, float], feeds: Iterable[Mapping[str, Array]]) -> None:
    """Run a graph typed in fp16 as `rounded_to_half`, and refuse NaN and infinity where float32 has none.

    Args:
        maxima: from `measure_maxima` of the float32 graph on the same feeds.

    Raises:
        GraphError: names the node where it begins.
    """
    found = measure_maxima(rounded_to_half(half), feeds)
    makers = {name: node for node in half.graph.node for name in node.output}
    for name, largest in found.items():
        if name in makers and math.isinf(largest) and math.isfinite(maxima.get(name, math.inf)):
            node = makers[name]
            raise GraphError(
                f"{node.op_type} '{node.name}' gives NaN or infinity in fp16, "
                f"in fp32 at most {maxima[name]:.3g}",
                expected="finite values on the images given and on black and white ones",
                hint="build for fp32 or bf16, or scale the values of this node in the network",
            )
