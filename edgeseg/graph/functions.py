"""Functions written out as the operators they consist of: those of a file, and those an opset defines."""

from __future__ import annotations

import onnx
from onnx import ModelProto, NodeProto, helper, inliner

from edgeseg.graph.editor import Editor, all_nodes, set_attribute
from edgeseg.graph.shapes import element_types, with_shapes


def without_functions(model: ModelProto) -> ModelProto:
    """The model with the bodies of its own functions in their place, so that each operator can be seen."""
    return inliner.inline_local_functions(model) if model.functions else model


def without_cast_like(model: ModelProto) -> ModelProto:
    """The model with Cast for CastLike, which onnxsim does not fold: torch writes scalars as CastLike of an
    activation."""
    editor = Editor(model)
    types = element_types(model)
    for node in editor.graph.node:
        if node.op_type == "CastLike" and (dtype := types.get(node.input[1])):
            node.op_type = "Cast"
            del node.input[1]
            set_attribute(node, "to", dtype)
    return editor.model


def without_newer(model: ModelProto, opset: int) -> ModelProto:
    """The model with those operators written out that `opset` does not have and a newer one defines
    by others.

    RMSNormalization (opset 23) and Swish (24) are such, and Gelu (20) for TensorRT. Operators that no other
    defines stay.
    """
    if not any(_is_newer(node, opset) for node in all_nodes(model.graph)):
        return model
    editor = Editor(model)
    newer = [node for node in all_nodes(editor.graph) if _is_newer(node, opset)]
    for node in newer:
        _state_defaults(node)
    known = {value.name for value in (*editor.graph.input, *editor.graph.value_info)}
    weights = [tensor for tensor in editor.graph.initializer if tensor.name not in known]
    types = [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in weights]
    editor.graph.value_info.extend(types)  # from nowhere else the inliner takes the types of weights
    chosen = [("", name) for name in sorted({node.op_type for node in newer})]
    result = inliner.inline_selected_functions(editor.model, chosen, inline_schema_functions=True)
    return with_shapes(without_cast_like(result))


def _is_newer(node: NodeProto, opset: int) -> bool:
    if node.domain:
        return False
    try:
        onnx.defs.get_schema(node.op_type, opset)
    except onnx.defs.SchemaError:
        return True
    return False


def _state_defaults(node: NodeProto) -> None:
    """The inliner does not know the defaults of attributes."""
    stated = {attribute.name for attribute in node.attribute}
    for name, known in onnx.defs.get_schema(node.op_type).attributes.items():
        if name not in stated and known.default_value.type:
            node.attribute.append(known.default_value)
