"""Frames of 16 bits for an engine that has no such integers: it takes their bytes."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto, helper

from edgeseg.core.ports import Array
from edgeseg.graph.deploy import FRAMES
from edgeseg.graph.editor import Editor, shape_of
from edgeseg.graph.shapes import with_shapes
from edgeseg.graph.writer import Writer

PREFIX = "preprocess/bytes/"


def joined_bytes(deploy: ModelProto) -> ModelProto:
    """The same deploy graph with `frames` as uint8 instead of uint16, the last axis twice as long: each value
    as two bytes, the low one first, joined in float32, which holds every one of them exactly."""
    editor = Editor(deploy)
    shape = [int(side) for side in shape_of(editor.graph.input[0])]
    (reader,) = [node for node in editor.graph.node if FRAMES in node.input]
    write = Writer(editor, PREFIX)
    values = write.op("Cast", "float", [FRAMES], to=TensorProto.FLOAT)
    places, last = range(0, 2 * shape[-1], 2), len(shape) - 1
    low = write.op("Gather", "low", [values, write.integers("low_places", places)], axis=last)
    high = write.op(
        "Gather", "high", [values, write.integers("high_places", [place + 1 for place in places])], axis=last
    )
    weight = write.constant("weight", np.array(256.0, np.float32))
    write.op("Add", "joined", [low, write.op("Mul", "raised", [high, weight])])
    write.nodes[-1].output[0] = reader.output[0]
    twice = [*shape[:-1], 2 * shape[-1]]
    del editor.graph.input[:]
    editor.graph.input.append(helper.make_tensor_value_info(FRAMES, TensorProto.UINT8, twice))
    editor.keep_nodes([*write.nodes, *(node for node in editor.graph.node if node is not reader)])
    return with_shapes(editor.finish())


def as_input(deploy: ModelProto, frames: Array) -> Array:
    """Frames as a deploy graph takes them: their bytes where it joins those."""
    bytes_of = deploy.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
    return np.ascontiguousarray(frames).view(np.uint8) if bytes_of else frames
