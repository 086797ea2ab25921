"""A float16 graph as a float32 one: the same nodes on the same numbers, without rounding between them."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto, numpy_helper

from edgeseg.graph.editor import Editor, attribute, set_attribute
from edgeseg.graph.shapes import with_shapes

_HALF, _FLOAT = TensorProto.FLOAT16, TensorProto.FLOAT


def widened(model: ModelProto) -> ModelProto:
    """Every float16 constant and result as float32: what differs then was not rounded on the way."""
    editor = Editor(model)
    editor.lift_constants()
    for tensor in editor.graph.initializer:
        if tensor.data_type == _HALF:
            value = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    for output in editor.graph.output:
        if output.type.tensor_type.elem_type == _HALF:
            output.type.tensor_type.elem_type = _FLOAT
    for node in editor.graph.node:
        for name in ("to", "dtype", "output_dtype"):
            if attribute(node, name) == _HALF:
                set_attribute(node, name, _FLOAT)
    del editor.graph.value_info[:]
    return with_shapes(editor.finish())
