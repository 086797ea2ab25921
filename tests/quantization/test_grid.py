from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeseg.core.int8 import Form
from edgeseg.graph.reference import run, session
from edgeseg.quantization.grid import Grid, fake_quantize, grid_for

FORMS: tuple[Form, ...] = ("signed", "unsigned", "offset", "affine")


@pytest.mark.parametrize("form", FORMS)
def test_fake_quantize_is_what_onnx_runtime_computes(form: Form) -> None:
    grid = grid_for(-0.7, 2.3, form)
    constants = {
        "s": np.array(grid.scale, np.float32),
        "z": np.array(grid.zero_point, grid.dtype),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2001])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2001])],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    values = np.linspace(-3, 3, 2001, dtype=np.float32)
    np.testing.assert_allclose(
        fake_quantize(values, grid), run(session(model), {"x": values})["y"], atol=grid.scale * 1.001
    )
    same = np.isclose(fake_quantize(values, grid), run(session(model), {"x": values})["y"], atol=1e-6)
    assert same.mean() > 0.999  # a tie may round either way in float32


@pytest.mark.parametrize("form", FORMS)
def test_a_grid_spans_its_range_and_holds_zero(form: Form) -> None:
    grid = grid_for(-1.5, 4.0, form)
    low, high = grid.bounds
    assert high >= 4.0 - grid.scale / 2
    assert low <= (0 if form == "unsigned" else -1.5 + grid.scale / 2)
    assert fake_quantize(np.zeros(3), grid).tolist() == [0, 0, 0]


def test_offset_has_the_values_of_signed() -> None:
    signed, offset = grid_for(-2, 3, "signed"), grid_for(-2, 3, "offset")
    assert signed.bounds == offset.bounds
    assert (signed.dtype, offset.dtype, offset.zero_point) == ("int8", "uint8", 128)


@pytest.mark.parametrize("form", FORMS)
def test_a_tensor_of_zeros_has_a_finite_grid(form: Form) -> None:
    grid = grid_for(0.0, 0.0, form)
    assert grid.scale == 1.0
    assert fake_quantize(np.zeros(2), grid).tolist() == [0, 0]


@pytest.mark.parametrize("form", FORMS)
def test_the_reciprocal_of_a_scale_fits_an_int32(form: Form) -> None:
    assert 1 / grid_for(0.0, 1e-30, form).scale < 2**31


def test_rounding_is_half_to_even() -> None:
    grid = Grid(scale=1.0, zero_point=0, dtype="int8")
    assert fake_quantize(np.array([0.5, 1.5, 2.5, 200.0]), grid).tolist() == [0, 2, 2, 127]
