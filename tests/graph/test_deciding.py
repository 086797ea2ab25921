"""What stays float32 in a Mask R-CNN: found in its graph, kept in fp16."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from onnx import TensorProto
from rtx import parsed
from small_rcnn import exported, found_again, images_of

from edgeseg.graph.deciding import deciding_nodes
from edgeseg.graph.editor import Editor
from edgeseg.graph.fp16 import measure_maxima, to_fp16
from edgeseg.graph.half import rounded_to_half
from edgeseg.graph.reference import run, session
from edgeseg.graph.roi_align import sample_roi_align
from edgeseg.graph.shapes import element_types

LAYERS = {"Conv", "ConvTranspose", "Gemm", "Relu", "Resize", "MaxPool", "AveragePool", "Sigmoid"}


@pytest.fixture(scope="module")
def image() -> dict[str, np.ndarray]:
    return {"image": images_of(1).numpy()}


def test_it_is_all_but_the_layers_with_weights_and_what_is_moved_behind_them():
    graph = exported("v1").graph
    found = deciding_nodes(Editor(exported("v1")))
    kinds = Counter(node.op_type for node in graph.node if node.output[0] in found)
    assert not LAYERS & set(kinds)
    everywhere = Counter(node.op_type for node in graph.node)
    for kind in ("TopK", "RoiAlign", "MatMul", "Exp", "Div", "Sub", "Less", "Min", "Max", "Softmax", "Sqrt"):
        assert kinds[kind] == everywhere[kind] > 0


@pytest.mark.parametrize("rewrite", [lambda model: model, sample_roi_align], ids=["RoiAlign", "sampled"])
def test_half_precision_keeps_things_where_they_are(image, rewrite):
    model = rewrite(exported("v1"))
    half, kept = to_fp16(model, measure_maxima(model, [image]))
    assert kept == ()
    types = element_types(half)
    made = {node.output[0]: node for node in half.graph.node}
    half_types = {node.op_type: types[name] for name, node in made.items()}
    assert half_types["Conv"] == half_types["Gemm"] == TensorProto.FLOAT16
    assert half_types["TopK"] == half_types["Exp"] == half_types.get("GridSample", 1) == TensorProto.FLOAT
    expected, found = run(session(model), image), run(session(rounded_to_half(half)), image)
    assert found_again(expected, found, overlap=0.95) > 0.9


def test_tensorrt_rtx_builds_it_strongly_typed(image):
    model = sample_roi_align(exported("v1"))
    half, _ = to_fp16(model, measure_maxima(model, [image]))
    assert parsed(half).build()
