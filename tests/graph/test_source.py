from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_graphs import model_of, network, operators, outputs_of, smooth_frames, spec_of

from edgeseg.core.model_spec import default_classes
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.preprocess import Preprocess
from edgeseg.errors import GraphError, UnsupportedOperator
from edgeseg.graph._edit import opset_of, shape_of
from edgeseg.graph.check import check_against_onnx
from edgeseg.graph.contract import resolve_output
from edgeseg.graph.deploy import compose
from edgeseg.graph.fold import fold
from edgeseg.graph.simplify import simplify
from edgeseg.graph.source import make_static, read_onnx, to_opset, write_onnx
from edgeseg.runtime.postprocess import class_map
from edgeseg.runtime.preprocess import preprocess


def dynamic(shape=("n", 3, "height", "width"), opset=18, **options):
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["a"], name="c", pads=[1] * 4),
        helper.make_node("Sigmoid", ["a"], ["scores"], name="s"),
    ]
    weights = {"w": np.random.default_rng(0).normal(0, 1, (2, 3, 3, 3)).astype(np.float32)}
    return model_of(nodes, weights, shape=shape, opset=opset, **options)


def saved(model, folder, name="net.onnx", **options):
    onnx.save(model, str(folder / name), **options)
    return folder / name


def test_missing_truncated_and_foreign_files(tmp_path):
    with pytest.raises(GraphError, match="there is no file"):
        read_onnx(tmp_path / "no.onnx")
    path = saved(network(), tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(GraphError, match=r"net\.onnx"):
        read_onnx(path)
    path.write_bytes(b"")
    with pytest.raises(GraphError, match="holds no network"):
        read_onnx(path)
    path.write_text("not a protobuf at all")
    with pytest.raises(GraphError, match="is not an ONNX file"):
        read_onnx(path)


def test_a_file_the_checker_refuses(tmp_path):
    model = network()
    model.graph.node[0].input[0] = "nowhere"
    with pytest.raises(GraphError, match=r"breaks the rules of ONNX(.|\n)*to fix"):
        read_onnx(saved(model, tmp_path))


def test_external_data_is_read_and_missed(tmp_path):
    path = saved(network(), tmp_path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    model = read_onnx(path)
    write_onnx(model, tmp_path / "whole.onnx")
    image = np.ones((1, 3, 32, 48), np.float32)
    (tmp_path / "weights.bin").unlink()
    expected = outputs_of(network(), image)["scores"]
    np.testing.assert_allclose(
        outputs_of(read_onnx(tmp_path / "whole.onnx"), image)["scores"], expected, rtol=1e-5
    )
    with pytest.raises(GraphError, match=r"keeps its weights in another file(.|\n)*same folder"):
        read_onnx(path)


def test_foreign_and_integer_operators_are_named(tmp_path):
    model = network()
    model.graph.node[1].domain = "com.example"
    model.graph.node[1].op_type = "Magic"
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(UnsupportedOperator, match="Magic 'r1'"):
        read_onnx(saved(model, tmp_path))
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["image"], ["q", "s", "z"], name="dq"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["scores"]),
    ]
    with pytest.raises(
        UnsupportedOperator, match=r"already quantised(.|\n)*DynamicQuantizeLinear 'dq'(.|\n)*float network"
    ):
        read_onnx(saved(model_of(nodes), tmp_path))


def test_a_qdq_file_passes(tmp_path):
    constants = {"s": np.array(0.05, np.float32), "z": np.array(0, np.int8)}
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["scores"]),
    ]
    assert operators(make_static(read_onnx(saved(model_of(nodes, constants), tmp_path)))) == [
        "QuantizeLinear",
        "DequantizeLinear",
    ]


def test_pooling_with_indices_is_named(tmp_path):
    nodes = [
        helper.make_node("MaxPool", ["image"], ["p", "i"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node(
            "MaxUnpool", ["p", "i"], ["scores"], name="unpool", kernel_shape=[2, 2], strides=[2, 2]
        ),
    ]
    with pytest.raises(UnsupportedOperator, match="MaxPool 'pool', MaxUnpool 'unpool'"):
        read_onnx(saved(model_of(nodes), tmp_path))


def test_half_precision_files_are_raised(tmp_path):
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["a"], pads=[1] * 4),
        helper.make_node("Constant", [], ["k"], value=onnx.numpy_helper.from_array(np.array(2, np.float16))),
        helper.make_node("Mul", ["a", "k"], ["m"]),
        helper.make_node("Cast", ["m"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["f"], ["scores"], to=TensorProto.FLOAT16),
    ]
    weights = {"w": rng.normal(0, 1, (2, 3, 3, 3)).astype(np.float16)}
    half = model_of(nodes, weights, dtype=TensorProto.FLOAT16)
    model = make_static(read_onnx(saved(half, tmp_path)))
    image = rng.normal(0, 1, (1, 3, 16, 20)).astype(np.float32)
    found, expected = outputs_of(model, image)["scores"], outputs_of(half, image.astype(np.float16))["scores"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected.astype(np.float32), atol=0.05)


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
        ((1, 1, 16, 20), TensorProto.FLOAT, "1 channels"),
        ((3, 16, 20), TensorProto.FLOAT, r"one float input \[N,3,H,W\]"),
        ((1, 3, 16, 20), TensorProto.DOUBLE, "double|float64"),
    ],
)
def test_another_kind_of_input_is_refused(shape, dtype, message):
    model = model_of([helper.make_node("Neg", ["image"], ["scores"])], shape=shape, dtype=dtype)
    with pytest.raises(GraphError, match=message):
        make_static(model)


def test_two_inputs_are_refused():
    model = network()
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1, 1, 32, 48]))
    with pytest.raises(GraphError, match=r"2 inputs: image.*mask"):
        make_static(model)


def test_an_old_opset_is_raised_and_stays_the_same():
    nodes = [
        helper.make_node("Upsample", ["image", "scales"], ["u"], mode="nearest"),
        helper.make_node("Unsqueeze", ["u"], ["x"], axes=[0]),
        helper.make_node("Squeeze", ["x"], ["scores"], axes=[0]),
    ]
    old = model_of(nodes, {"scales": np.array([1, 1, 2, 2], np.float32)}, opset=9)
    new = make_static(old)
    image = np.random.default_rng(0).normal(0, 1, (1, 3, 16, 20)).astype(np.float32)
    assert opset_of(new) == 17 and "Upsample" not in operators(new)
    np.testing.assert_array_equal(outputs_of(new, image)["scores"], outputs_of(old, image)["scores"])


@pytest.mark.parametrize(("opset", "operator"), [(9, "Upsample"), (10, "Resize")])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_an_old_resize_keeps_its_coordinates(opset, operator, mode):
    nodes = [helper.make_node(operator, ["image", "scales"], ["scores"], mode=mode)]
    old = model_of(nodes, {"scales": np.array([1, 1, 2, 2.5], np.float32)}, opset=opset)
    image = np.random.default_rng(0).normal(0, 1, (1, 3, 16, 20)).astype(np.float32)
    np.testing.assert_array_equal(
        outputs_of(make_static(old), image)["scores"], outputs_of(old, image)["scores"]
    )


def test_functions_of_the_file_are_written_out(tmp_path):
    body = [
        helper.make_node("BatchNormalization", ["x", *"somv"], ["y", "a", "b"], training_mode=1, name="bn")
    ]
    function = helper.make_function(
        "local", "Norm", ["x", *"somv"], ["y"], body, [helper.make_opsetid("", 18)]
    )
    model = network()
    model.graph.node[0].output[0] = "first"
    call = helper.make_node("Norm", ["first", *("n" * 4)], ["a"], domain="local")
    model.graph.node.insert(1, call)
    model.graph.initializer.append(numpy_helper.from_array(np.ones(8, np.float32), "n"))
    model.opset_import.append(helper.make_opsetid("local", 1))
    model.functions.append(function)
    with pytest.raises(UnsupportedOperator, match=r"evaluation mode.*BatchNormalization"):
        read_onnx(saved(model, tmp_path))
    function = model.functions[0].node[0]
    del function.output[1:], function.attribute[:]
    assert operators(read_onnx(saved(model, tmp_path))) == ["Conv", "BatchNormalization", "Relu", "Conv"]


@pytest.mark.parametrize(
    ("operator", "inputs", "outputs", "attributes"),
    [
        ("BatchNormalization", ["image", *"nnnn"], ["scores", "m", "v"], {"training_mode": 1}),
        ("Dropout", ["image", "rate", "yes"], ["scores"], {}),
    ],
)
def test_training_mode_is_refused(operator, inputs, outputs, attributes, tmp_path):
    constants = {"n": np.ones(3, np.float32), "rate": np.float32(0.5), "yes": np.array(True)}
    model = model_of([helper.make_node(operator, inputs, outputs, name="layer", **attributes)], constants)
    with pytest.raises(UnsupportedOperator, match=rf"{operator} 'layer'\n.*model\.eval\(\)"):
        read_onnx(saved(model, tmp_path))


@pytest.mark.parametrize(
    ("operator", "opset", "more", "older"),
    [("RMSNormalization", 23, ["n"], 21), ("Swish", 24, [], 21), ("Gelu", 20, [], 19)],
)
def test_an_operator_that_an_older_opset_lacks_is_written_out(operator, opset, more, older):
    nodes = [helper.make_node(operator, ["image", *more], ["scores"])]
    model = model_of(nodes, {name: np.linspace(1, 2, 20, dtype=np.float32) for name in more}, opset=opset)
    lowered = to_opset(model, older)
    assert opset_of(lowered) == older and operator not in operators(lowered)
    assert all(node.name for node in lowered.graph.node)
    image = np.random.default_rng(0).normal(0, 1, (1, 3, 16, 20)).astype(np.float32)
    np.testing.assert_allclose(
        outputs_of(lowered, image)["scores"], outputs_of(model, image)["scores"], atol=1e-6
    )


def test_to_opset_lowers_and_explains():
    model = dynamic((1, 3, 16, 20), opset=20)
    image = np.ones((1, 3, 16, 20), np.float32)
    lowered = to_opset(model, 17)
    assert opset_of(lowered) == 17 and to_opset(lowered, 21) is lowered
    np.testing.assert_array_equal(outputs_of(lowered, image)["scores"], outputs_of(model, image)["scores"])
    weights = {"w": np.ones((2, 3, 1, 1), np.float32), "offset": np.zeros((1, 2, 16, 20), np.float32)}
    deformed = model_of(
        [helper.make_node("DeformConv", ["image", "w", "offset"], ["scores"])], weights, opset=19
    )
    with pytest.raises(GraphError, match=r"opset 19 and cannot be converted to opset 17.*DeformConv"):
        to_opset(deformed, 17)


@pytest.mark.parametrize(("value", "fault"), [(np.nan, "NaN"), (np.inf, "infinite values")])
def test_broken_weights_are_refused_by_name(tmp_path, value, fault):
    model = network()
    weights = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weights[2, 1] = value
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "w1"))
    with pytest.raises(GraphError, match=f"the weight 'w1' of .* holds {fault}"):
        read_onnx(saved(model, tmp_path))


def test_a_broken_weight_in_a_constant_node_is_refused_and_a_bound_is_not(tmp_path):
    def clipped(value: float):
        bound = numpy_helper.from_array(np.float32(value))
        return model_of(
            [
                helper.make_node("Constant", [], ["bound"], value=bound),
                helper.make_node("Clip", ["image", "", "bound"], ["scores"]),
            ]
        )

    read_onnx(saved(clipped(np.inf), tmp_path))
    with pytest.raises(GraphError, match=r"the weight 'bound' .* holds NaN"):
        read_onnx(saved(clipped(np.nan), tmp_path))


def test_a_sequence_is_no_output(tmp_path):
    model = model_of([helper.make_node("Relu", ["image"], ["scores"])])
    model.graph.node.append(helper.make_node("SequenceConstruct", ["scores"], ["all"]))
    tensor = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    model.graph.output.append(helper.make_value_info("all", helper.make_sequence_type_proto(tensor)))
    with pytest.raises(GraphError, match="'all' is no tensor but a sequence"):
        make_static(read_onnx(saved(model, tmp_path)))


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
    expected = class_map(scores, spec, spec.preprocess.place((240, 400), spec.input_size))
    assert (found == expected).mean() >= 0.999
