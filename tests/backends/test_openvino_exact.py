"""A Mask R-CNN in OpenVINO: what decides about things stays float32, whatever precision it is opened with."""

from __future__ import annotations

from collections import defaultdict

import engines
import numpy as np
import onnx
import pytest
from onnx import ModelProto
from small_rcnn import exported, found_again, images_of

from edgeseg.backends import backend_for
from edgeseg.core.ports import BuildSettings
from edgeseg.core.target import Target
from edgeseg.graph.exact_forms import exact_forms

ov = pytest.importorskip("openvino")
LAYERS = {"Convolution", "Deconvolution", "FullyConnected", "Interpolate", "Pooling", "Eltwise", "ROIAlign"}


def built(model: ModelProto, folder, precision: str):
    file = folder / "network.onnx"
    onnx.save(model, str(file))
    return engines.make(file, folder, f"openvino-{precision}+threads=1")[1]


def outputs(engine) -> dict[str, np.ndarray]:
    request = engine.request()
    request.write({"image": images_of(1).numpy()})
    request.execute()
    return {name: values.copy() for name, values in request.read().items()}


def test_bf16_is_for_layers_with_weights(tmp_path):
    if "BF16" not in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no bf16")
    model = exact_forms(exported("v1"))
    (tmp_path / "half").mkdir()
    engine = built(model, tmp_path / "half", "bf16")
    by_precision = defaultdict(set)
    for layer in engine.layers():
        by_precision[layer.precision].add(layer.kind)
    assert "Convolution" in by_precision["bf16"] and "MatMul" in by_precision["f32"]
    # Two columns of the boxes that only choose a level: OpenVINO moves a factor of theirs before the Gather.
    rest = by_precision["bf16"] - LAYERS - {"Reorder", "Reshape", "Subgraph", "Gather"}
    assert not rest
    named = " ".join(" ".join(layer.nodes) for layer in engine.layers() if layer.precision == "bf16")
    assert not any(word in named for word in ("minimum", "div", "exp", "matmul", "topk"))
    half, whole = outputs(engine), outputs(built(model, tmp_path, "fp32"))
    assert found_again(whole, half, overlap=0.8) > 0.8


def test_constants_of_boxes_are_not_rounded_to_fp16(tmp_path):
    file = tmp_path / "network.onnx"
    onnx.save(exact_forms(exported("v1")), str(file))
    target = Target.parse("openvino-fp16")
    backend_for(target).build(file, target, tmp_path, BuildSettings())
    assert {path.name for path in tmp_path.iterdir()} == {"network.onnx", "model.xml", "model.bin"}
    dtypes = {
        layer.get_friendly_name(): layer.get_element_type().to_string()
        for layer in ov.Core().read_model(tmp_path / "model.xml").get_ordered_ops()
        if layer.get_type_name() == "Constant"
    }
    assert {kind for name, kind in dtypes.items() if name.startswith("proposals.anchors")} == {"f32"}
    assert "f16" in dtypes.values()


def test_a_network_without_things_is_saved_as_it_is(deploy, tmp_path):
    target = Target.parse("openvino-fp32")
    backend_for(target).build(deploy, target, tmp_path, BuildSettings())
    assert "precise" not in (tmp_path / "model.xml").read_text()
