"""Cross-layer equalisation: channels of a tensor between two layers share its int8 range evenly.

For y = f(W1 x) read by W2, dividing row c of W1 by s_c and multiplying column c of W2 by s_c changes
nothing as long as f(y / s) = f(y) / s: true for no activation and for ReLU. Nagel et al., "Data-Free
Quantization Through Weight Equalization and Bias Correction" (2019), balance the two weights; here weights
have a scale per output channel, so that W1 needs nothing, and the measured range of y is balanced against
the columns of W2 as in Xiao et al., "SmoothQuant" (2023). Behind a depthwise W2 even that is free: every
channel gets the full range.

ReLU6 caps y at one value for all channels. A channel that reaches the cap keeps its scale; the others are
scaled up to it at most, which is exact for all values up to `MARGIN` times those measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from onnx import ModelProto, NodeProto

from edgeseg.core.ports import Array
from edgeseg.graph.editor import Editor, attribute
from edgeseg.graph.shapes import with_shapes
from edgeseg.quantization.placement.layers import constant, is_layer, overwrite, scale_rows
from edgeseg.quantization.ranges.channels import Vector

MARGIN = 1.1
BALANCE = 0.5
"""Exponent of the activation range against the weight range, where both are at stake."""
LARGEST_STEP = 1e4
"""Channels are not scaled by more: dead ones would get any scale."""


class Link(NamedTuple):
    """Two layers with at most an activation function between them.

    Attributes:
        tensor: what the second layer reads.
        cap: upper limit of the activation function; infinite for ReLU or none.
    """

    first: NodeProto
    tensor: str
    cap: float
    readers: tuple[NodeProto, ...]


def linked_tensors(model: ModelProto) -> tuple[str, ...]:
    """Tensors whose channel maxima `equalize` needs."""
    return tuple(link.tensor for link in _links(Editor(model)))


def equalize(model: ModelProto, maxima: Mapping[str, Vector]) -> ModelProto:
    """The same function with channel ranges made even.

    Args:
        maxima: largest |value| per channel of `linked_tensors`, measured on the calibration images.
    """
    editor = Editor(model)
    for link in _links(editor):
        scales = _scales(editor, link, maxima[link.tensor])
        scale_rows(editor, link.first, 1 / scales)
        for reader in link.readers:
            _scale_columns(editor, reader, scales)
    return with_shapes(editor.finish())


def _links(editor: Editor) -> list[Link]:
    found = []
    for node in editor.graph.node:
        if not is_layer(editor, node):
            continue
        tensor, cap = node.output[0], float("inf")
        after = editor.only_consumer(tensor)
        if after is not None and after.op_type in ("Relu", "Clip"):
            limit = _cap(editor, after)
            if limit is None:
                continue
            tensor, cap = after.output[0], limit
        readers = editor.consumers.get(tensor, [])
        if (
            readers
            and tensor not in editor.pinned
            and all(is_layer(editor, r) and r.input[0] == tensor for r in readers)
        ):
            found.append(Link(node, tensor, cap, tuple(readers)))
    return found


def _cap(editor: Editor, node: NodeProto) -> float | None:
    """Upper limit of a Relu or a Clip that starts at 0; None for another Clip."""
    if node.op_type == "Relu":
        return float("inf")
    low, high = (editor.constant(name) if name else None for name in (*node.input[1:3], "", "")[:2])
    if low is None or float(low.reshape(())) != 0:
        return None
    return float("inf") if high is None else float(high.reshape(()))


def _is_depthwise(weight: Array, node: NodeProto) -> bool:
    return weight.shape[1] == 1 and attribute(node, "group", 1) == weight.shape[0]


def _scales(editor: Editor, link: Link, largest: Vector) -> Vector:
    """s per channel, such that the largest range of the tensor stays what it was."""
    full = float(largest.max())
    if full <= 0:
        return np.ones(largest.shape)
    ranges = np.maximum(largest / full, 1 / LARGEST_STEP)
    columns = np.stack([_column_ranges(editor, reader) for reader in link.readers])
    if all(_is_depthwise(constant(editor, r.input[1]), r) for r in link.readers):
        scales = ranges
    else:
        weight = np.maximum(columns.max(axis=0), 1 / LARGEST_STEP)
        scales = ranges**BALANCE / weight ** (1 - BALANCE)
        scales = scales * (ranges / scales).max()
    if np.isfinite(link.cap):
        scales = np.maximum(scales, np.minimum(largest * MARGIN / link.cap, 1.0))
        scales = np.where(largest * MARGIN >= link.cap, 1.0, np.minimum(scales, 1.0))
    return scales


def _column_ranges(editor: Editor, node: NodeProto) -> Vector:
    """Largest |weight| per input channel, each output channel relative to its own largest."""
    weight = np.abs(constant(editor, node.input[1]).astype(np.float64))
    rows = weight.reshape(weight.shape[0], -1).max(axis=1)
    relative = weight / np.maximum(rows, 1e-30).reshape(-1, *[1] * (weight.ndim - 1))
    groups = int(attribute(node, "group", 1))  # type: ignore[call-overload]
    parts = relative.reshape(groups, -1, weight.shape[1], *weight.shape[2:])
    return parts.max(axis=(1, *range(3, parts.ndim))).reshape(-1)


def _scale_columns(editor: Editor, node: NodeProto, factors: Vector) -> None:
    """Per input channel: weight."""
    weight = constant(editor, node.input[1])
    groups = int(attribute(node, "group", 1))  # type: ignore[call-overload]
    parts = weight.reshape(groups, -1, *weight.shape[1:])
    shape = (groups, 1, weight.shape[1], *[1] * (weight.ndim - 2))
    overwrite(editor, node.input[1], (parts * factors.reshape(shape)).reshape(weight.shape))
