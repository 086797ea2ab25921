"""Nearest 2x upsampling before a 3x3 convolution becomes part of it, as a transposed convolution.

Of the nine values a 3x3 window reads from an upsampled map only four differ, so the same sums are a 4x4
transposed convolution of stride 2 on the small map: 4 multiply-accumulates an output instead of 9, and the
large map is never written. Where a Concat joins upsampled and other maps, as in a U-Net decoder, the
convolution is split by input channels and the parts are added. Equal up to the order of summation.

Engines differ in whether this pays (`docs/decisions.md`): `Backend.graph.rewrites` says so.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, helper

from edgeseg.core.ports import Array
from edgeseg.graph.editor import Editor, attribute, ints
from edgeseg.graph.shapes import static_shapes, with_shapes

_DOUBLES = {("asymmetric", "floor")} | {
    (coordinates, rounding)
    for coordinates in ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric")
    for rounding in ("round_prefer_floor", "round_prefer_ceil")
}
"""Coordinate and rounding modes under which a nearest Resize by 2 repeats every pixel twice."""


def merge_upsampling(model: ModelProto) -> ModelProto:
    """Rewrite every Resize (-> Concat) -> Conv where it is exact; other nodes stay.

    Args:
        model: static and simplified.
    """
    editor = Editor(model)
    shapes = static_shapes(model)
    nodes: list[NodeProto] = []
    for node in editor.graph.node:
        nodes.extend(_merged(editor, node, shapes) or [node])
    editor.keep_nodes(nodes)
    return with_shapes(editor.finish())


def _merged(editor: Editor, conv: NodeProto, shapes: dict[str, tuple[int, ...]]) -> list[NodeProto] | None:
    """What replaces `conv`; None when it reads nothing upsampled, or the rewrite would not be exact."""
    weight = _plain_3x3(editor, conv)
    if weight is None or (joined := _joined(editor, conv)) is None:
        return None
    small = {name: _doubled(editor, name, shapes) for name in joined}
    if not any(small.values()):
        return None
    parts, terms, first = [], [], 0
    for index, name in enumerate(joined):
        channels = shapes[name][1]
        own = weight[:, first : first + channels]
        first += channels
        bias = [conv.input[2]] if len(conv.input) > 2 and not index else []
        part = _part(
            editor, f"{conv.name}/part{index}", small[name] or name, own, bias, doubled=bool(small[name])
        )
        parts.append(part)
        terms.append(part.output[0])
    total = terms[0]
    for index, term in enumerate(terms[1:], 1):
        name = editor.unique(f"{conv.name}/sum{index}")
        parts.append(helper.make_node("Add", [total, term], [name], name=name))
        total = name
    parts[-1].output[0] = conv.output[0]
    return parts


def _part(
    editor: Editor, name: str, source: str, weight: Array, bias: list[str], *, doubled: bool
) -> NodeProto:
    name = editor.unique(name)
    stored = editor.add_initializer(f"{name}/weight", transposed_weight(weight) if doubled else weight)
    inputs = [source, stored, *bias]
    if doubled:
        return helper.make_node(
            "ConvTranspose", inputs, [name], name=name, kernel_shape=[4, 4], strides=[2, 2], pads=[1, 1, 1, 1]
        )
    return helper.make_node("Conv", inputs, [name], name=name, kernel_shape=[3, 3], pads=[1, 1, 1, 1])


def transposed_weight(weight: Array) -> Array:
    """Conv weight [O,I,3,3] on the doubled map to ConvTranspose weight [I,O,4,4] on the small one."""
    for axis in (-1, -2):
        before, middle, after = np.moveaxis(weight, axis, 0)
        weight = np.stack([after, middle + after, before + middle, before], axis=axis)
    return np.ascontiguousarray(weight.swapaxes(0, 1))


def _plain_3x3(editor: Editor, node: NodeProto) -> Array | None:
    """The constant weight of a 3x3 convolution of stride 1 with padding 1; None for any other node."""
    if node.op_type != "Conv" or attribute(node, "auto_pad", b"NOTSET") not in (b"NOTSET", "NOTSET"):
        return None
    weight = editor.constant(node.input[1])
    plain = (
        weight is not None
        and weight.shape[2:] == (3, 3)
        and attribute(node, "group", 1) == 1
        and ints(node, "strides", (1, 1)) == [1, 1]
        and ints(node, "dilations", (1, 1)) == [1, 1]
        and ints(node, "pads", (0, 0, 0, 0)) == [1, 1, 1, 1]
    )
    return weight if plain else None


def _joined(editor: Editor, conv: NodeProto) -> list[str] | None:
    """The maps the convolution reads: its input, or the inputs of a Concat only it reads."""
    source = editor.producer.get(conv.input[0])
    if source is None or source.op_type != "Concat":
        return [conv.input[0]]
    if attribute(source, "axis") != 1 or editor.only_consumer(conv.input[0]) is None:
        return None
    return list(source.input)


def _doubled(editor: Editor, name: str, shapes: dict[str, tuple[int, ...]]) -> str:
    """The small map when `name` is its nearest 2x upsampling and read once; else an empty string."""
    node = editor.producer.get(name)
    if node is None or node.op_type != "Resize" or editor.only_consumer(name) is None:
        return ""
    modes = (
        _text(node, "coordinate_transformation_mode", "half_pixel"),
        _text(node, "nearest_mode", "round_prefer_floor"),
    )
    small, large = shapes[node.input[0]], shapes[name]
    twice = (*small[:2], *(2 * side for side in small[2:]))
    exact = _text(node, "mode", "nearest") == "nearest" and modes in _DOUBLES and large == twice
    return node.input[0] if exact else ""


def _text(node: NodeProto, name: str, default: str) -> str:
    value = attribute(node, name, default)
    return value.decode() if isinstance(value, bytes) else str(value)
