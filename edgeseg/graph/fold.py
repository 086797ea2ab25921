"""Fold what stands beside a convolution into it: BatchNormalization, per-channel Mul and Add, zero Pad.

Everything here is exact up to the rounding of the new weights.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto

from edgeseg.graph.editor import Editor, attribute, ints, set_attribute
from edgeseg.graph.shapes import with_shapes

Float64 = NDArray[np.float64]

CONVOLUTIONS = ("Conv", "ConvTranspose")
_NON_NEGATIVE = ("Relu", "Sigmoid", "HardSigmoid", "Softmax", "Abs", "Exp")


def fold(model: ModelProto) -> ModelProto:
    """Remove Identity and Dropout, fold BatchNormalization, Mul and Add by constants per channel,
    and constant zero Pad into Conv and ConvTranspose; Pad into pools only where that is exact.

    A convolution whose output has a second reader, or is an output of the graph, is left alone.
    """
    editor = Editor(model)
    _remove_identities(editor)
    while _fold_affine(editor):
        pass
    _fold_pads(editor)
    return with_shapes(editor.finish())


class _Affine(NamedTuple):
    """`y = x * scale + shift` per output channel."""

    scale: Float64
    shift: Float64


def _remove_identities(editor: Editor) -> None:
    kept = []
    for node in editor.graph.node:
        training = node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]
        trivial = node.op_type == "Identity" or (node.op_type == "Dropout" and not training)
        unread_mask = len(node.output) < 2 or node.output[1] not in {*editor.consumers, *editor.pinned}
        if trivial and unread_mask and node.output[0] not in editor.pinned:
            editor.replace_reads(node.output[0], node.input[0])
            editor.consumers.setdefault(node.input[0], []).extend(editor.consumers.pop(node.output[0], []))
        else:
            kept.append(node)
    editor.keep_nodes(kept)


def _fold_affine(editor: Editor) -> bool:
    """One pass over the convolutions. True when something was folded."""
    gone: set[str] = set()
    for conv in editor.graph.node:
        if conv.op_type not in CONVOLUTIONS or editor.constant(conv.input[1]) is None:
            continue
        after = editor.only_consumer(conv.output[0])
        if after is None or after.output[0] in gone:
            continue
        affine = _affine(editor, after, conv.output[0], _channels(editor, conv))
        if affine is not None and _apply(editor, conv, affine):
            gone.add(after.output[0])
            conv.output[0] = after.output[0]
    editor.keep_nodes(
        n for n in editor.graph.node if not (n.output[0] in gone and n.op_type not in CONVOLUTIONS)
    )
    return bool(gone)


def _channels(editor: Editor, conv: NodeProto) -> int:
    weight = editor.constant(conv.input[1])
    assert weight is not None
    if conv.op_type == "Conv":
        return int(weight.shape[0])
    return int(weight.shape[1]) * int(attribute(conv, "group", 1))  # type: ignore[call-overload]


def _affine(editor: Editor, node: NodeProto, data: str, channels: int) -> _Affine | None:
    """What `node` does to each channel of `data`; None when it is something else."""
    if node.op_type == "BatchNormalization":
        return _batch_norm(editor, node)
    if node.op_type not in ("Mul", "Add", "Sub", "Div") or len(set(node.input)) != 2:
        return None
    first = node.input[0] == data
    if not first and node.op_type in ("Sub", "Div"):
        return None
    value = editor.constant(node.input[1 if first else 0])
    if value is None or value.dtype != np.float32:
        return None
    vector = _per_channel(value, channels)
    if vector is None:
        return None
    one, zero = np.ones(channels), np.zeros(channels)
    return {
        "Mul": _Affine(vector, zero),
        "Div": _Affine(one / np.where(vector == 0, np.nan, vector), zero),
        "Add": _Affine(one, vector),
        "Sub": _Affine(one, -vector),
    }[node.op_type]


def _per_channel(value: NDArray[np.float32], channels: int) -> Float64 | None:
    """A constant that broadcasts along channels only ([C,1,1], [1,C,1,1] or one number) as [C]."""
    if value.size == 1 and value.ndim <= 4:
        return np.full(channels, float(value.reshape(())))
    shape = (1,) * (4 - value.ndim) + value.shape
    return value.reshape(-1).astype(np.float64) if shape == (1, channels, 1, 1) else None


def _batch_norm(editor: Editor, node: NodeProto) -> _Affine | None:
    if attribute(node, "training_mode", 0) or any(o in editor.consumers for o in node.output[1:]):
        return None
    values = [editor.constant(name) for name in node.input[1:5]]
    if any(v is None for v in values):
        return None
    gamma, beta, mean, variance = (np.asarray(v, np.float64) for v in values)
    scale = gamma / np.sqrt(variance + float(attribute(node, "epsilon", 1e-5)))  # type: ignore[arg-type]
    return _Affine(scale, beta - mean * scale)


def _apply(editor: Editor, conv: NodeProto, affine: _Affine) -> bool:
    """Write new weights and bias; False, and nothing changed, where they would not be finite."""
    weight = editor.constant(conv.input[1])
    old_bias = editor.constant(conv.input[2]) if len(conv.input) > 2 and conv.input[2] else 0.0
    if weight is None or weight.dtype != np.float32 or old_bias is None:
        return False
    scaled = _scale_weight(conv, weight.astype(np.float64), affine.scale).astype(np.float32)
    bias = (np.asarray(old_bias, np.float64) * affine.scale + affine.shift).astype(np.float32)
    if not (np.isfinite(scaled).all() and np.isfinite(bias).all()):
        return False
    name = conv.input[2] if len(conv.input) > 2 and conv.input[2] else f"{conv.input[1]}_bias"
    conv.input[1] = editor.exchange_initializer(conv, conv.input[1], scaled)
    bias_name = editor.exchange_initializer(conv, name, bias)
    del conv.input[2:]
    conv.input.append(bias_name)
    return True


def _scale_weight(conv: NodeProto, weight: Float64, scale: Float64) -> Float64:
    """Conv: [out, in/groups, ...], scaled along axis 0. ConvTranspose: [in, out/groups, ...], scaled
    along axis 1, where the input channels of group g meet the g-th part of `scale`."""
    rest = (1,) * (weight.ndim - 2)
    if conv.op_type == "Conv":
        return weight * scale.reshape(-1, 1, *rest)
    groups = int(attribute(conv, "group", 1))  # type: ignore[call-overload]
    grouped = weight.reshape(groups, -1, *weight.shape[1:])
    return (grouped * scale.reshape(groups, 1, -1, *rest)).reshape(weight.shape)


def _fold_pads(editor: Editor) -> None:
    gone = set()
    for pad in editor.graph.node:
        if pad.op_type != "Pad" or pad.output[0] in editor.pinned:
            continue
        pads = _zero_padding(editor, pad)
        readers = editor.consumers.get(pad.output[0], [])
        if pads is None or not all(_takes_pads(editor, r, pad, pads) for r in readers):
            continue
        for reader in readers:
            spatial = len(pads) // 2
            own = ints(reader, "pads", [0] * 2 * spatial)
            set_attribute(reader, "pads", [a + b for a, b in zip(own, pads)])
            set_attribute(reader, "auto_pad", "NOTSET")
            reader.input[0] = pad.input[0]
        gone.add(pad.output[0])
    editor.keep_nodes(n for n in editor.graph.node if not gone.intersection(n.output))


def _zero_padding(editor: Editor, pad: NodeProto) -> list[int] | None:
    """Spatial pads [top, left, ..., bottom, right, ...] of a constant zero Pad; None for other Pads."""
    mode = attribute(pad, "mode", b"constant")
    amounts = editor.constant(pad.input[1]) if len(pad.input) > 1 else None
    if mode != b"constant" or amounts is None:
        return None
    if len(pad.input) > 2 and pad.input[2]:
        value = editor.constant(pad.input[2])
        if value is None or np.any(value != 0):
            return None
    if len(pad.input) > 3 and pad.input[3]:
        axes = editor.constant(pad.input[3])
        if axes is None:
            return None
        full = np.zeros((2, 4), np.int64)
        full[:, axes] = amounts.reshape(2, -1)
        amounts = full.reshape(-1)
    begin, end = amounts.reshape(2, -1)
    if (amounts < 0).any() or begin[:2].any() or end[:2].any():
        return None
    return [int(v) for v in (*begin[2:], *end[2:])]


def _takes_pads(editor: Editor, node: NodeProto, pad: NodeProto, pads: list[int]) -> bool:
    if list(node.input).count(pad.output[0]) != 1 or node.input[0] != pad.output[0]:
        return False
    if attribute(node, "auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        return False
    if node.op_type == "Conv":
        return True
    if node.op_type not in ("MaxPool", "AveragePool") or attribute(node, "ceil_mode", 0):
        return False
    own = ints(node, "pads", [0] * len(pads))
    kernel = ints(node, "kernel_shape", ())
    if any(a + b >= k for a, b, k in zip(own, pads, kernel * 2)) or any(own):
        return False
    if node.op_type == "AveragePool":
        set_attribute(node, "count_include_pad", 1)
        return True
    return _non_negative(editor, pad.input[0])


def _non_negative(editor: Editor, name: str) -> bool:
    """A pool over values >= 0 finds the same maximum whether its padding holds 0 or -infinity."""
    node = editor.producer.get(name)
    if node is None:
        return False
    if node.op_type == "Clip" and len(node.input) > 1 and node.input[1]:
        low = editor.constant(node.input[1])
        return low is not None and bool(np.all(low >= 0))
    return node.op_type in _NON_NEGATIVE
