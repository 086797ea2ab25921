from __future__ import annotations

import onnx
import pytest

from edgeseg.core.target import Target
from edgeseg.errors import MissingDevice
from edgeseg.flow.latency import measure_graph
from edgeseg.prune.staircase import _convolution


@pytest.fixture
def graph(tmp_path):
    path = tmp_path / "graph.onnx"
    onnx.save(_convolution(8, (4, 4)), str(path))
    return path


@pytest.mark.parametrize("target", ["ort-fp32", "ort-fp16", "openvino-fp32+threads=1"])
def test_a_plain_graph_is_timed_on_a_target(graph, target):
    assert 0.0 < measure_graph(graph, Target.parse(target)) < 1000.0


def test_a_target_that_cannot_run_here_is_named_with_the_reason(graph):
    with pytest.raises(MissingDevice, match="trt-fp16 cannot be measured here"):
        measure_graph(graph, Target.parse("trt-fp16"))
