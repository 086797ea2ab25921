from __future__ import annotations

import numpy as np
import pytest
from small_graphs import network, outputs_of, smooth_frames, spec_of

from edgeseg.core.model_spec import default_classes
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.preprocess import Preprocess
from edgeseg.errors import GraphError
from edgeseg.graph.check import check_against_onnx, compare, golden, relative_error, sure_pixels
from edgeseg.graph.deploy import compose
from edgeseg.graph.fp16 import to_fp16
from edgeseg.runtime.preprocess import preprocess


def test_relative_error():
    reference = np.array([1.0, -4.0])
    assert relative_error(reference + 0.04, reference) == pytest.approx(0.01)
    assert relative_error(np.zeros(2), np.zeros(2)) == 0.0
    assert relative_error(np.array([np.nan, 1.0]), reference) == float("inf")
    assert relative_error(np.zeros(3), reference) == float("inf")


def test_a_check_per_kind_of_input():
    plain = network()
    checks = check_against_onnx(plain, plain, {"real": np.ones((1, 3, 32, 48), np.float32)})
    assert [(c.what, c.inputs, c.max_error) for c in checks] == [
        ("ONNX Runtime", "random", 0.0),
        ("ONNX Runtime", "real", 0.0),
    ]


def test_a_wrong_graph_is_refused_with_the_error():
    image = np.ones((1, 3, 32, 48), np.float32)
    right = outputs_of(network(), image)["scores"]
    with pytest.raises(GraphError, match=r"'scores'.*differs from the source by 5\.0e-02.*on real input"):
        compare(network(), lambda _: [right / 1.05], {"real": image}, against="the source")


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("upsample", ["scores", "labels"])
def test_sure_pixels_survive_half_precision(channels, upsample):
    spec = spec_of(
        classes=default_classes(max(2, channels)),
        preprocess=Preprocess(resize="letterbox", anchor="center"),
        postprocess=Postprocess(upsample=upsample),
    )
    plain, frames = network(channels, stride=2), smooth_frames(1, (60, 70))
    deploy = compose(plain, spec, (60, 70))
    result = golden(deploy, plain, spec, frames)
    assert {k: (v.dtype.name, v.shape) for k, v in result.items()} == {
        "frames": ("uint8", (1, 60, 70, 3)),
        "class_map": ("uint8", (1, 60, 70)),
        "sure": ("bool", (1, 60, 70)),
    }
    assert 0.5 < result["sure"].mean() < 1.0
    half = outputs_of(to_fp16(deploy, {})[0], frames)["class_map"]
    assert (half == result["class_map"])[result["sure"]].all()


def test_a_pixel_between_two_classes_is_not_sure():
    spec = spec_of()
    place = spec.preprocess.place((32, 48), (32, 48))
    scores = np.zeros((1, 4, 32, 48), np.float32)
    scores[:, 0], scores[:, 1] = 1.0, 0.5
    scores[0, 1, 3, 5] = 0.99
    sure = sure_pixels(scores, spec, place)
    assert not sure[0, 3, 5] and sure.sum() == sure.size - 1


def test_every_threshold_of_a_bit_mask_counts():
    spec = spec_of(task="multilabel")
    place = spec.preprocess.place((32, 48), (32, 48))
    scores = np.ones((1, 4, 32, 48), np.float32)
    scores[0, 2, 7, 9] = -0.001
    assert not sure_pixels(scores, spec, place)[0, 7, 9]


def test_the_frames_of_golden_are_the_input_of_the_plain_graph():
    spec, frames = spec_of(), smooth_frames(1, (32, 48))
    scores = outputs_of(network(), preprocess(frames, spec.preprocess, (32, 48)))["scores"]
    found = golden(compose(network(), spec, (32, 48)), network(), spec, frames)
    np.testing.assert_array_equal(found["class_map"], scores.argmax(1))
