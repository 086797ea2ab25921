"""Bias correction: what int8 adds to the mean of a layer's output is taken from its bias."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import partial

import numpy as np
from onnx import ModelProto, NodeProto

from edgeseg.core.ports import Array, Progress, silent
from edgeseg.graph.editor import Editor, attribute, ints
from edgeseg.quantization.ranges.channels import Vector, channel_statistics
from edgeseg.quantization.ranges.observer import Feeds
from edgeseg.quantization.ranges.probe import HERE, OpenProbe
from edgeseg.quantization.weights import dequantize_weight

CORRECTED = ("Conv", "ConvTranspose")


def bias_shifts(
    original: ModelProto,
    quantized: ModelProto,
    feeds: Feeds,
    means: Mapping[str, Vector] | None = None,
    *,
    open_probe: OpenProbe = HERE,
    progress: Progress = silent,
) -> dict[str, Vector]:
    """What to add to the bias [channels] of each layer, by node name, so that the channel means of its output
    equal those of the float graph (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
    Correction", 2019, with measured means).

    The error of a mean is measured once for all layers. The part of it that the means of the layer's own
    inputs explain is left out: it goes away when the layers before are corrected. A shift therefore makes up
    for its own layer alone, and holds whatever the precision of the others is.

    Args:
        quantized: from `insert`, made of `original`.
        means: channel means of the tensors `layer_tensors` of the float graph over `feeds`; None: measured.

    Raises:
        DataError: `feeds` is empty or can be read only once.
    """
    before, after = Editor(original), Editor(quantized)
    first = {n.name: n for n in before.graph.node if n.op_type in CORRECTED}
    layers = [n for n in after.graph.node if n.name in first and _weight(after, n) is not None]
    measured = partial(
        channel_statistics, feeds=feeds, statistic="mean", open_probe=open_probe, progress=progress
    )
    expected = means if means is not None else measured(original, _beside([first[n.name] for n in layers]))
    found = measured(quantized, _beside(layers))
    shifts = {}
    for layer in layers:
        weight = _weight(after, layer)
        assert weight is not None
        source = first[layer.name]
        inherited = _response(layer, weight, found[layer.input[0]] - expected[source.input[0]])
        shifts[layer.name] = expected[source.output[0]] - found[layer.output[0]] + inherited
    return shifts


def layer_tensors(model: ModelProto) -> list[str]:
    """Inputs and outputs of the layers whose biases can be corrected."""
    return _beside([node for node in model.graph.node if node.op_type in CORRECTED])


def _beside(layers: Iterable[NodeProto]) -> list[str]:
    return list(dict.fromkeys(name for layer in layers for name in (layer.input[0], layer.output[0])))


def shift_biases(quantized: ModelProto, shifts: Mapping[str, Vector]) -> ModelProto:
    """A Q/DQ graph with `shifts` added to the biases of those layers whose weights are int8 in it."""
    editor = Editor(quantized)
    for node in editor.graph.node:
        if node.name in shifts and editor.constant(node.input[1]) is None:
            _shift(editor, node, shifts[node.name])
    return editor.finish()


def _weight(editor: Editor, node: NodeProto) -> Array | None:
    """The weight of a layer as its engine sees it, float32."""
    value = editor.constant(node.input[1])
    made = editor.producer.get(node.input[1])
    if value is not None or made is None or made.op_type != "DequantizeLinear":
        return value
    levels, scales = editor.constant(made.input[0]), editor.constant(made.input[1])
    assert levels is not None and scales is not None
    axis = None if scales.ndim == 0 else int(attribute(made, "axis", 1))  # type: ignore[call-overload]
    return dequantize_weight(levels, scales, axis)


def _response(node: NodeProto, weight: Array, change: Vector) -> Vector:
    """Change of the output means [out] when the input means change by `change` [in], away from borders."""
    spatial = tuple(range(2, weight.ndim))
    taps = weight.astype(np.float64).sum(axis=spatial)
    groups = int(attribute(node, "group", 1))  # type: ignore[call-overload]
    parts = change.reshape(groups, -1)
    if node.op_type == "Conv":
        return np.einsum("goi,gi->go", taps.reshape(groups, -1, taps.shape[1]), parts).reshape(-1)
    share = math.prod(ints(node, "strides", [1] * len(spatial)))
    return np.einsum("gio,gi->go", taps.reshape(groups, -1, taps.shape[1]), parts).reshape(-1) / share


def _shift(editor: Editor, node: NodeProto, amount: Vector) -> None:
    """Add to the bias of a layer; a layer without one gets one."""
    name = node.input[2] if len(node.input) > 2 else ""
    stored = editor.producer.get(name)
    if stored is not None:
        _shift_levels(editor, stored, amount)
        return
    old = editor.constant(name) if name else np.zeros(amount.shape, np.float32)
    assert old is not None
    del node.input[2:]
    node.input.append(editor.add_initializer(name or f"{node.name}/bias", (old + amount).astype(np.float32)))


def _shift_levels(editor: Editor, dequantize: NodeProto, amount: Vector) -> None:
    levels, scales = editor.constant(dequantize.input[0]), editor.constant(dequantize.input[1])
    assert levels is not None and scales is not None
    dequantize.input[0] = editor.add_initializer(
        dequantize.input[0], levels + np.rint(amount / scales).astype(np.int32)
    )
