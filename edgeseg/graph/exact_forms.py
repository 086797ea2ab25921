"""Forms of what decides about things (`core.deciding`) that OpenVINO compiles as they are.

Layers that are marked stay float32 there. Where it replaces a layer by another one (Squeeze by Reshape,
neighbouring Slices by Split), the mark is lost, and coordinates of boxes are rounded to 16 bits.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper

from edgeseg.graph.deciding import deciding_nodes
from edgeseg.graph.editor import Editor
from edgeseg.graph.shapes import element_types, static_shapes, with_shapes

_SHAPED = ("Squeeze", "Unsqueeze", "Flatten")


def exact_forms(model: ModelProto) -> ModelProto:
    """The same graph, with Reshape for Squeeze and Unsqueeze and Gather for Slice of one axis among the nodes
    that decide about things. A graph without such nodes is returned as it is.

    Args:
        model: static and simplified.
    """
    editor = Editor(model)
    wanted = deciding_nodes(editor)
    if not wanted:
        return model
    shapes, types = static_shapes(model), element_types(model)
    nodes: list[NodeProto] = []
    for node in editor.graph.node:
        result = node.output[0]
        if result not in wanted or types.get(result) != TensorProto.FLOAT:
            nodes.append(node)
        elif node.op_type in _SHAPED and result in shapes:
            shape = editor.add_initializer(f"{result}/shape", np.array(shapes[result], np.int64))
            nodes.append(helper.make_node("Reshape", [node.input[0], shape], [result], name=node.name))
        elif node.op_type == "Slice" and (taken := _taken(editor, node, shapes)):
            axis, places = taken
            index = editor.add_initializer(f"{result}/index", places)
            nodes.append(
                helper.make_node("Gather", [node.input[0], index], [result], name=node.name, axis=axis)
            )
        else:
            nodes.append(node)
    editor.keep_nodes(nodes)
    return with_shapes(editor.finish())


def _taken(
    editor: Editor, node: NodeProto, shapes: dict[str, tuple[int, ...]]
) -> tuple[int, np.ndarray] | None:
    """The axis that a Slice cuts, and the places it takes there; None for more than one axis."""
    bounds = [editor.constant(name) if name else None for name in node.input[1:]]
    source = shapes.get(node.input[0])
    if source is None or len(bounds) < 3 or any(b is None or b.size != 1 for b in bounds):
        return None
    start, end, axis, *step = (int(b.reshape(-1)[0]) for b in bounds if b is not None)
    places = np.arange(source[axis], dtype=np.int64)[start : end : step[0] if step else 1]
    return axis % len(source), places
