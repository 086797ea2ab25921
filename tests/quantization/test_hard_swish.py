from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from onnx import ModelProto
from patterns import Net, feeds, squeeze_excite_swish

from edgeseg.errors import DataError
from edgeseg.graph.reference import run, session
from edgeseg.quantization.hard_swish import LEVELS, Fit, Fitted, fit, fit_swishes, hard_swish
from edgeseg.quantization.ptq import PtqSettings, apply, calibrate
from edgeseg.quantization.schemes import scheme_named, schemes

RNG = np.random.default_rng(0)


def swish(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


def hard(x: np.ndarray) -> np.ndarray:
    return x * np.clip(x / 6 + 0.5, 0, 1)


def network(kind: str = "Sigmoid", *, bias: bool = True, read_twice: str = "") -> ModelProto:
    """Convolution, Swish, convolution."""
    net = Net()
    a = net.conv("c1", "image", 3, 8)
    if not bias:
        del net.nodes[-1].input[2], net.constants["c1.b"]
    if kind == "Swish":
        b = net.op("Swish", "swish", a)
    else:
        b = net.op("Mul", "swish", a, net.op(kind, "sigmoid", a))
    outputs = [net.conv("c2", b, 8, 4)]
    if read_twice:
        outputs.append(net.op("Relu", "extra", read_twice))
    return net.model(*outputs, opset=24 if kind == "Swish" else 18)


def kinds(model: ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def result(model: ModelProto, feed: dict[str, np.ndarray]) -> np.ndarray:
    return next(iter(run(session(model), feed).values()))


@pytest.mark.parametrize(
    ("center", "spread", "share"),
    [(0, 0.1, 0.05), (-1, 0.5, 0.2), (0, 1, 0.5), (-3, 2, 0.8), (2, 1.5, 0.8), (4, 3, 1.0)],
)
def test_the_fit_is_nearer_than_hardswish_as_it_is(center: float, spread: float, share: float) -> None:
    """Most where a channel sees little of the curve, as most channels do."""
    x = RNG.normal(center, spread, (1, 4000)).astype(np.float32)
    near = fit(x)
    found = near.s * hard(near.a * x + near.b) + near.t
    error, plain = (float(np.sqrt(np.mean((y - swish(x)) ** 2))) for y in (found, hard(x)))
    assert error < share * plain and error < 0.2 * float(swish(x).std())


def test_channels_are_fitted_each_for_itself() -> None:
    x = RNG.normal([[-2], [0], [3]], [[0.5], [1], [2]], (3, 500)).astype(np.float32)
    together = fit(x)
    for channel in range(3):
        alone = fit(x[channel : channel + 1])
        assert [float(v[0]) for v in alone] == pytest.approx([float(v[channel]) for v in together], abs=1e-4)


def test_a_dead_channel_becomes_its_constant() -> None:
    near = fit(np.full((1, LEVELS), -1.5, np.float32))
    found = near.s * hard(near.a * -1.5 + near.b) + near.t
    assert np.isfinite(found).all() and found == pytest.approx(swish(np.array(-1.5)), abs=1e-5)


def fitted(model: ModelProto) -> ModelProto:
    return hard_swish(model, fit_swishes(model, feeds()))


@pytest.mark.parametrize("bias", [True, False])
def test_the_network_hardly_changes_and_computes_no_sigmoid(bias: bool) -> None:
    model = network(bias=bias)
    changed = fitted(model)
    assert "Sigmoid" not in kinds(changed) and kinds(changed)["HardSwish"] == 1
    for feed in feeds():
        before, after = result(model, feed), result(changed, feed)
        assert np.abs(after - before).mean() < 0.05 * before.std()


def test_the_last_node_keeps_its_name_and_tensor() -> None:
    assert any(node.name == "swish" and node.output[0] == "swish" for node in fitted(network()).graph.node)


def test_swish_of_one_pixel_and_gates_stay() -> None:
    changed = fitted(squeeze_excite_swish())
    assert kinds(changed)["HardSwish"] == 1
    assert kinds(changed)["Sigmoid"] == 1 and kinds(changed)["GlobalAveragePool"] == 1


def test_the_operator_swish_is_replaced_too() -> None:
    one = np.ones(8)
    changed = hard_swish(network("Swish"), [Fitted("c1", Fit(one, 0 * one, one, 0 * one))])
    assert kinds(changed)["HardSwish"] == 1 and "Swish" not in kinds(changed)


@pytest.mark.parametrize("tensor", ["c1", "sigmoid"])
def test_what_is_read_elsewhere_stays_swish(tensor: str) -> None:
    model = network(read_twice=tensor)
    assert fit_swishes(model, feeds()) == ()
    assert kinds(hard_swish(model, ())) == kinds(model)


def test_without_images_it_says_so() -> None:
    with pytest.raises(DataError, match="the calibration set is empty"):
        fit_swishes(network(), [])


@pytest.mark.parametrize("scheme", sorted(schemes()))
def test_int8_reads_what_leaves_the_fitted_hardswish(scheme: str) -> None:
    calibrated = calibrate(
        fitted(network()), feeds(), scheme_named(scheme), PtqSettings(engine="onnxruntime")
    )
    assert set(calibrated.placement.tensors) == {"image", "swish"}
    model = apply(calibrated).model
    before, after = result(network(), feeds()[0]), result(model, feeds()[0])
    assert np.abs(after - before).mean() < 0.1 * before.std()
