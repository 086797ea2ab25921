from __future__ import annotations

import pytest
from onnx import ModelProto
from patterns import (
    PATTERNS,
    Net,
    chain,
    concat_mixed,
    feeds,
    residual,
    resized,
    signed_pool,
    squeeze_excite_swish,
)

from edgeseg.errors import GraphError
from edgeseg.quantization.placement.pairs import Placement, place
from edgeseg.quantization.ptq import quantize
from edgeseg.quantization.schemes import scheme_named

X86, RTX, ORT = (scheme_named(name) for name in ("openvino", "tensorrt", "onnxruntime"))


def readers(placement: Placement) -> dict[str, set[str]]:
    return {pair.tensor: {name for name, _ in pair.readers} for pair in placement.pairs}


def test_activations_stay_fused_with_the_convolution_before_them() -> None:
    assert readers(place(chain(), X86)) == {"image": {"c1"}, "act": {"c2"}}


def test_non_negative_tensors_are_known_without_data() -> None:
    signs = {pair.tensor: pair.non_negative for pair in place(chain(), X86).pairs}
    assert signs == {"image": False, "act": True}


def test_both_inputs_of_a_residual_sum_or_only_the_skip() -> None:
    both, skip = readers(place(residual(), X86)), readers(place(residual(), RTX))
    assert "sum" in both["c1"] and both["c3"] == {"sum"}
    assert "sum" in skip["c1"] and "c3" not in skip
    assert "sum" not in both  # Relu is fused behind it


def test_concat_inputs_share_one_scale_and_the_output_needs_no_pair() -> None:
    placement = place(concat_mixed(), X86)
    joined = {pair.tensor: pair for pair in placement.pairs if pair.moved}
    assert set(joined) == {"act", "big"}
    assert len({pair.shared for pair in joined.values()}) == 1
    assert not any(pair.non_negative for pair in joined.values())
    assert "cat" in readers(place(concat_mixed(), RTX))  # TensorRT wants pairs on both sides


def test_a_signed_tensor_behind_which_values_are_only_selected_is_marked() -> None:
    moved = {pair.tensor: pair.moved for pair in place(signed_pool(), X86).pairs}
    assert moved == {"image": False, "c1": True, "c2": True, "c3": False, "c4": True}


def test_a_tensor_goes_through_layout_operators_as_uint8_in_openvino() -> None:
    net = Net()
    a = net.op("Transpose", "turned", net.conv("c1", "image", 3, 8), perm=[0, 1, 3, 2])
    made = quantize(net.model(net.conv("c2", a, 8, 4)), feeds(2), X86)
    assert {t: (g.dtype, g.zero_point) for t, g in made.ranges.items()} == {
        "image": ("int8", 0),
        "c1": ("uint8", 128),
    }


def test_nearest_resize_moves_int8_and_linear_resize_is_rounded_again() -> None:
    assert readers(place(resized("nearest"), X86)) == {"image": {"c1"}, "act": {"up"}}
    assert readers(place(resized("linear"), X86)) == {"image": {"c1"}, "act": {"up"}, "up": {"c2"}}


def test_swish_is_not_broken_apart_and_the_gate_stays_float() -> None:
    found = readers(place(squeeze_excite_swish(), X86))
    assert found["swish"] == {"squeeze", "scaled"}
    assert {"c1", "sigmoid", "gate", "squeeze"}.isdisjoint(found)


def test_a_layer_of_one_position_per_image_stays_float() -> None:
    placement = place(squeeze_excite_swish(), X86)
    assert {pair.node for pair in placement.weights} == {"c1", "c2"}


@pytest.mark.parametrize("scheme", [X86, RTX, ORT], ids=lambda s: s.name)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_inputs_and_outputs_of_the_graph_stay_float_and_nodes_keep_their_names(pattern: str, scheme) -> None:  # type: ignore[no-untyped-def]
    model = PATTERNS[pattern]()
    result = quantize(model, feeds(2), scheme).model
    assert types(result) == types(model)
    if pattern != "resize-nearest":
        assert {n.name for n in model.graph.node} <= {n.name for n in result.graph.node}


def types(model: ModelProto) -> list[tuple[str, int]]:
    return [(v.name, v.type.tensor_type.elem_type) for v in (*model.graph.input, *model.graph.output)]


def test_a_plan_keeps_a_node_in_float() -> None:
    placement = place(residual(), X86, {"c3": "float"})
    assert "c3" not in {pair.node for pair in placement.weights}
    assert "act" not in readers(placement)
    assert {"c1", "c2", "c4"} == {pair.node for pair in placement.weights}


def test_all_float_is_no_pair_at_all() -> None:
    nodes = {node.name: "float" for node in residual().graph.node}
    placement = place(residual(), X86, nodes)  # type: ignore[arg-type]
    assert placement.pairs == () and placement.weights == ()


def test_a_plan_of_another_graph_is_refused() -> None:
    with pytest.raises(GraphError, match="conv_77"):
        place(chain(), X86, {"conv_77": "float"})


def test_a_quantised_graph_is_refused() -> None:
    done = quantize(chain(), feeds(1), X86).model
    with pytest.raises(GraphError, match="quantised already"):
        place(done, X86)
