"""The static graph in ONNX: the same results in the engines, no operator that one of them lacks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from onnx import ModelProto
from rtx import parsed
from small_rcnn import SIZE, images_of, meaningful
from small_rcnn import exported as graph_of
from tensorrt_operators import TENSORRT_10_3

from edgeseg.graph.reference import run, session
from edgeseg.graph.roi_align import sample_roi_align
from edgeseg.models.detection.static import StaticMaskRCNN

NAMES = ["boxes", "scores", "labels", "masks", "count", "unsettled"]
KINDS = ("v1", "v2")
FORMS = ("as exported", "RoIAlign sampled")


@pytest.fixture(scope="module")
def exported() -> dict[tuple[str, str], tuple[ModelProto, dict[str, np.ndarray], np.ndarray]]:
    """Per kind and form: the graph, what torch gives, and the image."""
    image, made = images_of(1), {}
    for kind in KINDS:
        static = StaticMaskRCNN(meaningful(kind), SIZE).eval()
        with torch.no_grad():
            wanted = {name: values.numpy() for name, values in static(image).items()}
        model = graph_of(kind)
        for form, graph in zip(FORMS, (model, sample_roi_align(model))):
            made[kind, form] = (graph, wanted, image.numpy())
    return made


def equal(found, wanted):
    assert wanted["count"][0] > 5
    for name in ("labels", "count", "unsettled"):
        assert found[name].dtype == np.int32
        np.testing.assert_array_equal(found[name], wanted[name])
    for name, near in (("boxes", 0.01), ("scores", 1e-4), ("masks", 1e-4)):
        np.testing.assert_allclose(found[name], wanted[name], rtol=0, atol=near)


@pytest.mark.parametrize("form", FORMS)
def test_shapes_are_fixed_and_operators_are_plain(exported, form):
    graph = exported["v1", form][0].graph
    assert [o.name for o in graph.output] == NAMES
    for value in [*graph.output, *graph.value_info]:
        assert all(d.dim_value > 0 for d in value.type.tensor_type.shape.dim), value.name
    operators = {n.op_type for n in graph.node}
    assert ("RoiAlign" in operators, "GridSample" in operators) == (form == FORMS[0], form == FORMS[1])
    assert not {"NonMaxSuppression", "NonZero", "Loop", "If", "Scan", "ScatterND"} & operators
    assert {n.domain for n in graph.node} == {""}
    assert operators - TENSORRT_10_3 == ({"RoiAlign"} if form == FORMS[0] else set())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("optimised", [False, True], ids=["as it is", "optimised"])
def test_onnx_runtime_agrees(exported, kind, form, optimised):
    model, wanted, image = exported[kind, form]
    equal(run(session(model, optimised=optimised), {"image": image}), wanted)


@pytest.mark.parametrize("form", FORMS)
def test_openvino_agrees(exported, form):
    openvino = pytest.importorskip("openvino")
    model, wanted, image = exported["v1", form]
    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(model.SerializeToString()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    result = compiled({"image": image})
    equal({name: result[name] for name in NAMES}, wanted)


def test_tensorrt_rtx_builds_it(exported):
    """Without a GPU, strongly typed; results need one."""
    trt = pytest.importorskip("tensorrt_rtx")
    model, wanted, _ = exported["v2", FORMS[1]]
    made = parsed(model)
    assert {name: tuple(o.shape) for name, o in made.outputs.items()} == {
        n: v.shape for n, v in wanted.items()
    }
    for name in ("labels", "count", "unsettled"):
        assert made.outputs[name].dtype == trt.DataType.INT32
    assert made.build()
