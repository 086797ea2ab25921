"""Convolutions with constants of their own, which a rewrite may scale channel by channel."""

from __future__ import annotations

import numpy as np
from onnx import NodeProto, numpy_helper

from edgeseg.core.ports import Array
from edgeseg.graph.editor import Editor
from edgeseg.quantization.ranges.channels import Vector


def is_layer(editor: Editor, node: NodeProto) -> bool:
    """A convolution whose weight and bias are constants that nobody else reads."""
    if node.op_type != "Conv":
        return False
    constants = [name for name in node.input[1:] if name]
    return all(name in editor.initializers and len(editor.consumers[name]) == 1 for name in constants)


def constant(editor: Editor, name: str) -> Array:
    value = editor.constant(name)
    assert value is not None
    return value


def overwrite(editor: Editor, name: str, value: Array) -> None:
    """A new value for an initialiser, under its name."""
    editor.initializers[name].CopyFrom(numpy_helper.from_array(value.astype(np.float32), name))


def scale_rows(editor: Editor, node: NodeProto, factors: Vector) -> None:
    """Multiply what a layer returns by [channels]: its weight and its bias."""
    for name in filter(None, node.input[1:]):
        value = constant(editor, name)
        overwrite(editor, name, value * factors.reshape(-1, *[1] * (value.ndim - 1)))


def shift_rows(editor: Editor, node: NodeProto, amounts: Vector) -> None:
    """Add [channels] to what a layer returns; a layer without a bias gets one."""
    if len(node.input) > 2 and node.input[2]:
        overwrite(editor, node.input[2], constant(editor, node.input[2]) + amounts)
        return
    del node.input[2:]
    node.input.append(editor.add_initializer(f"{node.name}/bias", amounts.astype(np.float32)))
