"""Small ONNX networks written by hand, and what tests ask of a graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper

from edgeseg.core.model_spec import ModelSpec, Source, default_classes
from edgeseg.graph.reference import run, session
from edgeseg.graph.shapes import with_shapes

TRANSPOSED = {
    "4x4": {"kernel_shape": [4, 4], "pads": [1] * 4},
    "2x2": {"kernel_shape": [2, 2]},
    "3x3 with output padding": {"kernel_shape": [3, 3], "pads": [1] * 4, "output_padding": [1, 1]},
}
"""Attributes of transposed convolutions of stride 2 that double a map."""


def model_of(
    nodes: Sequence[NodeProto],
    constants: dict[str, np.ndarray] | None = None,
    *,
    shape: Sequence[int | str] = (1, 3, 16, 20),
    outputs: Sequence[str] = ("scores",),
    opset: int = 18,
    dtype: int = TensorProto.FLOAT,
    output_dtype: int | None = None,
) -> ModelProto:
    """A checked model with the input `image`."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info("image", dtype, list(shape))],
        [helper.make_tensor_value_info(name, output_dtype or dtype, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    model = with_shapes(model)
    checker.check_model(model)
    return model


def network(
    channels: int = 4,
    *,
    size: tuple[int, int] = (32, 48),
    stride: int = 1,
    batch: int = 1,
    opset: int = 18,
    inputs: int = 3,
) -> ModelProto:
    """Two convolutions; scores at 1/stride of the input."""
    rng = np.random.default_rng(channels)
    constants = {
        "w1": rng.normal(0, 0.4, (8, inputs, 3, 3)).astype(np.float32),
        "w2": rng.normal(0, 0.4, (channels, 8, 3, 3)).astype(np.float32),
        "b2": rng.normal(0, 0.3, channels).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["a"], name="c1", pads=[1] * 4, strides=[stride] * 2),
        helper.make_node("Relu", ["a"], ["b"], name="r1"),
        helper.make_node("Conv", ["b", "w2", "b2"], ["scores"], name="c2", pads=[1] * 4),
    ]
    return model_of(nodes, constants, shape=(batch, inputs, *size), opset=opset)


def decoder(
    transposed: str = "4x4",
    *,
    conv: dict[str, list[int]] | None = None,
    between: Sequence[NodeProto] = (),
    size: tuple[int, int] = (32, 48),
) -> ModelProto:
    """Stride 2 down, a transposed convolution back up, `between`, and two more convolutions."""
    rng = np.random.default_rng(3)
    up = TRANSPOSED[transposed]
    conv = conv or {"pads": [1] * 4}
    constants = {
        "w1": rng.normal(0, 0.4, (8, 3, 3, 3)).astype(np.float32),
        "wt": rng.normal(0, 0.4, (8, 6, *up["kernel_shape"])).astype(np.float32),
        "w2": rng.normal(0, 0.4, (6, 6, 3, 3)).astype(np.float32),
        "w3": rng.normal(0, 0.4, (4, 6, 3, 3)).astype(np.float32),
        "each": rng.normal(0, 0.4, (6, 1, 1)).astype(np.float32),
        "step": np.float32(0.05),
        "zero": np.int8(0),
    }
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["a"], name="down", pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("ConvTranspose", ["b", "wt"], ["c"], name="up", strides=[2, 2], **up),
        *(between or [helper.make_node("Identity", ["c"], ["d"], name="between")]),
        helper.make_node("Conv", ["d", "w2"], ["e"], name="conv", **conv),
        helper.make_node("Relu", ["e"], ["f"], name="relu2"),
        helper.make_node("Conv", ["f", "w3"], ["scores"], name="head", pads=[1] * 4),
    ]
    return model_of(nodes, constants, shape=(1, 3, *size))


def spec_of(size: tuple[int, int] = (32, 48), **fields: object) -> ModelSpec:
    defaults = {"name": "net", "source": Source(kind="onnx", ref="net.onnx"), "classes": default_classes(4)}
    return ModelSpec(input_size=size, **{**defaults, **fields})  # type: ignore[arg-type]


def smooth_frames(batch: int, size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """uint8 [N,H,W,3] blobs: images whose resized pixels differ little between implementations."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]] / 7.0
    waves = [
        np.sin(rows * a + b) + np.cos(columns * c + d) for a, b, c, d in rng.uniform(0.3, 3, (batch * 3, 4))
    ]
    stacked = np.stack(waves).reshape(batch, 3, *size).transpose(0, 2, 3, 1)
    return ((stacked + 2) / 4 * 255).astype(np.uint8)


def outputs_of(model: ModelProto, feed: np.ndarray) -> dict[str, np.ndarray]:
    return run(session(model, threads=1), {model.graph.input[0].name: feed})


def operators(model: ModelProto) -> list[str]:
    return [n.op_type for n in model.graph.node]


def dynamic(shape=("n", 3, "height", "width"), opset=18, **options) -> ModelProto:
    """A convolution and a sigmoid, with dimensions that the file leaves open."""
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["a"], name="c", pads=[1] * 4),
        helper.make_node("Sigmoid", ["a"], ["scores"], name="s"),
    ]
    weights = {"w": np.random.default_rng(0).normal(0, 1, (2, 3, 3, 3)).astype(np.float32)}
    return model_of(nodes, weights, shape=shape, opset=opset, **options)
