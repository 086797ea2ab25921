"""Small ONNX graphs made by hand."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).parent))  # for engines and fake_gpu, in every import mode of pytest

HEIGHT, WIDTH, CLASSES = 32, 48, 5


def deploy_model(batch: int = 1, *, half: bool = False, opset: int = 18) -> onnx.ModelProto:
    """uint8 frames [N,32,48,3] -> class map uint8 [N,32,48]: cast, scale, conv, relu, conv, argmax."""
    rng = np.random.default_rng(0)
    dtype = np.float16 if half else np.float32
    weights = {
        "w1": rng.normal(0, 0.3, (8, 3, 3, 3)),
        "w2": rng.normal(0, 0.3, (CLASSES, 8, 1, 1)),
        "scale": np.array([1 / 255]),
    }
    nodes = [
        helper.make_node(
            "Cast", ["frames"], ["f"], to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), name="widen"
        ),
        helper.make_node("Transpose", ["f"], ["t"], perm=[0, 3, 1, 2], name="nchw"),
        helper.make_node("Mul", ["t", "scale"], ["m"], name="normalise"),
        helper.make_node("Conv", ["m", "w1"], ["c1"], pads=[1, 1, 1, 1], name="conv1"),
        helper.make_node("Relu", ["c1"], ["r"], name="relu"),
        helper.make_node("Conv", ["r", "w2"], ["c2"], name="conv2"),
        helper.make_node("ArgMax", ["c2"], ["a"], axis=1, keepdims=0, name="decide"),
        helper.make_node("Cast", ["a"], ["class_map"], to=TensorProto.UINT8, name="narrow"),
    ]
    graph = helper.make_graph(
        nodes,
        "deploy",
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, [batch, HEIGHT, WIDTH, 3])],
        [helper.make_tensor_value_info("class_map", TensorProto.UINT8, [batch, HEIGHT, WIDTH])],
        [numpy_helper.from_array(value.astype(dtype), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def one_operator(operator: str, name: str, domain: str = "") -> onnx.ModelProto:
    """float32 [1,3,8,8] -> Relu -> the operator."""
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], name="first"),
        helper.make_node(operator, ["r"], ["y"], name=name, domain=domain),
    ]
    tensors = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, 8, 8]) for n in ("x", "y")]
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("my.domain", 1)]
    graph = helper.make_graph(nodes, "one", tensors[:1], tensors[1:])
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (1, HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.fixture
def save(tmp_path: Path) -> Callable[[onnx.ModelProto], Path]:
    def write(model: onnx.ModelProto) -> Path:
        file = tmp_path / "deploy.onnx"
        onnx.save(model, str(file))
        return file

    return write


@pytest.fixture
def deploy(save: Callable[[onnx.ModelProto], Path]) -> Path:
    return save(deploy_model())


@pytest.fixture
def deploy_half(save: Callable[[onnx.ModelProto], Path]) -> Path:
    return save(deploy_model(half=True))


@pytest.fixture
def make_deploy() -> Callable[..., onnx.ModelProto]:
    return deploy_model


@pytest.fixture
def make_operator() -> Callable[..., onnx.ModelProto]:
    return one_operator


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "engine"
    path.mkdir()
    return path
