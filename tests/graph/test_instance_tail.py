"""The deploy graph of a network of instances gives what the runtime decodes."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeseg.errors import GraphError
from edgeseg.graph.deploy import compose
from edgeseg.graph.reference import run, session
from edgeseg.graph.shapes import with_shapes
from edgeseg.runtime.preprocess import preprocess
from edgeseg.runtime.tasks import task_named
from tests import rtx
from tests.runtime.test_instance import CAMERA, INPUT, network, spec


def returning(values):
    """A network that returns these whatever it sees."""
    held = [numpy_helper.from_array(value, f"{name}_value") for name, value in values.items()]
    held.append(numpy_helper.from_array(np.zeros((), np.float32), "zero"))
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Cast", ["nothing"], ["whole"], to=TensorProto.INT32),
    ]
    infos = []
    for name, value in values.items():
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        nothing = "whole" if value.dtype == np.int32 else "nothing"
        nodes.append(helper.make_node("Add", [f"{name}_value", nothing], [name]))
        infos.append(helper.make_tensor_value_info(name, kind, value.shape))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [len(values["count"]), 3, *INPUT])
    graph = helper.make_graph(nodes, "fixed", [image], infos, held)
    return with_shapes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10))


@pytest.mark.parametrize("over", ["box", "image"])
@pytest.mark.parametrize("paste", ["runtime", "engine"])
@pytest.mark.parametrize("count", [0, 5, 8])
def test_the_graph_gives_what_the_runtime_decodes(over, paste, count):
    about, task = spec(paste=paste, outputs={"mask_over": over}), task_named("instance")
    given = network(count, batch=2)
    deploy = compose(returning(given), about, CAMERA)
    frames = np.zeros((2, *CAMERA, 3), np.uint8)
    found = run(session(deploy), {"frames": frames})
    place = about.preprocess.place(CAMERA, INPUT)
    assert preprocess(frames, about.preprocess, INPUT).shape[2:] == INPUT
    right = task.decode(given, about, place)
    assert [info.name for info in task.outputs(about, 2, CAMERA)] == list(found)
    for info in task.outputs(about, 2, CAMERA):
        assert (found[info.name].dtype.name, found[info.name].shape) == (info.dtype, info.shape)
    for name in ("scores", "labels", "count", "unsettled"):
        np.testing.assert_array_equal(found[name], right[name])
    np.testing.assert_allclose(found["boxes"], right["boxes"], atol=1e-4)
    if paste == "engine":  # probabilities of exactly a half may be rounded to either side
        assert (found["masks"] != right["masks"]).mean() < 1e-4
    else:
        np.testing.assert_array_equal(found["masks"], right["masks"])


@pytest.mark.parametrize("paste", ["runtime", "engine"])
def test_tensorrt_rtx_builds_it(paste):
    about = spec(paste=paste)
    rtx.parsed(compose(returning(network(5)), about, CAMERA)).build("SM86")


def test_a_network_with_other_outputs_is_refused():
    given = network(5)
    given["masks"] = given["masks"][:, :, :7]
    with pytest.raises(GraphError, match=r"masks \[1, 8, 7, 14\]"):
        compose(returning(given), spec(), CAMERA)


def test_tiles_are_refused():
    with pytest.raises(GraphError, match="those of tiles are not joined"):
        compose(returning(network(5)), spec(), CAMERA, tiled=True)
