"""The Q/DQ graphs in the engines they are made for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto
from patterns import PATTERNS, concat_mixed, feeds

from edgeseg.backends import backend_for
from edgeseg.core.ports import BuildSettings
from edgeseg.core.target import Target
from edgeseg.graph.fp16 import to_fp16
from edgeseg.graph.reference import run, session
from edgeseg.quantization.ptq import quantize
from edgeseg.quantization.schemes import scheme_named


def openvino(model: ModelProto, hint: str = "f32") -> Any:
    package = pytest.importorskip("openvino")
    core = package.Core()
    config = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": 1}
    return core.compile_model(core.read_model(model.SerializeToString()), "CPU", config)


def layers(compiled: Any) -> list[tuple[str, str, str]]:
    """(kind, precision, name) of what OpenVINO runs."""
    found = []
    for node in compiled.get_runtime_model().get_ordered_ops():
        about = {key: str(value.astype(str)) for key, value in node.get_rt_info().items()}
        found.append((about["layerType"], about["runtimePrecision"], node.get_friendly_name()))
    return found


@pytest.mark.parametrize("pattern", PATTERNS)
def test_openvino_computes_what_the_graph_says(pattern: str) -> None:
    result = quantize(PATTERNS[pattern](), feeds(), scheme_named("openvino")).model
    image = feeds(1, seed=9)[0]
    expected = next(iter(run(session(result), image).values()))
    found = openvino(result).create_infer_request().infer(image)[0]
    error = np.abs(found - expected) / np.abs(expected).max()
    assert error.mean() < 5e-3


@pytest.mark.parametrize("pattern", ["tokens", "signed-pool"])
def test_openvino_computes_what_the_graph_says_without_amx(pattern: str, tmp_path: Path) -> None:
    """The instruction set is read once per process. With int8 where values are only moved or selected, the
    mean error is 3% of the largest value."""
    pytest.importorskip("openvino")
    quantized = quantize(PATTERNS[pattern](), feeds(), scheme_named("openvino")).model
    image = feeds(1, seed=9)[0]
    onnx.save(quantized, tmp_path / "quantized.onnx")
    np.save(tmp_path / "image.npy", image["image"])
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"}
    subprocess.run([sys.executable, "-c", CHILD], cwd=tmp_path, env=environment, check=True)
    expected = next(iter(run(session(quantized), image).values()))
    error = np.abs(np.load(tmp_path / "found.npy") - expected) / np.abs(expected).max()
    assert error.mean() < 5e-3


CHILD = """
import numpy, openvino
model = openvino.Core().compile_model("quantized.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
numpy.save("found.npy", model.create_infer_request().infer({"image": numpy.load("image.npy")})[0])
"""


def test_a_concat_of_a_signed_tensor_is_right_in_openvino() -> None:
    """With int8 instead of uint8 with zero point 128 it is not, on CPUs without AMX."""
    result = quantize(concat_mixed(), feeds(), scheme_named("openvino"))
    assert {result.ranges[t].zero_point for t in ("act", "big")} == {128}
    image = feeds(1, seed=9)[0]
    expected = next(iter(run(session(result.model), image).values()))
    found = openvino(result.model).create_infer_request().infer(image)[0]
    np.testing.assert_allclose(found, expected, atol=0.02 * np.abs(expected).max())


@pytest.mark.parametrize("pattern", sorted(set(PATTERNS) - {"dense"}))
def test_int8_runs_are_unbroken_in_openvino(pattern: str) -> None:
    """Every convolution computes in int8, and nothing is turned into float between two of them."""
    result = quantize(PATTERNS[pattern](), feeds(2), scheme_named("openvino")).model
    runs = layers(openvino(result))
    convolutions = [p for kind, p, _ in runs if kind in ("Convolution", "Deconvolution")]
    gate = 1 if pattern == "squeeze-excite-swish" else 0  # one number per channel
    assert len([p for p in convolutions if p in ("u8", "i8")]) >= len(convolutions) - gate
    between = [kind for kind, p, name in runs if kind == "Subgraph" and not name.startswith("image")]
    allowed = {"squeeze-excite-swish": 2, "concat-mixed": 1, "pooled": 1, "depthwise-transposed": 1}
    assert len(between) <= allowed.get(pattern, 0)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_builds_with_tensorrt_rtx(pattern: str, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    file = tmp_path / "qdq.onnx"
    typed, kept = to_fp16(quantize(PATTERNS[pattern](), feeds(2), scheme_named("tensorrt")).model, {})
    assert not kept
    onnx.save(typed, file)
    target = Target.parse("rtx-int8@sm86")
    built = backend_for(target).build(file, target, tmp_path, BuildSettings())
    assert [t.dtype for t in (*built.inputs, *built.outputs)] == ["float32", "float32"]
