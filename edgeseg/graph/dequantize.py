"""A graph with int8 levels between its nodes as a float one: the same weights, no rounding on the way."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto

from edgeseg.core.ports import Array
from edgeseg.graph.editor import Editor, attribute


def dequantized(model: ModelProto) -> ModelProto:
    """The graph without its pairs of QuantizeLinear and DequantizeLinear, its weights as their levels say.

    What differs from it then was not rounded to int8. Levels that other nodes read stay, as those that a
    class decision reads.
    """
    editor = Editor(model)
    editor.lift_constants()
    for node in editor.graph.node:
        if node.op_type != "DequantizeLinear" or node.output[0] in editor.pinned:
            continue
        made, constants = editor.producer.get(node.input[0]), [editor.constant(n) for n in node.input]
        if made is not None and made.op_type == "QuantizeLinear":
            editor.replace_reads(node.output[0], made.input[0])
        elif all(value is not None for value in constants) and not attribute(node, "block_size"):
            value = _value(node, *(v for v in constants if v is not None))
            editor.replace_reads(node.output[0], editor.add_initializer(f"{node.output[0]}/value", value))
    return editor.finish()


def _value(node: NodeProto, levels: Array, scale: Array, zero: Array | None = None) -> Array:
    """What DequantizeLinear gives, with the type of its scale."""
    centred = levels.astype(np.int64) - (0 if zero is None else _along(node, levels, zero.astype(np.int64)))
    return np.asarray(centred * _along(node, levels, scale.astype(np.float64)), scale.dtype)


def _along(node: NodeProto, levels: Array, parameter: Array) -> Array:
    """One value, or one for each index of the axis of the node, in a shape that multiplies `levels`."""
    if parameter.size == 1:
        return parameter.reshape(())
    shape = [1] * levels.ndim
    shape[attribute(node, "axis", 1)] = -1  # type: ignore[call-overload]
    return parameter.reshape(shape)
