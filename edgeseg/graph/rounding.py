"""A graph whose numbers have fewer bits: what rounding alone does to its results."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edgeseg.core.ports import Array
from edgeseg.graph.editor import Editor, captured
from edgeseg.graph.shapes import element_types

_FLOAT = TensorProto.FLOAT
_EXACT = frozenset({
    "DequantizeLinear", "Relu", "MaxPool", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze",
    "Concat", "Slice", "Split", "Gather", "Expand", "Tile", "Identity", "DepthToSpace", "SpaceToDepth",
    "Neg", "Abs",
})  # fmt: skip
"""Operators whose results are numbers they were given: already rounded, or levels of an int8 grid."""

HUGE = 2.0**100
"""Numbers beyond stay as they are: times 2 ** 24 they would be infinite."""


def rounded(model: ModelProto, bits: int, *, but: str = "") -> ModelProto:
    """The same graph, which rounds its weights and the result of each node to `bits` significant bits.

    Rounding is that of T. J. Dekker (1971, https://doi.org/10.1007/BF01397083), in float32, for any exponent:
    8 bits are those of bfloat16, 11 those of float16. Run it without optimisations.

    Args:
        but: an output that is left as it is, if no node reads it, for `round_to` to round: in the graph that
            takes three times its memory.
    """
    editor = Editor(model)
    editor.lift_constants()
    types = element_types(model)
    left = "" if editor.consumers.get(but) else but
    inner = {name for node in editor.graph.node for name in captured(node)}
    splitter = editor.add_initializer("rounding/splitter", np.array(2.0 ** (24 - bits) + 1, np.float32))
    limits = [
        editor.add_initializer(f"rounding/{sign}", np.array(sign * HUGE, np.float32)) for sign in (-1, 1)
    ]
    huge = any(_reaches(tensor) for tensor in editor.graph.initializer)
    for node in editor.graph.node:
        if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            for name in node.input[1:2]:
                if name in editor.initializers and types[name] == _FLOAT:
                    _round_weights(editor, name, bits)
    nodes = []
    read: dict[str, str] = {}
    for node in editor.graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = read.get(name, name)
        nodes.append(node)
        if node.op_type in _EXACT:
            continue
        for index, name in enumerate(node.output):
            if types.get(name) != _FLOAT or name in inner or name == left:
                continue
            source, result = name, editor.unique(f"{name}/rounded")
            if name in editor.pinned:
                source, result = editor.unique(f"{name}/exact"), name
                node.output[index] = source
            else:
                read[name] = result
            large, rest = (editor.unique(f"{name}/{part}") for part in ("large", "rest"))
            factor = source
            if huge:
                factor = editor.unique(f"{name}/limited")
                nodes.append(helper.make_node("Clip", [source, *limits], [factor]))
            nodes += [
                helper.make_node("Mul", [factor, splitter], [large]),
                helper.make_node("Sub", [large, source], [rest]),
                helper.make_node("Sub", [large, rest], [result]),
            ]
    del editor.graph.value_info[:]
    editor.keep_nodes(nodes)
    return editor.finish()


def _reaches(tensor: TensorProto) -> bool:
    """Whether a constant holds a number that cannot be rounded: the least float, where nothing counts."""
    if tensor.data_type != _FLOAT or tensor.name.startswith("rounding/"):
        return False
    return bool(np.abs(numpy_helper.to_array(tensor)).max(initial=0) > HUGE)


def round_to(values: Array, bits: int, out: Array | None = None) -> Array:
    """float32 values with `bits` significant bits.

    Args:
        out: float32, to be written to; may be `values`.
    """
    large = values * np.float32(2.0 ** (24 - bits) + 1)
    rest = np.subtract(large, values, out=out)
    return np.asarray(np.subtract(large, rest, out=out), np.float32)


def _round_weights(editor: Editor, name: str, bits: int) -> None:
    tensor = editor.initializers[name]
    tensor.CopyFrom(numpy_helper.from_array(round_to(numpy_helper.to_array(tensor), bits), name))


def half_weights(model: ModelProto, names: Collection[str] | None = None) -> ModelProto:
    """The graph with constants that were stored as float16: those in `names`, or all."""
    editor = Editor(model)
    editor.lift_constants()
    for tensor in editor.graph.initializer:
        if tensor.data_type == _FLOAT and (names is None or tensor.name in names):
            with np.errstate(over="ignore"):
                value = numpy_helper.to_array(tensor).astype(np.float16).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    return editor.model
