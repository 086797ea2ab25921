"""TensorRT-RTX parses and builds what compose and to_fp16 write; no GPU is needed to build."""

from __future__ import annotations

import pytest
from onnx import TensorProto
from rtx import parsed
from small_graphs import decoder, network, operators, smooth_frames, spec_of

from edgeseg.core.frame import Frame
from edgeseg.core.model_spec import default_classes
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.preprocess import Preprocess
from edgeseg.graph.deploy import compose
from edgeseg.graph.editor import shape_of
from edgeseg.graph.fp16 import measure_maxima, to_fp16

trt = pytest.importorskip("tensorrt_rtx")
CAMERA = (50, 70)
CASES = {
    "argmax": ({}, 4, {}),
    "argmax-labels": ({}, 4, {"upsample": "labels"}),
    "one-channel": ({"classes": default_classes(2)}, 1, {"activation": "sigmoid"}),
    "multilabel": ({"task": "multilabel"}, 4, {}),
    "multilabel-labels": ({"task": "multilabel"}, 4, {"upsample": "labels"}),
    "bits-of-29": ({"task": "multilabel", "classes": default_classes(29)}, 29, {"threshold": (0.4,) * 29}),
    "int32": ({"classes": default_classes(300)}, 300, {}),
}


TYPES = {TensorProto.UINT8: trt.DataType.UINT8, TensorProto.INT32: trt.DataType.INT32}


def engine(model, capability: str) -> bytes:
    """Parse strongly typed and build ahead of time."""
    made = parsed(model)
    assert made.network.get_input(0).dtype == trt.DataType.UINT8
    assert tuple(made.network.get_input(0).shape) == (1, *CAMERA, 3)
    wanted = model.graph.output[0]
    found = made.outputs[wanted.name]
    assert found.dtype == TYPES[wanted.type.tensor_type.elem_type]
    assert tuple(found.shape) == shape_of(wanted) and shape_of(wanted)[:3] == (1, *CAMERA)
    return made.build(capability)


def deploy(case: str, *, half: bool, confidence: bool = False):
    fields, channels, post = CASES[case]
    contract = Preprocess(resize="letterbox", anchor="center", frame=Frame(order="bgr"))
    spec = spec_of(preprocess=contract, postprocess=Postprocess(**post), **fields)
    model = compose(network(channels, stride=2), spec, CAMERA, confidence=confidence)
    if not half:
        return model
    return to_fp16(model, measure_maxima(model, [{"frames": smooth_frames(1, CAMERA)}]))[0]


@pytest.mark.parametrize("half", [False, True], ids=["fp32", "fp16"])
@pytest.mark.parametrize("case", CASES)
def test_every_form_of_the_deploy_graph_builds(case, half):
    assert engine(deploy(case, half=half, confidence=True), "SM86")


@pytest.mark.parametrize("capability", ["SM75", "SM80", "SM89", "SM120"])
@pytest.mark.parametrize("half", [False, True], ids=["fp32", "fp16"])
def test_builds_for_every_generation(capability, half):
    assert engine(deploy("argmax", half=half), capability)


@pytest.mark.parametrize("half", [False, True], ids=["fp32", "fp16"])
def test_a_transposed_convolution_that_writes_the_frame_alone_builds(half):
    """Its pads are larger than its kernel."""
    model = compose(decoder(size=(96, 96)), spec_of((96, 96)), CAMERA)
    assert "Slice" not in operators(model)
    if half:
        model = to_fp16(model, measure_maxima(model, [{"frames": smooth_frames(1, CAMERA)}]))[0]
    assert engine(model, "SM86")
