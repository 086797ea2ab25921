"""The nodes that convert a layout against the NumPy reference, in ONNX Runtime, OpenVINO and TensorRT-RTX."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper
from rtx import parsed
from small_graphs import model_of, network, outputs_of, smooth_frames, spec_of

from edgeseg.core.frame import Frame
from edgeseg.core.model_spec import default_classes
from edgeseg.core.preprocess import Preprocess
from edgeseg.errors import InputError
from edgeseg.graph.deploy import compose
from edgeseg.graph.fp16 import measure_maxima, to_fp16
from edgeseg.graph.opsets import to_opset
from edgeseg.graph.typed import frame_feeds
from edgeseg.graph.wide_frames import as_input, joined_bytes
from edgeseg.runtime.frame_layouts import packed_as, unpacked
from edgeseg.runtime.preprocess import preprocess
from edgeseg.runtime.tasks import decided

CAMERA = (26, 38)
LAYOUTS = (
    "nv12", "nv12:bt709-full", "yuyv", "yuyv:bt709",
    "bayer_rggb", "bayer_bggr", "bayer_grbg:uint16:4095", "bayer_gbrg:uint16",
)  # fmt: skip


def deploy_of(text: str, opset: int = 18, batch: int = 1, resize: str = "letterbox"):
    contract = Preprocess(frame=Frame.parse(text), resize=resize, color="bgr")
    spec = spec_of(preprocess=contract)
    plain = network(opset=opset, batch=batch)
    return compose(plain, spec, CAMERA), plain, spec


def frames_of(text: str, count: int = 1) -> np.ndarray:
    frame = Frame.parse(text)
    images = smooth_frames(count, CAMERA).astype(np.float64) / 255 * frame.full
    return packed_as(np.rint(images).astype(frame.dtype), frame)


def expected_of(plain, spec, frames):
    scores = outputs_of(plain, preprocess(frames, spec.preprocess, spec.input_size))["scores"]
    return decided(scores, spec, spec.preprocess.place(CAMERA, spec.input_size))


@pytest.mark.parametrize("text", LAYOUTS)
def test_every_pixel_is_that_of_the_numpy_reference(text):
    """Through a network that returns its input; the second class of two is where red is over green."""
    size = CAMERA
    values = {"w": np.array([[[[0]], [[1]], [[0]]], [[[1]], [[0]], [[0]]]], np.float32)}
    node = helper.make_node("Conv", ["image", "w"], ["scores"], name="c")
    plain = model_of([node], values, shape=(2, 3, *size))
    frame = Frame.parse(text)
    spec = spec_of(size, preprocess=Preprocess(frame=frame), classes=default_classes(2))
    rng = np.random.default_rng(0)
    frames = rng.integers(0, int(frame.full) + 1, frame.shape(2, *size)).astype(frame.dtype)
    model = compose(plain, spec, size, confidence=True)
    image = preprocess(frames, spec.preprocess, size).astype(np.float64)
    found = outputs_of(model, frames)["confidence"]
    red, green = image[:, 0], image[:, 1]
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-np.abs(red - green))), atol=2e-6)


@pytest.mark.parametrize("opset", [13, 18, 20])
@pytest.mark.parametrize("text", LAYOUTS)
def test_masks_are_those_of_the_numpy_reference(text, opset):
    deploy, plain, spec = deploy_of(text, opset, batch=2)
    frames = frames_of(text, 2)
    found = outputs_of(deploy, frames)["class_map"]
    expected = expected_of(plain, spec, frames)
    assert found.shape == expected.shape == (2, *CAMERA) and len(np.unique(found)) > 1
    assert (found == expected).mean() >= 0.999


@pytest.mark.parametrize("text", LAYOUTS)
def test_openvino_agrees(text):
    openvino = pytest.importorskip("openvino")
    deploy, plain, spec = deploy_of(text)
    frames = frames_of(text)
    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(deploy.SerializeToString(), b""),
        "CPU",
        {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1},
    )
    found = compiled([frames])[compiled.output("class_map")]
    assert (found == expected_of(plain, spec, frames)).mean() >= 0.999


@pytest.mark.parametrize("half", [False, True], ids=["fp32", "fp16"])
@pytest.mark.parametrize("text", LAYOUTS)
def test_tensorrt_builds_it(text, half):
    trt = pytest.importorskip("tensorrt_rtx")
    deploy, plain, spec = deploy_of(text)
    frames = frames_of(text)
    if half:
        deploy = to_fp16(deploy, measure_maxima(deploy, frame_feeds(deploy, frames, Frame.parse(text))))[0]
    if frames.dtype == np.uint16:
        deploy = joined_bytes(deploy)
    found = outputs_of(deploy, as_input(deploy, frames))["class_map"]
    assert (found == expected_of(plain, spec, frames)).mean() >= (0.98 if half else 0.999)
    made = parsed(to_opset(deploy, 18))
    assert made.network.get_input(0).dtype == trt.DataType.UINT8
    assert made.build()


@pytest.mark.parametrize("text", (*LAYOUTS, "bgr", "rgb:uint16:4095", "rgb:float32:10"))
def test_activations_are_measured_in_darkness_and_in_full_light(text):
    frame = Frame.parse(text)
    spec = spec_of(preprocess=Preprocess(frame=frame))
    deploy = compose(network(), spec, CAMERA)
    frames = np.zeros(frame.shape(1, *CAMERA), frame.dtype)
    *_, dark, light = (feed["frames"] for feed in frame_feeds(deploy, frames, frame))
    assert dark.dtype == light.dtype == frame.dtype and dark.shape == light.shape == frames.shape
    assert np.abs(unpacked(dark, frame)).max() <= 1e-3 * frame.full
    assert unpacked(light, frame).min() >= (1 - 1e-3) * frame.full


@pytest.mark.parametrize(
    ("text", "camera", "told"),
    [("nv12", (25, 38), "an even height and an even width"), ("yuyv", (25, 37), "an even width")],
)
def test_odd_sizes_are_refused(text, camera, told):
    spec = spec_of(preprocess=Preprocess(frame=Frame.parse(text)))
    with pytest.raises(InputError, match=f"25x3.*\n.*{told}"):
        compose(network(), spec, camera)
