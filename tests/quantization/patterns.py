"""Small networks, one per way operators meet, and a NumPy reference of what quantising them means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgeseg.graph.editor import Editor, opset_of
from edgeseg.graph.shapes import with_shapes
from edgeseg.quantization.grid import Grid, fake_quantize
from edgeseg.quantization.ptq import Calibrated
from edgeseg.quantization.weights import bias_floor, dequantize_weight, quantize_weight, weight_scales

SHAPE = (1, 3, 12, 16)


class Net:
    """Grows node by node; every method returns the name of a tensor, which is also that of its node."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}

    def op(self, kind: str, name: str, *inputs: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, name: str, value: object, dtype: type = np.float32) -> str:
        self.constants[name] = np.asarray(value, dtype)
        return name

    def conv(self, name: str, source: str, cin: int, cout: int, kernel: int = 3, group: int = 1) -> str:
        shape = (cout, cin // group, kernel, kernel)
        weight = self.constant(f"{name}.w", self.rng.normal(0, 1.5 / np.sqrt(np.prod(shape[1:])), shape))
        bias = self.constant(f"{name}.b", self.rng.normal(0, 0.1, cout))
        return self.op("Conv", name, source, weight, bias, pads=[kernel // 2] * 4, group=group)

    def model(self, *outputs: str, opset: int = 18, shape: Sequence[int] = SHAPE) -> ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs],
            [numpy_helper.from_array(v, k) for k, v in self.constants.items()],
        )
        model = with_shapes(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        )
        checker.check_model(model)
        return model


def chain() -> ModelProto:
    net = Net()
    a = net.op("Relu", "act", net.conv("c1", "image", 3, 8))
    return net.model(net.conv("c2", a, 8, 4))


def residual() -> ModelProto:
    net = Net()
    a = net.conv("c1", "image", 3, 8)
    b = net.conv("c3", net.op("Relu", "act", net.conv("c2", a, 8, 8)), 8, 8)
    c = net.op("Relu", "out", net.op("Add", "sum", a, b))
    return net.model(net.conv("c4", c, 8, 4))


def concat_mixed() -> ModelProto:
    """A non-negative and a signed tensor, of different size, joined before a convolution."""
    net = Net()
    a = net.op("Relu", "act", net.conv("c1", "image", 3, 8))
    b = net.op("Mul", "big", net.conv("c2", "image", 3, 4), net.constant("three", 3.0))
    return net.model(net.conv("c3", net.op("Concat", "cat", a, b, axis=1), 12, 4))


def resized(mode: str) -> ModelProto:
    net = Net()
    a = net.op("Relu", "act", net.conv("c1", "image", 3, 8))
    sizes = net.constant("sizes", (1, 8, 24, 32), np.int64)
    b = net.op("Resize", "up", a, "", "", sizes, mode=mode, coordinate_transformation_mode="half_pixel")
    return net.model(net.conv("c2", b, 8, 4, kernel=1))


def pooled() -> ModelProto:
    net = Net()
    a = net.op("Relu", "act", net.conv("c1", "image", 3, 8))
    b = net.op("MaxPool", "max", a, kernel_shape=[2, 2], strides=[2, 2])
    c = net.op("AveragePool", "mean", b, kernel_shape=[2, 2], strides=[2, 2])
    return net.model(net.conv("c2", c, 8, 4))


def squeeze_excite_swish() -> ModelProto:
    """conv -> swish -> (x gate) -> conv, as in EfficientNet."""
    net = Net()
    a = net.conv("c1", "image", 3, 8)
    swish = net.op("Mul", "swish", a, net.op("Sigmoid", "sigmoid", a))
    squeezed = net.op("GlobalAveragePool", "squeeze", swish)
    gate = net.op("Sigmoid", "gate", net.conv("excite", squeezed, 8, 8, kernel=1))
    return net.model(net.conv("c2", net.op("Mul", "scaled", swish, gate), 8, 4))


def depthwise_transposed() -> ModelProto:
    net = Net()
    six = (net.constant("zero", 0.0), net.constant("six", 6.0))
    a = net.op("Clip", "act1", net.conv("c1", "image", 3, 8), *six)
    b = net.op("Clip", "act2", net.conv("dw", a, 8, 8, group=8), *six)
    weight = net.constant("t.w", net.rng.normal(0, 0.2, (8, 5, 2, 2)) * np.linspace(0.1, 3, 5)[:, None, None])
    bias = net.constant("t.b", net.rng.normal(0, 0.1, 5))
    c = net.op("HardSwish", "act3", net.op("ConvTranspose", "t", b, weight, bias, strides=[2, 2]))
    return net.model(net.conv("c2", c, 5, 4))


def dense() -> ModelProto:
    """Gemm and MatMul on one row per pixel."""
    net = Net()
    planar = net.op(
        "Reshape", "planar", net.conv("c1", "image", 3, 8), net.constant("to", (8, 192), np.int64)
    )
    a = net.op("Relu", "act", net.op("Transpose", "rows", planar, perm=[1, 0]))
    b = net.op("Gemm", "g", a, net.constant("g.w", net.rng.normal(0, 0.5, (6, 8))), transB=1)
    return net.model(net.op("MatMul", "m", b, net.constant("m.w", net.rng.normal(0, 0.5, (6, 4)))))


def tokens() -> ModelProto:
    """Rows that a matrix product reads and, as a map again, a convolution: SegFormer. Both ways meet."""
    net = Net()
    rows, grid = net.constant("rows", (1, 8, 192), np.int64), net.constant("grid", (1, 8, 12, 16), np.int64)

    def flat(name: str, source: str) -> str:
        return net.op("Transpose", name, net.op("Reshape", f"{name}.r", source, rows), perm=[0, 2, 1])

    def planar(name: str, source: str) -> str:
        return net.op("Reshape", name, net.op("Transpose", f"{name}.t", source, perm=[0, 2, 1]), grid)

    def dense(name: str, source: str) -> str:
        weight = net.constant(f"{name}.w", net.rng.normal(0, 0.35, (8, 8)))
        return net.op("MatMul", name, source, weight)

    near = flat("near", net.conv("c1", "image", 3, 8))
    far = flat("far", net.conv("c2", planar("map", near), 8, 8))
    maps = [planar(f"map{i}", dense(f"m{i}", rows)) for i, rows in enumerate((near, far))]
    return net.model(net.conv("c3", net.op("Concat", "cat", *maps, axis=1), 16, 4, kernel=1))


def signed_pool() -> ModelProto:
    """A map that may be negative, read by a convolution and, behind a MaxPool, by another; both ways meet."""
    net = Net()
    a = net.conv("c1", "image", 3, 16)
    pool = net.op("MaxPool", "max", a, kernel_shape=[3, 3], pads=[1] * 4)
    far = net.conv("c4", net.conv("c3", pool, 16, 16), 16, 16)
    both = net.op("Concat", "cat", net.conv("c2", a, 16, 16), far, axis=1)
    return net.model(net.conv("c5", both, 32, 4, kernel=1))


PATTERNS: dict[str, Callable[[], ModelProto]] = {
    "chain": chain,
    "residual": residual,
    "concat-mixed": concat_mixed,
    "resize-nearest": lambda: resized("nearest"),
    "resize-linear": lambda: resized("linear"),
    "pooled": pooled,
    "squeeze-excite-swish": squeeze_excite_swish,
    "depthwise-transposed": depthwise_transposed,
    "dense": dense,
    "tokens": tokens,
    "signed-pool": signed_pool,
}


def feeds(count: int = 4, seed: int = 3) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [{"image": rng.normal(0, 1, SHAPE).astype(np.float32)} for _ in range(count)]


def reference(calibrated: Calibrated, grids: Mapping[str, Grid], image: np.ndarray) -> np.ndarray:
    """The first output of the float graph, computed node by node; every tensor that a pair serves is
    rounded in NumPy where it is read."""
    model, placement = calibrated.model, calibrated.placement
    editor = Editor(model)
    pairs = {reader: pair.tensor for pair in placement.pairs for reader in pair.readers}
    weights = {pair.node: pair for pair in placement.weights}
    values: dict[str, np.ndarray] = {"image": image, "": None}  # type: ignore[dict-item]
    values |= {name: numpy_helper.to_array(t) for name, t in editor.initializers.items()}
    for node in model.graph.node:
        inputs = [values[name] for name in node.input]
        for index in range(len(inputs)):
            if (node.name, index) in pairs:
                inputs[index] = fake_quantize(inputs[index], grids[pairs[node.name, index]]).astype(
                    np.float32
                )
        if node.name in weights:
            pair = weights[node.name]
            floor = np.zeros((), np.float32)
            if pair.bias:
                channels = 1 if pair.axis is None else inputs[1].shape[pair.axis]
                floor = bias_floor(inputs[2], grids[pair.source].scale, channels)
            scales = calibrated.scheme.scales(weight_scales(inputs[1], pair.axis, floor=floor))
            inputs[1] = dequantize_weight(quantize_weight(inputs[1], scales, pair.axis), scales, pair.axis)
        names = [f"in{i}" if name else "" for i, name in enumerate(node.input)]
        single = helper.make_node(node.op_type, names, list(node.output))
        single.attribute.extend(node.attribute)
        graph = helper.make_graph(
            [single],
            "one",
            [
                helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
                for n, v in zip(names, inputs)
                if n
            ],
            [helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)],
        )
        one = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset_of(model))], ir_version=8)
        given = {n: v for n, v in zip(names, inputs) if n}
        values[node.output[0]] = ReferenceEvaluator(one).run(None, given)[0]
    return values[model.graph.output[0].name]
