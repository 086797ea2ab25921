from __future__ import annotations

import numpy as np
import pytest
from onnx import numpy_helper
from patterns import Net, chain, feeds

from edgeseg.errors import GraphError
from edgeseg.graph.reference import run, session
from edgeseg.quantization.placement.score_grid import scoring_node
from edgeseg.quantization.ptq import apply, calibrate, quantize
from edgeseg.quantization.schemes import scheme_named

X86 = scheme_named("openvino")


@pytest.mark.parametrize("opset", [17, 18])
def test_the_levels_span_the_winners_of_calibration(opset: int) -> None:
    net = Net()
    hidden = net.op("Relu", "act", net.conv("c1", "image", 3, 8))
    model = net.model(net.conv("c2", hidden, 8, 4), opset=opset)
    images = feeds(4)
    grid = quantize(model, images, X86).scores
    assert grid is not None
    winners = np.concatenate([run(session(model), image)["c2"].max(axis=1).reshape(-1) for image in images])
    low, high = -grid.zero_point * grid.scale, (255 - grid.zero_point) * grid.scale
    assert low < min(winners.min(), 0) and high > winners.max()
    assert high - low < 1.5 * (winners.max() - min(winners.min(), 0))


def test_losers_may_saturate() -> None:
    """A class far below all others does not widen the levels."""
    plain, sunk = chain(), chain()
    bias = next(t for t in sunk.graph.initializer if t.name == "c2.b")
    bias.CopyFrom(
        numpy_helper.from_array(numpy_helper.to_array(bias) - np.float32([0, 0, 0, 1000]), bias.name)
    )
    a, b = (quantize(model, feeds(2), X86).scores for model in (plain, sunk))
    assert a is not None and b is not None and b.scale < 2 * a.scale


def test_infinite_scores_name_the_convolution() -> None:
    model = chain()
    bias = next(t for t in model.graph.initializer if t.name == "c2.b")
    bias.CopyFrom(numpy_helper.from_array(np.float32([0, np.inf, 0, 0]), bias.name))
    with pytest.raises(GraphError, match="Conv 'c2' gives NaN"):
        calibrate(model, feeds(2), X86)


def test_only_scores_of_an_int8_convolution_have_levels() -> None:
    calibrated = calibrate(chain(), feeds(2), X86)
    assert apply(calibrated).scores
    assert apply(calibrated, {"c2": "float"}).scores is None


def test_one_class_several_outputs_and_other_schemes_have_none() -> None:
    net = Net()
    hidden = net.op("Relu", "act", net.conv("c1", "image", 3, 8))
    one = net.conv("c2", hidden, 8, 1)
    assert scoring_node(net.model(one)) is None
    assert scoring_node(net.model(one, net.conv("c3", hidden, 8, 4))) is None
    assert scoring_node(net.model(hidden)) is None
    for name in ("tensorrt", "onnxruntime"):
        assert quantize(chain(), feeds(2), scheme_named(name)).scores is None
