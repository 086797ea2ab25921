"""What a graph holds: operators, parameters, multiply-accumulates, bytes, layer by layer."""

from __future__ import annotations

import math
from collections import Counter

import msgspec
from onnx import ModelProto, NodeProto, TensorProto, helper

from edgeseg.graph.editor import attribute, opset_of
from edgeseg.graph.shapes import element_types, static_shapes

Shapes = dict[str, tuple[int, ...]]


class LayerRow(msgspec.Struct, frozen=True, kw_only=True):
    """One node.

    Attributes:
        shape: of its first output; empty when unknown.
        parameters: values of the floating point initialisers it reads.
        macs: multiply-accumulates of convolutions and matrix products; 0 for the rest.
        dtype: of its first output.
    """

    name: str
    op: str
    shape: tuple[int, ...]
    parameters: int
    macs: int
    dtype: str


class GraphInfo(msgspec.Struct, frozen=True, kw_only=True):
    """
    Attributes:
        operators: how often each occurs, most frequent first.
        parameters: values of the floating point initialisers, shared ones once.
        macs: of Conv, ConvTranspose, Gemm and MatMul.
        size_bytes: of the initialisers as stored.
    """

    opset: int
    operators: dict[str, int]
    parameters: int
    macs: int
    size_bytes: int
    layers: tuple[LayerRow, ...]


def graph_info(model: ModelProto) -> GraphInfo:
    """Count a static graph."""
    shapes, types = static_shapes(model), element_types(model)
    weights = {t.name: math.prod(t.dims) for t in model.graph.initializer if _is_float(t.data_type)}
    rows = tuple(_row(node, shapes, types, weights) for node in model.graph.node)
    return GraphInfo(
        opset=opset_of(model),
        operators=dict(Counter(n.op_type for n in model.graph.node).most_common()),
        parameters=sum(weights.values()),
        macs=sum(row.macs for row in rows),
        size_bytes=sum(_bytes(t) for t in model.graph.initializer),
        layers=rows,
    )


def macs(node: NodeProto, shapes: Shapes) -> int:
    """Multiply-accumulates of a node; 0 where it has none or its shapes are unknown."""
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return 0
    first, second, out = (shapes.get(n) for n in (node.input[0], node.input[1], node.output[0]))
    if first is None or second is None or out is None:
        return 0
    if node.op_type == "Conv":
        return math.prod(out) * math.prod(second[1:])
    if node.op_type == "ConvTranspose":
        return math.prod(first) * math.prod(second[1:])
    inner = first[0] if node.op_type == "Gemm" and attribute(node, "transA", 0) else first[-1]
    return math.prod(out) * inner


def _row(node: NodeProto, shapes: Shapes, types: dict[str, int], weights: dict[str, int]) -> LayerRow:
    output = next(iter(node.output), "")
    return LayerRow(
        name=node.name or output,
        op=node.op_type,
        shape=shapes.get(output, ()),
        parameters=sum(weights.get(name, 0) for name in node.input),
        macs=macs(node, shapes),
        dtype=dtype_name(types.get(output, TensorProto.UNDEFINED)),
    )


def dtype_name(dtype: int) -> str:
    """NumPy name of a TensorProto data type; empty when unknown."""
    return "" if dtype == TensorProto.UNDEFINED else helper.tensor_dtype_to_np_dtype(dtype).name


def _is_float(dtype: int) -> bool:
    return dtype in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


def _bytes(tensor: TensorProto) -> int:
    return math.prod(tensor.dims) * int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
