import onnx
import pytest
from onnx import TensorProto, helper

from edgeseg.backends._onnx_io import Node, read_signature, unsupported
from edgeseg.core.bundle import TensorInfo
from edgeseg.errors import GraphError, UnsupportedOperator


def test_signature_and_nodes(deploy):
    signature = read_signature(deploy)
    assert signature.inputs == (TensorInfo("frames", "uint8", (1, 32, 48, 3)),)
    assert signature.outputs == (TensorInfo("class_map", "uint8", (1, 32, 48)),)
    assert signature.nodes[0] == Node("widen", "Cast")
    assert len(signature.nodes) == 8


def test_agrees_with_onnx_for_every_dtype(save):
    kinds = ["FLOAT", "UINT8", "INT8", "UINT16", "INT16", "INT32", "INT64", "BOOL", "FLOAT16", "DOUBLE"]
    infos = [helper.make_tensor_value_info(k, getattr(TensorProto, k), [2, 300]) for k in kinds]
    nodes = [helper.make_node("Identity", [k], [f"{k}_out"]) for k in kinds]
    outputs = [helper.make_tensor_value_info(f"{k}_out", getattr(TensorProto, k), [2, 300]) for k in kinds]
    file = save(helper.make_model(helper.make_graph(nodes, "all", infos, outputs)))
    read = read_signature(file)
    for info, kind in zip(read.inputs, kinds, strict=True):
        expected = helper.tensor_dtype_to_np_dtype(getattr(TensorProto, kind)).name
        assert (info.name, info.dtype, info.shape) == (kind, expected, (2, 300))


def test_initialisers_are_no_inputs(save, make_deploy):
    model = make_deploy()
    model.graph.input.append(helper.make_tensor_value_info("w1", TensorProto.FLOAT, [8, 3, 3, 3]))
    assert [i.name for i in read_signature(save(model)).inputs] == ["frames"]


@pytest.mark.parametrize("keep", [0, 1, 40, 400])
def test_truncated_file(deploy, keep):
    deploy.write_bytes(deploy.read_bytes()[:keep])
    with pytest.raises(GraphError, match="not an ONNX file, or it is truncated"):
        read_signature(deploy)


def test_missing_file(tmp_path):
    with pytest.raises(GraphError, match="does not exist"):
        read_signature(tmp_path / "no.onnx")


def test_dynamic_dimension_is_refused(save, make_deploy):
    model = make_deploy()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    with pytest.raises(GraphError, match="--input-size"):
        read_signature(save(model))


def test_external_text_is_refused(tmp_path):
    file = tmp_path / "notes.onnx"
    file.write_text("this is not a graph at all")
    with pytest.raises(GraphError):
        read_signature(file)


def test_unsupported_names_operator_and_node():
    fault = unsupported("TensorRT", "Det", "det1", "plug-in not found")
    assert isinstance(fault, UnsupportedOperator)
    assert "'Det'" in str(fault) and "'det1'" in str(fault) and "plug-in not found" in str(fault)


def test_onnx_checker_accepts_the_test_graphs(make_deploy):
    onnx.checker.check_model(make_deploy(4, half=True))
