from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, numpy_helper
from patterns import PATTERNS, Net, chain, depthwise_transposed, feeds, reference

from edgeseg.errors import GraphError
from edgeseg.graph.editor import attribute
from edgeseg.graph.reference import run, session
from edgeseg.quantization.grid import grid_for
from edgeseg.quantization.placement.insertion import insert
from edgeseg.quantization.placement.pairs import place
from edgeseg.quantization.ptq import PtqSettings, apply, calibrate, quantize
from edgeseg.quantization.schemes import scheme_named, schemes

PLAIN = PtqSettings(correct_bias=False)


@pytest.mark.parametrize("scheme", schemes().values(), ids=lambda s: s.name)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_graph_computes_fake_quantisation(pattern: str, scheme) -> None:  # type: ignore[no-untyped-def]
    calibrated = calibrate(PATTERNS[pattern](), feeds(), scheme, PLAIN)
    result = apply(calibrated)
    image = feeds(1, seed=9)[0]["image"]
    expected = reference(calibrated, result.ranges, image)
    found = next(iter(run(session(result.model), {"image": image}).values()))
    # a value at a tie may round the other way in float32 and moves the outputs that read it
    error = np.abs(found - expected) / np.abs(expected).max()
    assert np.mean(error) < 2e-3 and np.quantile(error, 0.9) < 5e-3


@pytest.mark.parametrize("scheme", schemes().values(), ids=lambda s: s.name)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_int8_stays_near_float(pattern: str, scheme) -> None:  # type: ignore[no-untyped-def]
    model = PATTERNS[pattern]()
    result = quantize(model, feeds(), scheme, PLAIN).model
    image = feeds(1, seed=9)[0]
    floating, quantised = (next(iter(run(session(m), image).values())) for m in (model, result))
    noise = np.sqrt(((floating - quantised) ** 2).mean()) / floating.std()
    assert 0 < noise < 0.05


def scales_of(model: ModelProto, operator: str) -> dict[str, tuple[np.ndarray, np.ndarray, object]]:
    """(scale, zero point, axis) of every node of an operator, by its name."""
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    return {
        n.name: (values[n.input[1]], values[n.input[2]], attribute(n, "axis"))
        for n in model.graph.node
        if n.op_type == operator
    }


@pytest.mark.parametrize("pattern", PATTERNS)
def test_tensorrt_gets_symmetric_int8_per_tensor_activations_and_per_channel_weights(pattern: str) -> None:
    result = quantize(PATTERNS[pattern](), feeds(2), scheme_named("tensorrt")).model
    quantizers, dequantizers = (
        scales_of(result, operator) for operator in ("QuantizeLinear", "DequantizeLinear")
    )
    for scale, zero_point, _ in (*quantizers.values(), *dequantizers.values()):
        assert zero_point.dtype == np.int8 and not zero_point.any()
        assert scale.dtype == np.float32 and (scale > 0).all()
    assert all(scale.ndim == 0 for scale, _, _ in quantizers.values())
    shapes = {t.name: tuple(t.dims) for t in result.graph.initializer}
    made = {n.output[0]: n for n in result.graph.node}
    axes = {"Conv": 0, "ConvTranspose": 1, "Gemm": 0, "MatMul": 1}
    for node in result.graph.node:
        if node.op_type in axes and node.input[1] in made:
            weight = made[node.input[1]]
            scale, _, axis = dequantizers[weight.name]
            assert axis == axes[node.op_type]
            assert scale.shape == (shapes[weight.input[0]][axes[node.op_type]],)


def test_names_say_what_belongs_to_what() -> None:
    result = quantize(chain(), feeds(1), scheme_named("openvino"), PLAIN).model
    names = {n.name for n in result.graph.node}
    stored = {t.name for t in result.graph.initializer}
    assert {"act/quantize", "act/dequantize", "c2.w/dequantize"} <= names
    assert {"act/scale", "act/zero_point", "c2.w/int8", "c2.w/scale", "c2.b"} <= stored
    assert "c2.w" not in stored


def test_names_are_the_same_every_time() -> None:
    first, second = (
        quantize(depthwise_transposed(), feeds(1), scheme_named("openvino")).model for _ in range(2)
    )
    assert first.SerializeToString() == second.SerializeToString()


def test_onnx_runtime_gets_int32_biases_with_the_product_of_the_scales() -> None:
    result = quantize(chain(), feeds(1), scheme_named("onnxruntime"), PLAIN).model
    values = {t.name: numpy_helper.to_array(t) for t in result.graph.initializer}
    assert values["c2.b/int32"].dtype == np.int32
    np.testing.assert_allclose(values["c2.b/scale"], values["act/scale"] * values["c2.w/scale"], rtol=1e-5)


def test_a_weight_of_two_convolutions_is_stored_once() -> None:
    net = Net()
    a = net.op("Relu", "act", net.conv("c1", "image", 3, 3))
    b = net.op("Conv", "again", a, "c1.w", "c1.b", pads=[1] * 4)
    result = quantize(net.model(b), feeds(1), scheme_named("openvino"), PLAIN).model
    assert [t.name for t in result.graph.initializer].count("c1.w/int8") == 1


def test_opset_12_is_refused() -> None:
    net = Net()
    model = net.model(net.conv("c1", "image", 3, 4), opset=12)
    placement = place(model, scheme_named("openvino"))
    with pytest.raises(GraphError, match="opset 12"):
        insert(model, placement, {"image": grid_for(-1, 1, "signed")}, scheme_named("openvino"))
