"""The static graph in ONNX: the same results in the engines, no operator that one of them lacks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from onnx import ModelProto
from rtx import parsed
from small_rcnn import SIZE, images_of, meaningful

from edgeseg.graph.export import export_torch
from edgeseg.graph.reference import run, session
from edgeseg.models.detection.roi_align import FORMS
from edgeseg.models.detection.static import StaticMaskRCNN

NAMES = ["boxes", "scores", "labels", "masks", "count", "unsettled"]
KIND = {"native": "v1", "sampled": "v2"}


@pytest.fixture(scope="module")
def exported() -> dict[str, tuple[ModelProto, dict[str, np.ndarray], np.ndarray]]:
    """Per form: the graph, what torch gives, and the image."""
    image, made = images_of(1), {}
    for form in FORMS:
        static = StaticMaskRCNN(meaningful(KIND[form]), SIZE, form=form).eval()
        with torch.no_grad():
            wanted = {name: values.numpy() for name, values in static(image).items()}
        made[form] = (export_torch(static, (3, *SIZE)), wanted, image.numpy())
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
    graph = exported[form][0].graph
    assert [o.name for o in graph.output] == NAMES
    for value in [*graph.output, *graph.value_info]:
        assert all(d.dim_value > 0 for d in value.type.tensor_type.shape.dim), value.name
    operators = {n.op_type for n in graph.node}
    assert ("RoiAlign" in operators, "GridSample" in operators) == (form == "native", form == "sampled")
    assert not {"NonMaxSuppression", "NonZero", "Loop", "If", "Scan", "ScatterND"} & operators
    assert {n.domain for n in graph.node} == {""}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("optimised", [False, True], ids=["as it is", "optimised"])
def test_onnx_runtime_agrees(exported, form, optimised):
    model, wanted, image = exported[form]
    equal(run(session(model, optimised=optimised), {"image": image}), wanted)


@pytest.mark.parametrize("form", FORMS)
def test_openvino_agrees(exported, form):
    openvino = pytest.importorskip("openvino")
    model, wanted, image = exported[form]
    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(model.SerializeToString()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    result = compiled({"image": image})
    equal({name: result[name] for name in NAMES}, wanted)


def test_tensorrt_rtx_builds_the_sampled_form(exported):
    """Without a GPU, strongly typed; results need one."""
    trt = pytest.importorskip("tensorrt_rtx")
    made = parsed(exported["sampled"][0])
    wanted = exported["sampled"][1]
    assert {name: tuple(o.shape) for name, o in made.outputs.items()} == {
        n: v.shape for n, v in wanted.items()
    }
    for name in ("labels", "count", "unsettled"):
        assert made.outputs[name].dtype == trt.DataType.INT32
    assert made.build()
