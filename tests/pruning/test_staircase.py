from __future__ import annotations

import onnx
import pytest

from edgeseg.core.ports import Lap
from edgeseg.core.target import Target
from edgeseg.pruning import measure_staircase, snap, treads
from edgeseg.pruning.staircase import probe_widths

STAIRCASE = {8: 1.0, 16: 1.02, 24: 2.0, 32: 2.0, 40: 3.1, 48: 2.9}


def test_a_tread_is_the_widest_of_its_step():
    assert treads(STAIRCASE) == (16, 32, 48)
    assert treads({8: 1.0}) == (8,)


@pytest.mark.parametrize(("width", "snapped"), [(1, 16), (17, 16), (24, 32), (39, 32), (41, 48), (90, 48)])
def test_a_width_goes_to_the_nearest_tread(width, snapped):
    assert snap(width, STAIRCASE) == snapped


def test_probed_widths_reach_the_widest():
    widths = probe_widths(1280)
    assert widths[:3] == (8, 16, 24) and widths[-1] >= 1280 and len(widths) < 60
    assert all(width % 8 == 0 for width in widths)


def test_every_width_is_measured_on_the_target_with_a_valid_graph():
    asked = []

    class Stopwatch:
        def race(self, graphs, target):
            (path,) = graphs
            graph = onnx.load(str(path))
            onnx.checker.check_model(graph, full_check=True)
            asked.append(str(target))
            return (Lap(milliseconds=graph.graph.input[0].type.tensor_type.shape.dim[1].dim_value),)

    found = measure_staircase(Stopwatch(), Target.parse("openvino-fp32"), (8, 24), (4, 6))
    assert found == {8: 8.0, 24: 24.0}
    assert asked == ["openvino-fp32"] * 2
