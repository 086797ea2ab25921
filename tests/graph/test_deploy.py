from __future__ import annotations

import itertools

import numpy as np
import pytest
from small_graphs import model_of, network, operators, outputs_of, smooth_frames, spec_of

from edgeseg.core.frame import Frame
from edgeseg.core.model_spec import default_classes
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.preprocess import Preprocess
from edgeseg.core.quantization import ScoreGrid
from edgeseg.errors import GraphError, InputError, ModelError
from edgeseg.graph.deploy import compose
from edgeseg.runtime.preprocess import preprocess
from edgeseg.runtime.tasks import decided, task_of

SIZE = (32, 48)


def reference(plain, spec, frames):
    image = preprocess(frames, spec.preprocess, spec.input_size)
    scores = outputs_of(plain, image)[spec.postprocess.output or "scores"]
    place = spec.preprocess.place(frames.shape[1:3], spec.input_size)
    return decided(scores, spec, place), scores


def agreement(plain, spec, camera, batch=1):
    frames = smooth_frames(batch, camera)
    (found,) = outputs_of(compose(plain, spec, camera), frames).values()
    expected, _ = reference(plain, spec, frames)
    assert found.dtype == np.uint8 and found.shape == expected.shape
    assert found.shape[:3] == (batch, *camera)
    assert len(np.unique(expected)) > 1
    return (found == expected).mean()


@pytest.mark.parametrize(
    ("resize", "anchor", "pad_space", "swap"),
    list(
        itertools.product(
            ["none", "stretch", "letterbox"], ["top-left", "center"], ["normalized", "pixel"], [False, True]
        )
    ),
)
def test_equals_the_numpy_reference(resize, anchor, pad_space, swap):
    contract = Preprocess(
        resize=resize,
        anchor=anchor,
        pad_space=pad_space,
        pad_value=114.0 if pad_space == "pixel" else 0.5,
        frame=Frame(order="bgr" if swap else "rgb"),
    )
    camera = (25, 40) if resize == "none" else (50, 70)
    assert agreement(network(), spec_of(preprocess=contract), camera) >= 0.999


@pytest.mark.parametrize("camera", [(32, 48), (20, 30), (90, 75)])
@pytest.mark.parametrize("upsample", ["scores", "labels"])
@pytest.mark.parametrize("stride", [1, 4])
def test_scores_return_to_camera_size(camera, upsample, stride):
    spec = spec_of(preprocess=Preprocess(resize="letterbox"), postprocess=Postprocess(upsample=upsample))
    assert agreement(network(stride=stride), spec, camera) >= 0.999


@pytest.mark.parametrize("task", ["semantic", "multilabel"])
@pytest.mark.parametrize("channels", [1, 2, 8])
@pytest.mark.parametrize("upsample", ["scores", "labels"])
def test_every_decision(task, channels, upsample):
    spec = spec_of(
        task=task,
        classes=default_classes(max(2, channels)),
        preprocess=Preprocess(resize="stretch"),
        postprocess=Postprocess(threshold=0.4, upsample=upsample),
    )
    assert agreement(network(channels), spec, (41, 57), batch=1) >= 0.999


@pytest.mark.parametrize("opset", [13, 15, 17, 18, 20])
@pytest.mark.parametrize("task", ["semantic", "multilabel"])
def test_keeps_the_opset_of_the_plain_graph(opset, task):
    spec = spec_of(task=task, preprocess=Preprocess(resize="letterbox"))
    plain = network(opset=opset)
    deploy = compose(plain, spec, (50, 60), confidence=True)
    assert deploy.opset_import[0].version == opset
    assert agreement(plain, spec, (50, 60)) >= 0.999


def test_a_batch():
    assert (
        agreement(network(batch=3), spec_of(preprocess=Preprocess(resize="stretch")), (20, 30), batch=3)
        >= 0.999
    )


def test_equal_scores_give_the_first_class():
    plain = network()
    for tensor in plain.graph.initializer:
        if tensor.name in ("w2", "b2"):
            tensor.raw_data = bytes(len(tensor.raw_data))
    found = outputs_of(compose(plain, spec_of(), SIZE), smooth_frames(1, SIZE))["class_map"]
    assert not found.any()


@pytest.mark.parametrize("camera", [(32, 48), (20, 30)])
def test_uint8_levels_decide_as_the_scores_do(camera):
    spec = spec_of(preprocess=Preprocess(resize="none"))
    frames = smooth_frames(1, camera)
    expected, scores = reference(network(), spec, frames)
    winners = scores.max(axis=1)
    scale = float(winners.max() - min(winners.min(), 0)) / 250
    grid = ScoreGrid(scale=scale, zero_point=round(max(-winners.min(), 0) / scale) + 2)
    deploy = compose(network(), spec, camera, score_grid=grid)
    assert operators(deploy).count("QuantizeLinear") == 1
    found = outputs_of(deploy, frames)["class_map"]
    second, first = np.moveaxis(np.sort(scores, axis=1)[:, -2:, : camera[0], : camera[1]], 1, 0)
    assert (found == expected)[first - second > scale].all() and (found == expected).mean() > 0.97


def test_interpolated_scores_confidence_and_bit_masks_need_the_scores_themselves():
    grid = ScoreGrid(scale=0.1, zero_point=0)
    letterbox, large = Preprocess(resize="letterbox"), (50, 70)
    cases = [
        compose(network(), spec_of(preprocess=letterbox), large, score_grid=grid),
        compose(network(stride=4), spec_of(), SIZE, score_grid=grid),
        compose(network(), spec_of(), SIZE, score_grid=grid, confidence=True),
        compose(network(), spec_of(task="multilabel"), SIZE, score_grid=grid),
    ]
    assert not any("QuantizeLinear" in operators(deploy) for deploy in cases)
    labels = spec_of(preprocess=letterbox, postprocess=Postprocess(upsample="labels"))
    assert "QuantizeLinear" in operators(compose(network(), labels, large, score_grid=grid))


def test_frames_of_the_input_size_are_neither_resized_nor_padded():
    found = operators(compose(network(), spec_of(), SIZE))
    assert not {"Resize", "Pad", "Slice", "Gather"} & set(found)


@pytest.mark.parametrize("activation", ["logits", "softmax", "sigmoid"])
@pytest.mark.parametrize("channels", [1, 4])
def test_confidence_is_the_probability_of_the_chosen_class(activation, channels):
    spec = spec_of(
        classes=default_classes(max(2, channels)),
        postprocess=Postprocess(activation=activation, threshold=0.3),
    )
    frames = smooth_frames(1, SIZE)
    found = outputs_of(compose(network(channels), spec, SIZE, confidence=True), frames)
    _, scores = reference(network(channels), spec, frames)
    expected = task_of(spec).confidence(scores, spec, spec.preprocess.place(SIZE, SIZE))
    assert found["confidence"].dtype == np.float32
    np.testing.assert_allclose(found["confidence"], expected, atol=1e-5)


@pytest.mark.parametrize("task", ["semantic", "multilabel"])
@pytest.mark.parametrize("upsample", ["scores", "labels"])
@pytest.mark.parametrize("stride", [1, 4])
def test_the_confidence_takes_the_road_of_the_class_map(task, upsample, stride):
    camera = (50, 70)
    spec = spec_of(
        task=task,
        preprocess=Preprocess(resize="letterbox", anchor="center"),
        postprocess=Postprocess(upsample=upsample),
    )
    plain, frames = network(stride=stride), smooth_frames(1, camera)
    found = outputs_of(compose(plain, spec, camera, confidence=True), frames)["confidence"]
    _, scores = reference(plain, spec, frames)
    expected = task_of(spec).confidence(scores, spec, spec.preprocess.place(camera, spec.input_size))
    assert found.shape == expected.shape == (1, *camera) and np.ptp(expected) > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_only_the_output_that_counts_is_kept():
    from onnx import helper

    plain = model_of(
        [
            helper.make_node("Relu", ["image"], ["main"], name="a"),
            helper.make_node("Exp", ["image"], ["aux"], name="b"),
        ],
        shape=(1, 3, *SIZE),
        outputs=("aux", "main"),
    )
    spec = spec_of(postprocess=Postprocess(output="main"), classes=default_classes(3))
    assert "Exp" not in operators(compose(plain, spec, SIZE))
    with pytest.raises(GraphError, match=r"2 outputs.*\n.*aux, main"):
        compose(plain, spec_of(), SIZE)
    with pytest.raises(GraphError, match="no output 'other'"):
        compose(plain, spec_of(postprocess=Postprocess(output="other")), SIZE)


@pytest.mark.parametrize("upsample", ["scores", "labels"])
@pytest.mark.parametrize("channels", [9, 16, 29])
def test_bits_of_any_number_of_classes(channels, upsample):
    thresholds = tuple(np.linspace(0.2, 0.8, channels).round(2).tolist())
    spec = spec_of(
        task="multilabel",
        classes=default_classes(channels),
        preprocess=Preprocess(resize="letterbox"),
        postprocess=Postprocess(threshold=thresholds, upsample=upsample),
    )
    frames = smooth_frames(1, (41, 57))
    deploy = compose(network(channels), spec, (41, 57))
    found = outputs_of(deploy, frames)["bit_masks"]
    expected, _ = reference(network(channels), spec, frames)
    assert (found.dtype, found.shape) == (np.uint8, (1, 41, 57, -(-channels // 8)))
    assert len(np.unique(found)) > 8 and (found == expected).mean() >= 0.999


def test_more_than_256_classes_give_int32():
    spec = spec_of(classes=default_classes(300))
    frames = smooth_frames(1, SIZE)
    found = outputs_of(compose(network(300), spec, SIZE), frames)["class_map"]
    assert found.dtype == np.int32 and found.max() > 255
    assert (found == reference(network(300), spec, frames)[0]).mean() >= 0.999


def test_a_task_without_a_file_is_refused():
    with pytest.raises(ModelError, match="no task 'depth'"):
        compose(network(), spec_of(task="depth"), SIZE)


def test_another_input_size_and_old_opset_are_refused():
    with pytest.raises(GraphError, match=r"takes \[1, 3, 32, 48\].*\[1, 3, 64, 64\]"):
        compose(network(), spec_of((64, 64)), (64, 64))
    with pytest.raises(GraphError, match="opset 12"):
        compose(network(opset=12), spec_of(), SIZE)


def test_a_frame_that_does_not_fit_is_refused():
    with pytest.raises(InputError, match="100x100"):
        compose(network(), spec_of(), (100, 100))


@pytest.mark.parametrize("hint", ["f32", "bf16"])
@pytest.mark.parametrize(("task", "channels"), [("semantic", 4), ("semantic", 300), ("multilabel", 29)])
def test_openvino_agrees(task, channels, hint):
    openvino = pytest.importorskip("openvino")
    spec = spec_of(
        task=task,
        classes=default_classes(channels),
        preprocess=Preprocess(resize="letterbox", anchor="center", frame=Frame(order="bgr")),
    )
    frames, plain = smooth_frames(1, (50, 70)), network(channels)
    deploy = compose(plain, spec, (50, 70))
    core = openvino.Core()
    options = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": 1}
    compiled = core.compile_model(core.read_model(deploy.SerializeToString(), b""), "CPU", options)
    found = compiled([frames])[compiled.output(deploy.graph.output[0].name)]
    expected = reference(plain, spec, frames)[0]
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    if hint == "f32":
        assert (found == expected).mean() >= 0.999
    else:  # scores move, and bits are whole all the same
        assert (found == expected).mean() >= 0.9
