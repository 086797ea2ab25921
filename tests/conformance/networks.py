"""Networks every backend is held against: plain float graph, and deploy graphs in every precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeseg.backends import backend_for
from edgeseg.core.int8 import Scheme
from edgeseg.core.target import Target
from edgeseg.graph.fp16 import to_fp16
from edgeseg.quantization.ptq import quantize
from edgeseg.quantization.schemes import scheme_for

HEIGHT, WIDTH, BATCHES = 64, 96, (1, 4)
PALETTE = np.array(
    [[200, 40, 40], [40, 200, 40], [40, 40, 200], [210, 210, 60], [30, 30, 30], [230, 230, 230]], np.float64
)
MEAN, STD = 127.5, 64.0

POOLED_FRAMES = 8
"""Frames of the demo network over which class maps are compared: half precision moves single frames by more
or less than the average over a dataset, which is what the limit is about."""


class Graphs(NamedTuple):
    plain: onnx.ModelProto
    deploy: onnx.ModelProto
    half: onnx.ModelProto
    frames: np.ndarray
    batches: tuple[np.ndarray, ...]

    def typed(self, target: Target) -> onnx.ModelProto:
        """What `Backend.build` receives: int8 is in the graph, and fp16 for engines that read it there."""
        reads = backend_for(target).graph.precision == "stated"
        if target.precision == "int8":
            scheme = scheme_for(target.engine)
            graph = self.int8(scheme)
            return to_fp16(graph, {})[0] if reads and scheme.rest == "fp16" else graph
        return self.half if target.precision == "fp16" and reads else self.deploy

    def int8(self, scheme: Scheme) -> onnx.ModelProto:
        return quantize(self.deploy, [{"frames": frames} for frames in self.batches], scheme).model


def structured(batch: int) -> Graphs:
    """Names the nearest palette colour of blurred frames, stirred a little by a strided branch.

    Random weights would decide by ties; here the classes of most pixels are clear, as in a trained network.
    """
    frames = _frames(batch)
    return Graphs(_plain(batch), _deploy(batch, np.float32), _deploy(batch, np.float16), frames, (frames,))


def demo(batch: int) -> Graphs:
    """The shipped demo network on synthetic streets, through edgeseg's own export."""
    from edgeseg.models.demo import WEIGHTS

    if not WEIGHTS.is_file():
        pytest.skip("the demo network has no weights yet")

    from edgeseg.core.recipe import ModelChoice
    from edgeseg.datasets import open_dataset
    from edgeseg.graph.deploy import compose
    from edgeseg.graph.export import export_torch
    from edgeseg.graph.fp16 import measure_maxima
    from edgeseg.models.load import resolve

    data = open_dataset("synthetic-streets")
    split = data.split("val")
    images = np.stack([split.image(i) for i in range(POOLED_FRAMES)])
    batches = tuple(images[i : i + batch] for i in range(0, POOLED_FRAMES, batch))
    frames = batches[0]
    loaded = resolve(ModelChoice(name="demo"), classes=data.classes, ignore_index=data.ignore_index)
    plain = export_torch(loaded.module, loaded.spec.input_shape, batch=batch)
    composed = compose(plain, loaded.spec, frames.shape[1:3])
    half, _ = to_fp16(composed, measure_maxima(composed, [{"frames": frames}]))
    return Graphs(plain, composed, half, frames, batches)


NETWORKS: dict[str, Callable[[int], Graphs]] = {"structured": structured, "demo": demo}


def _frames(batch: int) -> np.ndarray:
    """Overlapping rectangles of palette colours with noise."""
    rng = np.random.default_rng(7)
    frames = np.empty((batch, HEIGHT, WIDTH, 3))
    for frame in frames:
        frame[:] = PALETTE[rng.integers(len(PALETTE))]
        for _ in range(8):
            top, left = rng.integers(HEIGHT - 16), rng.integers(WIDTH - 16)
            height, width = rng.integers(12, 40, 2)
            frame[top : top + height, left : left + width] = PALETTE[rng.integers(len(PALETTE))]
    return np.clip(frames + rng.normal(0, 8, frames.shape), 0, 255).astype(np.uint8)


def _body(dtype: type) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    """`image` -> `scores`, at the same size."""
    rng = np.random.default_rng(3)
    colours = (PALETTE - MEAN) / STD
    head = np.concatenate([2 * colours, rng.normal(0, 0.02, (len(PALETTE), 16))], axis=1)
    weights = {
        "blur": np.full((3, 1, 3, 3), 1 / 9),
        "down": rng.normal(0, 0.25, (16, 3, 3, 3)),
        "depthwise": rng.normal(0, 0.25, (16, 1, 3, 3)),
        "mix": rng.normal(0, 0.25, (16, 16, 1, 1)),
        "head": head[:, :, None, None],
        "head_bias": -(colours**2).sum(axis=1),
    }
    node = helper.make_node
    nodes = [
        node("Conv", ["image", "blur"], ["blurred"], group=3, pads=[1] * 4, name="blur_conv"),
        node("Conv", ["blurred", "down"], ["d0"], strides=[2, 2], pads=[1] * 4, name="down_conv"),
        node("Relu", ["d0"], ["d1"], name="down_relu"),
        node("Conv", ["d1", "depthwise"], ["d2"], group=16, pads=[1] * 4, name="depthwise_conv"),
        node("Relu", ["d2"], ["d3"], name="depthwise_relu"),
        node("Conv", ["d3", "mix"], ["d4"], name="mix_conv"),
        node("Add", ["d4", "d1"], ["d5"], name="residual"),
        node(
            "Resize",
            ["d5", "", "scales"],
            ["up"],
            mode="linear",
            coordinate_transformation_mode="half_pixel",
            name="upsample",
        ),
        node("Concat", ["blurred", "up"], ["cat"], axis=1, name="concat"),
        node("Conv", ["cat", "head", "head_bias"], ["scores"], name="head_conv"),
    ]
    return nodes, {
        **{k: v.astype(dtype) for k, v in weights.items()},
        "scales": np.array([1, 1, 2, 2], np.float32),
    }


def _model(
    nodes: list[onnx.NodeProto],
    weights: Mapping[str, np.ndarray],
    given: onnx.ValueInfoProto,
    result: onnx.ValueInfoProto,
) -> onnx.ModelProto:
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "network", [given], [result], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


def _plain(batch: int) -> onnx.ModelProto:
    nodes, weights = _body(np.float32)
    float32 = TensorProto.FLOAT
    return _model(
        nodes,
        weights,
        helper.make_tensor_value_info("image", float32, [batch, 3, HEIGHT, WIDTH]),
        helper.make_tensor_value_info("scores", float32, [batch, len(PALETTE), HEIGHT, WIDTH]),
    )


def _deploy(batch: int, dtype: type) -> onnx.ModelProto:
    body, weights = _body(dtype)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    node = helper.make_node
    before = [
        node("Cast", ["frames"], ["wide"], to=kind, name="widen"),
        node("Transpose", ["wide"], ["nchw"], perm=[0, 3, 1, 2], name="to_nchw"),
        node("Mul", ["nchw", "multiplier"], ["scaled"], name="scale"),
        node("Add", ["scaled", "offset"], ["image"], name="shift"),
    ]
    after = [
        node("ArgMax", ["scores"], ["ids"], axis=1, keepdims=0, name="decide"),
        node("Cast", ["ids"], ["class_map"], to=TensorProto.UINT8, name="narrow"),
    ]
    weights = {**weights, "multiplier": np.array([1 / STD], dtype), "offset": np.array([-MEAN / STD], dtype)}
    return _model(
        [*before, *body, *after],
        weights,
        helper.make_tensor_value_info("frames", TensorProto.UINT8, [batch, HEIGHT, WIDTH, 3]),
        helper.make_tensor_value_info("class_map", TensorProto.UINT8, [batch, HEIGHT, WIDTH]),
    )
