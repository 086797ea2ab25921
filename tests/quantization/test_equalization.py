from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, numpy_helper
from patterns import Net, depthwise_transposed, feeds, residual

from edgeseg.graph.reference import run, session
from edgeseg.quantization.equalization import equalize, linked_tensors
from edgeseg.quantization.ranges.channels import channel_statistics


def uneven(activation: str, *, depthwise: bool) -> ModelProto:
    """Channels of the first layer differ a thousandfold; the second layer undoes that."""
    net = Net()
    out = net.conv("c1", "image", 3, 8)
    if activation == "Clip":
        out = net.op("Clip", "act", out, net.constant("zero", 0.0), net.constant("six", 6.0))
    elif activation:
        out = net.op(activation, "act", out)
    out = net.conv("c2", out, 8, 8, group=8 if depthwise else 1)
    factors = np.geomspace(0.01, 10, 8, dtype=np.float32)
    net.constants["c1.w"] *= factors[:, None, None, None]
    net.constants["c1.b"] *= factors
    net.constants["c2.w"] /= factors[:, None, None, None] if depthwise else factors[:, None, None]
    return net.model(net.conv("c3", out, 8, 4))


def maxima(model: ModelProto) -> dict[str, np.ndarray]:
    return channel_statistics(model, linked_tensors(model), feeds(), "largest")


@pytest.mark.parametrize("depthwise", [True, False])
@pytest.mark.parametrize("activation", ["Relu", "Clip", ""])
def test_the_function_stays_the_same(activation: str, depthwise: bool) -> None:
    model = uneven(activation, depthwise=depthwise)
    even = equalize(model, maxima(model))
    for feed in feeds():
        before, after = (next(iter(run(session(m), feed).values())) for m in (model, even))
        np.testing.assert_allclose(after, before, atol=2e-5 * np.abs(before).max())


@pytest.mark.parametrize("activation", ["Relu", ""])
def test_channels_before_a_depthwise_convolution_all_get_the_full_range(activation: str) -> None:
    model = uneven(activation, depthwise=True)
    tensor = "act" if activation else "c1"
    before = maxima(model)[tensor]
    after = maxima(equalize(model, maxima(model)))[tensor]
    assert before.max() / before.min() > 300
    np.testing.assert_allclose(after, before.max(), rtol=1e-3)


def test_relu6_keeps_channels_at_the_cap_and_raises_the_others() -> None:
    model = uneven("Clip", depthwise=True)
    before = maxima(model)["act"]
    even = equalize(model, maxima(model))
    after = maxima(even)["act"]
    at_cap = before * 1.1 >= 6
    assert at_cap.any() and not at_cap.all()
    np.testing.assert_allclose(after[at_cap], before[at_cap], rtol=1e-5)
    np.testing.assert_allclose(after[~at_cap], 6 / 1.1, rtol=1e-3)
    caps = [numpy_helper.to_array(t) for t in even.graph.initializer if t.name == "six"]
    assert caps == [6.0]


def test_tensors_that_others_read_are_left_alone() -> None:
    assert linked_tensors(residual()) == ("act",)
    assert linked_tensors(depthwise_transposed()) == ("act1",)
