"""A region of the frame: NumPy and the deploy graph see what a crop by hand shows them."""

from __future__ import annotations

import itertools

import msgspec
import numpy as np
import pytest
from rtx import parsed
from small_graphs import network, outputs_of, smooth_frames, spec_of

from edgeseg.core.frame import Frame
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.preprocess import Preprocess
from edgeseg.errors import InputError
from edgeseg.graph.deploy import compose
from edgeseg.graph.fp16 import measure_maxima, to_fp16
from edgeseg.graph.opsets import to_opset
from edgeseg.graph.typed import frame_feeds
from edgeseg.graph.wide_frames import as_input, joined_bytes
from edgeseg.runtime.frame_layouts import cut, packed_as
from edgeseg.runtime.preprocess import preprocess
from edgeseg.runtime.tasks import decided, task_of

CAMERA, REGION = (50, 70), (12, 6, 26, 38)
LAYOUTS = ("rgb", "gray", "bgr:uint16", "5:float32", "nv12", "yuyv", "bayer_rggb", "bayer_gbrg:uint16:4095")


def frames_of(frame: Frame, count: int = 1) -> np.ndarray:
    images = smooth_frames(count, CAMERA).astype(np.float64) / 255 * frame.full
    if frame.layout != "packed":
        return packed_as(np.rint(images).astype(frame.dtype), frame)
    images = images[..., np.arange(frame.channels) % 3]
    return (images if frame.dtype == "float32" else np.rint(images)).astype(frame.dtype)


def contract_of(text: str, **fields) -> Preprocess:
    return Preprocess(frame=Frame.parse(text), region=REGION, **fields)


def by_hand(frames: np.ndarray, contract: Preprocess) -> tuple[np.ndarray, Preprocess]:
    """The region of each frame as a frame of its own, and the contract for those."""
    parts = np.stack([cut(one, contract.frame, REGION[:2], REGION[2:]) for one in frames])
    return parts, msgspec.structs.replace(contract, region=None)


def plain_of(contract: Preprocess, **fields):
    return network(inputs=contract.channels, **fields)


@pytest.mark.parametrize("text", LAYOUTS)
@pytest.mark.parametrize("resize", ["none", "stretch", "letterbox"])
def test_numpy_sees_what_a_crop_by_hand_shows(text, resize):
    contract = contract_of(text, resize=resize, anchor="center")
    frames = frames_of(contract.frame, 2)
    parts, whole = by_hand(frames, contract)
    found, expected = preprocess(frames, contract, (32, 48)), preprocess(parts, whole, (32, 48))
    if contract.frame.pattern:  # at the edges a mosaic reads pixels beyond, which the crop lacks
        assert np.abs(found - expected).mean() < 0.02
    else:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("text", "resize", "task"),
    list(itertools.product(LAYOUTS, ["none", "letterbox"], ["semantic", "multilabel"])),
)
def test_the_graph_is_the_numpy_reference(text, resize, task):
    contract = contract_of(text, resize=resize)
    spec = spec_of(task=task, preprocess=contract)
    plain, frames = plain_of(contract), frames_of(contract.frame)
    deploy = compose(plain, spec, CAMERA, confidence=True)
    found = outputs_of(deploy, frames)
    infos = task_of(spec).outputs(spec, 1, CAMERA, confidence=True)
    assert {name: array.shape for name, array in found.items()} == {info.name: info.shape for info in infos}
    assert infos[0].shape[:3] == (1, *REGION[2:])
    scores = outputs_of(plain, preprocess(frames, contract, spec.input_size))["scores"]
    expected = decided(scores, spec, contract.place(CAMERA, spec.input_size))
    assert (found[infos[0].name] == expected).mean() >= 0.999 and len(np.unique(expected)) > 1


@pytest.mark.parametrize("upsample", ["scores", "labels"])
@pytest.mark.parametrize("text", ["rgb", "bgr:uint16", "nv12"])
def test_the_graph_equals_one_for_frames_cut_by_hand(text, upsample):
    contract = contract_of(text, resize="letterbox")
    spec = spec_of(preprocess=contract, postprocess=Postprocess(upsample=upsample))
    frames = frames_of(contract.frame)
    parts, whole = by_hand(frames, contract)
    plain = plain_of(contract, stride=4)
    alone = compose(plain, msgspec.structs.replace(spec, preprocess=whole), REGION[2:])
    found = outputs_of(compose(plain, spec, CAMERA), frames)["class_map"]
    np.testing.assert_array_equal(found, outputs_of(alone, parts)["class_map"])


@pytest.mark.parametrize("opset", [13, 18, 20])
def test_openvino_and_onnxruntime_agree(opset):
    openvino = pytest.importorskip("openvino")
    core = openvino.Core()
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    for text in ("rgb", "nv12", "bayer_rggb"):
        contract = contract_of(text, resize="letterbox")
        deploy = compose(plain_of(contract, opset=opset), spec_of(preprocess=contract), CAMERA)
        frames = frames_of(contract.frame)
        model = core.read_model(deploy.SerializeToString(), b"")
        compiled = core.compile_model(model, "CPU", options)
        found = compiled([frames])[compiled.output("class_map")]
        assert (found == outputs_of(deploy, frames)["class_map"]).mean() >= 0.999


@pytest.mark.parametrize("half", [False, True], ids=["fp32", "fp16"])
@pytest.mark.parametrize("text", ["rgb", "bgr:uint16", "5:float32", "nv12", "bayer_rggb"])
def test_tensorrt_builds_it(text, half):
    pytest.importorskip("tensorrt_rtx")
    contract = contract_of(text, resize="letterbox")
    deploy = compose(plain_of(contract), spec_of(preprocess=contract), CAMERA)
    frames = frames_of(contract.frame)
    expected = outputs_of(deploy, frames)["class_map"]
    if half:
        deploy = to_fp16(deploy, measure_maxima(deploy, frame_feeds(deploy, frames, contract.frame)))[0]
    if frames.dtype == np.uint16:
        deploy = joined_bytes(deploy)
    found = outputs_of(deploy, as_input(deploy, frames))["class_map"]
    assert (found == expected).mean() >= (0.98 if half else 0.999)
    assert parsed(to_opset(deploy, 18)).build()


def test_a_region_outside_the_frames_is_refused():
    with pytest.raises(InputError, match=r"12,6,26,38 .* 37x40"):
        compose(network(), spec_of(preprocess=contract_of("rgb", resize="letterbox")), (37, 40))
    with pytest.raises(InputError, match=r"12,6,26,38 .* 37x70"):
        preprocess(np.zeros((1, 37, 70, 3), np.uint8), contract_of("rgb"), (32, 48))
