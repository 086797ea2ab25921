from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper
from small_graphs import dynamic, model_of, network, operators, outputs_of, smooth_frames, spec_of

from edgeseg.core.model_spec import default_classes
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.preprocess import Preprocess
from edgeseg.errors import GraphError
from edgeseg.graph.check import check_against_onnx
from edgeseg.graph.contract import resolve_output
from edgeseg.graph.deploy import compose
from edgeseg.graph.editor import shape_of
from edgeseg.graph.fold import fold
from edgeseg.graph.onnx_file import read_onnx
from edgeseg.graph.simplify import simplify
from edgeseg.graph.source import make_static
from edgeseg.runtime.preprocess import preprocess
from edgeseg.runtime.tasks import decided


def test_open_dimensions_are_named():
    with pytest.raises(GraphError, match=r"open dimensions: height, width(.|\n)*--input-size"):
        make_static(dynamic())
    assert shape_of(make_static(dynamic(), input_size=(24, 40), batch=2).graph.output[0]) == (2, 2, 24, 40)


def test_a_fixed_file_needs_no_size_and_refuses_another():
    model = dynamic((1, 3, 24, 40))
    assert shape_of(make_static(model).graph.input[0]) == (1, 3, 24, 40)
    with pytest.raises(GraphError, match=r"fixed to 24x40.*asked for 32x32"):
        make_static(model, input_size=(32, 32))


def test_a_fixed_batch_is_raised_where_the_graph_allows():
    assert shape_of(make_static(dynamic((1, 3, 24, 40)), batch=3).graph.output[0]) == (3, 2, 24, 40)
    nodes = [helper.make_node("Reshape", ["image", "shape"], ["scores"])]
    baked = model_of(nodes, {"shape": np.array([1, 3, 20, 16], np.int64)})
    with pytest.raises(GraphError, match="batch"):
        make_static(baked, batch=2)


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((1, 16, 20, 3), TensorProto.FLOAT, "channels last"),
        ((1, "channels", 16, 20), TensorProto.FLOAT, "its channels are open"),
        ((3, 16, 20), TensorProto.FLOAT, r"one float input \[N,C,H,W\]"),
        ((1, 3, 16, 20), TensorProto.DOUBLE, "image double"),
    ],
)
def test_another_kind_of_input_is_refused(shape, dtype, message):
    model = model_of([helper.make_node("Neg", ["image"], ["scores"])], shape=shape, dtype=dtype)
    with pytest.raises(GraphError, match=message):
        make_static(model)


def test_an_input_of_an_unknown_type_is_refused():
    model = network()
    model.graph.input[0].type.tensor_type.elem_type = 99
    with pytest.raises(GraphError, match="the network's input is image type 99"):
        make_static(model)


def test_two_inputs_are_refused():
    model = network()
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1, 1, 32, 48]))
    with pytest.raises(GraphError, match=r"2 inputs: image.*mask"):
        make_static(model)


@pytest.mark.parametrize(
    ("file", "size", "output", "count"),
    [("u2netp.onnx", None, "1959", 7), ("ch_PP-OCRv4_det_infer.onnx", (320, 320), "sigmoid_0.tmp_0", 1)],
)
def test_real_files_go_all_the_way(data, file, size, output, count):
    original = make_static(read_onnx(data / "onnx" / file), input_size=size)
    plain = fold(simplify(original))
    assert shape_of(plain.graph.input[0]) == (1, 3, 320, 320) and len(plain.graph.output) == count
    assert not {"Shape", "Constant", "Identity"} & set(operators(plain))
    assert all(check.max_error < 1e-2 for check in check_against_onnx(plain, original, {}))
    if count > 1:
        with pytest.raises(GraphError, match="7 outputs are equally large"):
            resolve_output(plain, Postprocess())
    wanted = Postprocess(threshold=0.01, output=output)
    contract, channels, _ = resolve_output(plain, wanted, given={"threshold", "output"})
    assert (contract.output, contract.activation, channels) == (output, "sigmoid", 1)

    spec = spec_of(
        (320, 320),
        classes=default_classes(2),
        preprocess=Preprocess(resize="letterbox"),
        postprocess=contract,
    )
    frames = smooth_frames(1, (240, 400))
    found = outputs_of(compose(plain, spec, (240, 400)), frames)["class_map"]
    scores = outputs_of(plain, preprocess(frames, spec.preprocess, spec.input_size))[output]
    expected = decided(scores, spec, spec.preprocess.place((240, 400), spec.input_size))
    assert (found == expected).mean() >= 0.999
