from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeseg.backends import backend_for
from edgeseg.core.target import Target
from edgeseg.errors import MissingDevice
from edgeseg.flow.latency import EngineStopwatch
from edgeseg.pruning.staircase import _convolution

CPU = ["ort-fp32", "ort-fp16", "openvino-fp32+threads=1"]


@pytest.fixture
def graph(tmp_path):
    path = tmp_path / "graph.onnx"
    onnx.save(_convolution(8, (4, 4)), str(path))
    return path


@pytest.fixture
def decoder(tmp_path):
    """A convolution, an upsampling that OpenVINO gets merged with the next one, and the scores."""
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.normal(size=(out, inputs, 3, 3)).astype(np.float32), name)
        for name, out, inputs in (("w1", 16, 8), ("w2", 16, 24), ("w3", 4, 16))
    ]
    scales = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")
    pads = {"pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["a"], name="first", strides=[2, 2], **pads),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node(
            "Resize", ["b", "", "scales"], ["c"], name="up", mode="nearest",
            coordinate_transformation_mode="asymmetric", nearest_mode="floor",
        ),
        helper.make_node("Concat", ["c", "image"], ["d"], name="concat", axis=1),
        helper.make_node("Conv", ["d", "w2"], ["e"], name="second", **pads),
        helper.make_node("Relu", ["e"], ["f"], name="relu2"),
        helper.make_node("Conv", ["f", "w3"], ["scores"], name="head", **pads),
    ]  # fmt: skip
    made = helper.make_graph(
        nodes,
        "decoder",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 8, 32, 32])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 4, 32, 32])],
        [*weights, scales],
    )
    path = tmp_path / "decoder.onnx"
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(path))
    return path


@pytest.mark.parametrize("target", CPU)
def test_plain_graphs_are_timed_in_turn(graph, target):
    first, second = EngineStopwatch().race([graph, graph], Target.parse(target))
    assert 0.0 < first.milliseconds < 1000.0 and first.over_first is None
    ratio = second.over_first
    assert (ratio.a, ratio.b, ratio.clock) == ("graph", "graph", "device")
    assert ratio.low <= ratio.ratio <= ratio.high and (ratio.openings, ratio.blocks) == (4, 8)


def test_the_engines_of_a_race_are_built_once_and_opened_anew_in_turn(graph, monkeypatch):
    null = type(backend_for(Target.parse("null-fp32")))
    seen = []

    def watched(name):
        real = getattr(null, name)

        def call(self, *args, **kwargs):
            seen.append((name, str(args[0])))
            return real(self, *args, **kwargs)

        monkeypatch.setattr(null, name, call)

    watched("build")
    watched("open")
    EngineStopwatch().race([graph, graph], Target.parse("null-fp32"))
    assert [name for name, _ in seen] == ["build"] * 2 + ["open"] * 8
    first, second, *later = [place for name, place in seen if name == "open"]
    assert later == [second, first, first, second, second, first]


@pytest.mark.parametrize("target", [*CPU, "openvino-bf16"])
def test_every_convolution_has_its_time_whatever_the_engine_calls_it(decoder, target):
    times = EngineStopwatch().layers(decoder, Target.parse(target))
    assert set(times) == {"first", "second", "head"} and all(ms > 0.0 for ms in times.values())


def test_an_engine_that_tells_no_layers_gives_no_times(graph):
    assert EngineStopwatch().layers(graph, Target.parse("null-fp32")) == {}


def test_a_target_that_cannot_run_here_is_named_with_the_reason(graph):
    with pytest.raises(MissingDevice, match="trt-fp16 cannot be measured here"):
        EngineStopwatch().race([graph], Target.parse("trt-fp16"))
