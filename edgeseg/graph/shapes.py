"""Shapes and types of all tensors of a graph."""

from __future__ import annotations

import math

import onnx
from onnx import GraphProto, ModelProto, TensorProto, helper

from edgeseg.errors import GraphError
from edgeseg.graph.editor import MAX_IR, name_nodes, shape_of
from edgeseg.graph.reference import first_line

LARGE = 1 << 10
"""Elements beyond which no tensor says what shape another has."""


def with_shapes(model: ModelProto) -> ModelProto:
    """The same model, now with inferred shapes, unique node names and an IR version engines read.

    Raises:
        GraphError: shapes contradict each other.
    """
    del model.graph.value_info[:]
    try:
        found = _inferred(model)
    except onnx.shape_inference.InferenceError as fault:
        raise GraphError(f"the shapes of the graph contradict each other: {first_line(fault)}") from fault
    graph = model.graph
    graph.value_info.extend(found.value_info)
    for output, known in zip(graph.output, found.output):
        output.CopyFrom(known)
    name_nodes(graph)
    model.ir_version = min(model.ir_version, MAX_IR)
    return model


def static_shapes(model: ModelProto) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors whose dimensions are known."""
    found = _inferred(model)
    shapes: dict[str, tuple[int, ...]] = {t.name: tuple(t.dims) for t in model.graph.initializer}
    for value in (*found.input, *found.value_info, *found.output):
        shape = shape_of(value)
        if value.type.tensor_type.HasField("shape") and all(isinstance(d, int) for d in shape):
            shapes[value.name] = tuple(int(d) for d in shape)
    return shapes


def element_types(model: ModelProto) -> dict[str, int]:
    """TensorProto data type of all tensors that shape inference knows."""
    found = _inferred(model)
    types: dict[str, int] = {t.name: t.data_type for t in model.graph.initializer}
    for value in (*found.input, *found.value_info, *found.output):
        if value.type.HasField("tensor_type") and value.type.tensor_type.elem_type != TensorProto.UNDEFINED:
            types[value.name] = value.type.tensor_type.elem_type
    return types


def _inferred(model: ModelProto) -> GraphProto:
    """The graph with a type for each tensor. Weights are inputs of their shape in it: their values say
    nothing, and shape inference would copy them."""
    given = model.graph
    bare = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    graph = bare.graph
    graph.name = given.name
    for field in ("node", "input", "output", "value_info", "sparse_initializer"):
        getattr(graph, field).extend(getattr(given, field))
    inputs = {value.name for value in given.input}
    for tensor in given.initializer:
        if math.prod(tensor.dims) <= LARGE:
            graph.initializer.add().CopyFrom(tensor)
        elif tensor.name not in inputs:
            graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return onnx.shape_inference.infer_shapes(bare, data_prop=True).graph
