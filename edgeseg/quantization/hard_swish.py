"""Swish behind convolutions becomes HardSwish, bent per channel to the values that the channel has.

x * sigmoid(x) costs an exponential and a division for every element. HardSwish (Howard et al., "Searching for
MobileNetV3", 2019) is a clamp and two products, and engines compute it in the same pass as the convolution.
Put in as it is, it is off by up to 0.14. But a channel sees only a part of the curve, most of it near the
bottom, where both are close to parabolas. So each channel gets the s * hardswish(a x + b) + t that is nearest
to x * sigmoid(x) on its own values. a and b disappear in the weights of the convolution; engines merge s and
t into what reads the result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper

from edgeseg.core.ports import Progress, silent
from edgeseg.graph.editor import Editor, attribute
from edgeseg.graph.shapes import static_shapes, with_shapes
from edgeseg.quantization.placement.layers import constant, is_layer, scale_rows, shift_rows
from edgeseg.quantization.ranges.channels import Vector, channel_samples
from edgeseg.quantization.ranges.observer import Feeds, spread
from edgeseg.quantization.ranges.probe import HERE, OpenProbe

IMAGES, PIXELS = 16, 64
"""Batches that are sampled, and values of a channel taken from each."""
LEVELS = 128
"""Values per channel that are fitted to: as many quantiles of its sample."""
_GAINS = np.geomspace(0.35, 2.4, 9)
_SHIFTS = np.linspace(-2, 2, 9)
HALVINGS = 5
"""Grid of `a` and `b`, and how often the step around the best of it is halved."""


class Fit(NamedTuple):
    """s * hardswish(a x + b) + t, each [channels]."""

    a: Vector
    b: Vector
    s: Vector
    t: Vector


class Fitted(NamedTuple):
    """
    Attributes:
        layer: name of the convolution before the Swish.
    """

    layer: str
    fit: Fit


def fit_swishes(
    model: ModelProto,
    feeds: Feeds,
    *,
    open_probe: OpenProbe = HERE,
    progress: Progress = silent,
) -> tuple[Fitted, ...]:
    """A HardSwish for every Swish that follows a convolution, in the order of the graph; those on one pixel
    per image (squeeze-excite) cost no time and get none.

    Args:
        model: simplified and folded, float.
        feeds: calibration inputs by name, preprocessed as for the network; IMAGES of them are used.

    Raises:
        DataError: `feeds` is empty or can be read only once.
    """
    editor, shapes = Editor(model), static_shapes(model)
    tensors = {
        node.name: node.output[0]
        for node in editor.graph.node
        if _swish_behind(editor, node) is not None and math.prod(shapes[node.output[0]][2:]) > 1
    }
    if not tensors:
        return ()
    samples = channel_samples(
        model,
        tuple(tensors.values()),
        spread(feeds, IMAGES),
        PIXELS,
        open_probe=open_probe,
        progress=progress,
    )
    return tuple(Fitted(layer, fit(samples[tensor])) for layer, tensor in tensors.items())


def hard_swish(model: ModelProto, fitted: Sequence[Fitted]) -> ModelProto:
    """The graph with these HardSwishes in the place of their Swishes."""
    editor = Editor(model)
    fits = {one.layer: one.fit for one in fitted}
    fresh: dict[str, tuple[NodeProto, ...]] = {}
    for layer in [node for node in editor.graph.node if node.name in fits]:
        last = _swish_behind(editor, layer)
        assert last is not None
        scale_rows(editor, layer, fits[layer.name].a)
        shift_rows(editor, layer, fits[layer.name].b)
        fresh[last.name] = _three_nodes(editor, layer, last, fits[layer.name])
    editor.keep_nodes(n for node in editor.graph.node for n in fresh.get(node.name, (node,)))
    return with_shapes(editor.finish())


def fit(values: NDArray[np.float32]) -> Fit:
    """The nearest HardSwish of every channel, by least squares over LEVELS quantiles of its values.

    Args:
        values: what enters Swish, [channels, values].
    """
    values = np.sort(values, axis=1)
    x = values[:, np.linspace(0, values.shape[1] - 1, LEVELS).round().astype(int)]
    y = x / (1 + np.exp(-np.maximum(x, -80)))
    y_mean = y.mean(axis=1, keepdims=True)

    def outer(a: Vector, b: Vector) -> tuple[Vector, Vector, Vector]:
        """The mean squared error of each channel with its best s and t, and these."""
        u = (a[:, None] * x + b[:, None]).astype(np.float32)
        h = u * np.clip(u / 6 + 0.5, 0, 1)
        h_mean = h.mean(axis=1, keepdims=True)
        s = ((h - h_mean) * (y - y_mean)).mean(axis=1) / np.maximum(h.var(axis=1), 1e-12)
        t = y_mean[:, 0] - s * h_mean[:, 0]
        return np.square(s[:, None] * h + t[:, None] - y).mean(axis=1), s, t

    def better(best: tuple[Vector, ...], a: Vector, b: Vector) -> tuple[Vector, ...]:
        error, s, t = outer(a, b)
        return tuple(np.where(error < best[0], new, old) for new, old in zip((error, a, b, s, t), best))

    one = np.ones(len(x))
    best: tuple[Vector, ...] = (np.inf * one, one, 0 * one, one, 0 * one)
    for a in _GAINS:
        for b in _SHIFTS:
            best = better(best, a * one, b * one)
    ratio, step = float(_GAINS[1] / _GAINS[0]), float(_SHIFTS[1] - _SHIFTS[0])
    for _ in range(HALVINGS):
        ratio, step = ratio**0.5, step / 2
        _, a0, b0, _, _ = best
        for turn in (1 / ratio, 1.0, ratio):
            for move in (-step, 0.0, step):
                best = better(best, a0 * turn, b0 + move)
    return Fit(*best[1:])


def _swish_behind(editor: Editor, layer: NodeProto) -> NodeProto | None:
    """The node that returns the Swish of a convolution's result, which nothing else reads."""
    if not is_layer(editor, layer) or layer.output[0] in editor.pinned:
        return None
    tensor = layer.output[0]
    readers = editor.consumers.get(tensor, [])
    kinds = {node.op_type: node for node in readers}
    if len(readers) == 1 and "Swish" in kinds and attribute(kinds["Swish"], "alpha", 1.0) == 1:
        return kinds["Swish"]
    if len(readers) != 2 or set(kinds) != {"Sigmoid", "Mul"}:
        return None
    gate, product = kinds["Sigmoid"].output[0], kinds["Mul"]
    closed = editor.only_consumer(gate) is not None
    return product if closed and set(product.input) == {tensor, gate} else None


def _three_nodes(editor: Editor, layer: NodeProto, last: NodeProto, fit: Fit) -> tuple[NodeProto, ...]:
    """What takes the place of the last node of a Swish, under its name: features are found by it."""
    output = last.output[0]
    hard, scaled = (editor.unique(f"{output}/{word}") for word in ("hard", "scaled"))
    shape = (1, -1, *[1] * (constant(editor, layer.input[1]).ndim - 2))
    s = editor.add_initializer(f"{output}/s", fit.s.reshape(shape).astype(np.float32))
    t = editor.add_initializer(f"{output}/t", fit.t.reshape(shape).astype(np.float32))
    return (
        helper.make_node("HardSwish", [layer.output[0]], [hard], name=hard),
        helper.make_node("Mul", [hard, s], [scaled], name=scaled),
        helper.make_node("Add", [scaled, t], [output], name=last.name),
    )
