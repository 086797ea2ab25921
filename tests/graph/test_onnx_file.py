from __future__ import annotations

import os

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_graphs import model_of, network, operators, outputs_of

from edgeseg.errors import GraphError, UnsupportedOperator
from edgeseg.graph.onnx_file import content_sha256, external_files, read_onnx, write_onnx
from edgeseg.graph.source import make_static


def saved(model, folder, name="net.onnx", **options):
    onnx.save(model, str(folder / name), **options)
    return folder / name


def test_missing_truncated_and_foreign_files(tmp_path):
    with pytest.raises(GraphError, match="does not exist"):
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


def test_unsorted_nodes_are_sorted(tmp_path):
    model = network()
    expected = outputs_of(network(), np.ones((1, 3, 32, 48), np.float32))["scores"]
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    found = read_onnx(saved(model, tmp_path))
    assert operators(found) == ["Conv", "Relu", "Conv"]
    np.testing.assert_array_equal(outputs_of(found, np.ones((1, 3, 32, 48), np.float32))["scores"], expected)


def test_nodes_of_subgraphs_are_sorted_and_stand_behind_what_they_read_outside(tmp_path):
    """Written: If (reads `late` inside, its own nodes reversed), then the node that makes `late`."""
    inner = [helper.make_node("Relu", ["m"], ["r"]), helper.make_node("Neg", ["late"], ["m"])]
    branch = helper.make_graph(inner, "b", [], [helper.make_tensor_value_info("r", TensorProto.FLOAT, None)])
    nodes = [
        helper.make_node("If", ["yes"], ["scores"], then_branch=branch, else_branch=branch),
        helper.make_node("Neg", ["image"], ["late"]),
    ]
    model = model_of(nodes[1:], {"yes": np.array(True)}, outputs=("late",))
    model.graph.node.insert(0, nodes[0])
    model.graph.output[0].name = "scores"
    found = read_onnx(saved(model, tmp_path))
    assert operators(found)[:2] == ["Neg", "If"]
    image = np.random.default_rng(0).normal(0, 1, (1, 3, 16, 20)).astype(np.float32)
    np.testing.assert_array_equal(outputs_of(found, image)["scores"], np.maximum(image, 0))


def test_nodes_in_a_circle_are_named(tmp_path):
    model = network()
    model.graph.node[0].input[0] = "b"
    with pytest.raises(GraphError, match=r"in a circle: Conv 'c1', Relu 'r1', Conv 'c2'"):
        read_onnx(saved(model, tmp_path))


@pytest.mark.parametrize("value", [-1, 0])
def test_a_dimension_of_minus_one_or_zero_is_open(tmp_path, value):
    model = network()
    for dims in (
        model.graph.input[0].type.tensor_type.shape.dim,
        model.graph.output[0].type.tensor_type.shape.dim,
    ):
        for index in (0, 2, 3):
            dims[index].dim_value = value
    found = read_onnx(saved(model, tmp_path))
    with pytest.raises(GraphError, match=r"open dimensions(.|\n)*--input-size"):
        make_static(found)
    static = make_static(found, input_size=(32, 64))
    assert [d.dim_value for d in static.graph.output[0].type.tensor_type.shape.dim] == [1, 4, 32, 64]


@pytest.mark.parametrize(
    "place", ["{folder}/data/w.bin", "../w.bin", "data/../../w.bin", "/dev/zero", "link.bin", "", "C:\\w.bin"]
)
def test_weights_outside_the_folder_are_refused_and_not_read(tmp_path, place, monkeypatch):
    folder = tmp_path / "net"
    (folder / "data").mkdir(parents=True)
    path = saved(network(), folder, save_as_external_data=True, location="w.bin", size_threshold=0)
    for copy in (tmp_path / "w.bin", folder / "data" / "w.bin"):
        copy.write_bytes((folder / "w.bin").read_bytes())
    (folder / "link.bin").symlink_to(tmp_path / "w.bin")
    place = place.format(folder=folder)
    model = onnx.load(str(path), load_external_data=False)
    for tensor in model.graph.initializer:
        next(e for e in tensor.external_data if e.key == "location").value = place
    path.write_bytes(model.SerializeToString())
    for reader in (read_onnx, external_files, content_sha256):
        with pytest.raises(GraphError, match="outside its own folder; it was not read") as refusal:
            reader(path)
        assert f"at '{place}'" in refusal.value.message


@pytest.mark.parametrize("kind", ["is a named pipe", "is a folder", "does not exist"])
def test_weights_that_are_no_file_are_named(tmp_path, kind):
    path = saved(network(), tmp_path, save_as_external_data=True, location="w.bin", size_threshold=0)
    (tmp_path / "w.bin").unlink()
    if kind == "is a named pipe":
        os.mkfifo(tmp_path / "w.bin")
    elif kind == "is a folder":
        (tmp_path / "w.bin").mkdir()
    for reader in (read_onnx, external_files):
        with pytest.raises(GraphError, match=rf"w\.bin {kind}"):
            reader(path)


def test_weights_in_attributes_subgraphs_and_functions_may_stand_in_another_file(tmp_path):
    """`Constant` in the graph, in a branch and in a function, all of their values in `w.bin`."""
    values = np.arange(3, dtype=np.float32).reshape(1, 3, 1, 1)
    (tmp_path / "w.bin").write_bytes(values.tobytes())

    def constant(name: str) -> onnx.NodeProto:
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=values.shape)
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="w.bin")
        return helper.make_node("Constant", [], [name], value=tensor)

    branch = helper.make_graph(
        [constant("c")], "b", [], [helper.make_tensor_value_info("c", TensorProto.FLOAT, [1, 3, 1, 1])]
    )
    body = [constant("f"), helper.make_node("Add", ["x", "f"], ["y"])]
    nodes = [
        constant("a"),
        helper.make_node("If", ["yes"], ["i"], then_branch=branch, else_branch=branch),
        helper.make_node("Sum", ["image", "a", "i"], ["scores"]),
    ]
    model = model_of([helper.make_node("Identity", ["image"], ["scores"])], {"yes": np.array(True)})
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.node[-1].output[0] = "s"
    model.graph.node.append(helper.make_node("Plus", ["s"], ["scores"], domain="local"))
    model.opset_import.append(helper.make_opsetid("local", 1))
    model.functions.append(
        helper.make_function("local", "Plus", ["x"], ["y"], body, [helper.make_opsetid("", 18)])
    )
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    assert external_files(path) == (tmp_path / "w.bin",)
    image = np.ones((1, 3, 16, 20), np.float32)
    np.testing.assert_array_equal(outputs_of(read_onnx(path), image)["scores"], image + 3 * values)


@pytest.mark.parametrize(
    ("name", "content", "says", "hint"),
    [
        ("a.onnx", b"\x1c\0\0\0TFL3 and more", "a TensorFlow Lite model", "tf2onnx"),
        ("a.onnx", b"\x89HDF\r\n\x1a\n and more", "a Keras model", "export"),
        ("a.onnx", b"<!DOCTYPE html><html>", "a web page", "download"),
        ("a.onnx", b"version https://git-lfs", "a Git LFS pointer", "git lfs pull"),
    ],
)
def test_another_format_under_the_name_onnx_is_told(tmp_path, name, content, says, hint):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(GraphError, match=f"is not an ONNX file but {says}") as refusal:
        read_onnx(tmp_path / name)
    assert hint in refusal.value.hint


def test_values_that_do_not_fill_their_shape(tmp_path):
    model = network()
    model.graph.initializer[0].dims[0] = 10**9
    with pytest.raises(GraphError, match=r"net\.onnx"):
        read_onnx(saved(model, tmp_path))
