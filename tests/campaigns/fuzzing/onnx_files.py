"""ONNX files that cannot be used, or only just."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from fuzzing.case import ANY, Bad, content, cut, flipped, void

SIDE = 64


def network() -> ModelProto:
    """Two convolutions, float32 [1,3,64,64] to two scores."""
    random = np.random.default_rng(0)
    weights = {"w": random.normal(0, 0.4, (8, 3, 3, 3)), "v": random.normal(0, 0.4, (2, 8, 1, 1))}
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["a"], name="c1", pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"], name="r1"),
        helper.make_node("Conv", ["b", "v"], ["scores"], name="c2"),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 2, SIDE, SIDE])
    stored = [numpy_helper.from_array(v.astype(np.float32), n) for n, v in weights.items()]
    graph = helper.make_graph(nodes, "net", [image], [scores], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def changed(change: Callable[[ModelProto], object]) -> Bad:
    def write(path: Path, _: Random) -> None:
        model = network()
        change(model)
        void(path.write_bytes(model.SerializeToString()))

    return write


def data_at(location: str, **more: int) -> Bad:
    """The weights stand in another file."""

    def change(model: ModelProto) -> None:
        for tensor in model.graph.initializer:
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in {"location": location, **more}.items():
                tensor.external_data.add(key=key, value=str(value))

    return changed(change)


def _input(model: ModelProto) -> onnx.TensorShapeProto:
    return model.graph.input[0].type.tensor_type.shape


def _node(operator: str, *inputs: str, **attributes: object) -> Callable[[ModelProto], object]:
    """Put between the network and its output."""

    def change(model: ModelProto) -> None:
        model.graph.node[-1].output[0] = "last"
        model.graph.node.append(
            helper.make_node(operator, ["last", *inputs], ["scores"], name="bad", **attributes)
        )

    return change


def _with(name: str, value: object, change: Callable[[ModelProto], object]) -> Callable[[ModelProto], object]:
    def both(model: ModelProto) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        change(model)

    return both


def _deep(model: ModelProto) -> None:
    inner = helper.make_graph([helper.make_node("Relu", ["a"], ["x"])], "g", [], [])
    for _ in range(60):
        node = helper.make_node("If", ["yes"], ["x"], then_branch=inner, else_branch=inner)
        inner = helper.make_graph([node], "g", [], [])
        if inner.ByteSize() > 1 << 20:
            break
    model.graph.node.append(helper.make_node("If", ["yes"], ["y"], then_branch=inner, else_branch=inner))


def _function_of_itself(model: ModelProto) -> None:
    body = [helper.make_node("Again", ["x"], ["y"], domain="local")]
    opsets = [helper.make_opsetid("local", 1)]
    model.opset_import.extend(opsets)
    model.functions.append(helper.make_function("local", "Again", ["x"], ["y"], body, opsets))
    _node("Again", domain="local")(model)


_CHANGES: dict[str, Callable[[ModelProto], object]] = {
    "no nodes": lambda m: m.graph.ClearField("node"),
    "no inputs": lambda m: m.graph.ClearField("input"),
    "no outputs": lambda m: m.graph.ClearField("output"),
    "no opset": lambda m: m.ClearField("opset_import"),
    "an opset of the future": lambda m: setattr(m.opset_import[0], "version", 9999),
    "a negative opset": lambda m: setattr(m.opset_import[0], "version", -3),
    "an IR of the future": lambda m: setattr(m, "ir_version", 2**40),
    "an unknown operator": _node("Sculpt"),
    "another domain": _node("Sculpt", domain="my.own"),
    "a dangling input": lambda m: m.graph.node[1].input.__setitem__(0, "nowhere"),
    "a circle": lambda m: m.graph.node[0].input.__setitem__(0, "b"),
    "an output twice": lambda m: m.graph.node[1].output.__setitem__(0, "a"),
    "an output nobody makes": lambda m: setattr(m.graph.output[0], "name", "nothing"),
    "no inputs of a node": lambda m: m.graph.node[0].ClearField("input"),
    "no outputs of a node": lambda m: m.graph.node[0].ClearField("output"),
    "two inputs": lambda m: m.graph.input.append(
        helper.make_tensor_value_info("more", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    ),
    "no shape": lambda m: m.graph.input[0].type.tensor_type.ClearField("shape"),
    "three axes": lambda m: _input(m).dim.__delitem__(0),
    "channels last": lambda m: [setattr(_input(m).dim[i], "dim_value", v) for i, v in ((1, SIDE), (3, 3))],
    "open sides": lambda m: [setattr(_input(m).dim[i], "dim_value", -1) for i in (2, 3)],
    "absurd sides": lambda m: [setattr(_input(m).dim[i], "dim_value", 10**9) for i in (2, 3)],
    "negative sides": lambda m: [setattr(_input(m).dim[i], "dim_value", -(10**9)) for i in (0, 1, 2, 3)],
    "uint8 in": lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", TensorProto.UINT8),
    "text in": lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", TensorProto.STRING),
    "an unknown type in": lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 99),
    "an unknown type of weights": lambda m: setattr(m.graph.initializer[0], "data_type", 99),
    "an absurd shape of weights": lambda m: m.graph.initializer[0].dims.__setitem__(0, 10**12),
    "a negative shape of weights": lambda m: m.graph.initializer[0].dims.__setitem__(0, -8),
    "no values of weights": lambda m: m.graph.initializer[0].ClearField("raw_data"),
    "half of the values": lambda m: setattr(m.graph.initializer[0], "raw_data", bytes(100)),
    "no numbers": lambda m: m.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(np.full((8, 3, 3, 3), np.nan, np.float32), "w")
    ),
    "names without UTF-8": lambda m: setattr(m.graph.node[0], "name", "\0\1"),
    "argmax inside": _node("ArgMax", axis=1),
    "an absurd reshape": _with("s", [10**6, 10**6, 10**6, 1], _node("Reshape", "s")),
    "an absurd tile": _with("s", [1, 1, 10**6, 10**6], _node("Tile", "s")),
    "an absurd expand": _with("s", [1, 2, 64 * 10**6, 64], _node("Expand", "s")),
    "an absurd resize": _with("s", np.array([1, 1, 1e6, 1e6], np.float32), _node("Resize", "", "s")),
    "a resize by nothing": _with("s", np.array([1, 1, 0, 0], np.float32), _node("Resize", "", "s")),
    "an absurd pad": _with("s", [0] * 6 + [10**9, 10**9], _node("Pad", "s")),
    "absurd strides": lambda m: m.graph.node[0].attribute.append(
        helper.make_attribute("strides", [10**9, 10**9])
    ),
    "a padding of the wrong length": lambda m: m.graph.node[0].attribute[0].ints.append(1),
    "an attribute of another kind": lambda m: (
        m.graph.node[0].attribute[0].CopyFrom(helper.make_attribute("pads", "one"))
    ),
    "deep graphs": _deep,
    "a function of itself": _function_of_itself,
    "a sequence": _node("SequenceConstruct"),
    "training mode": _with(
        "n", np.ones(2, np.float32), _node("BatchNormalization", *"nnnn", training_mode=1)
    ),
    "quantised": _with("q", np.float32(0.1), _with("z", np.uint8(0), _node("QLinearSigmoid", *"qzqz"))),
}

ONNX_FILES: dict[str, Bad] = {
    **ANY,
    "cut": cut(network().SerializeToString()),
    "flipped": flipped(network().SerializeToString(), 4),
    "flipped at the end": lambda path, random: _tail(path, random),
    "TensorFlow Lite": content(b"\x1c\0\0\0TFL3" + bytes(100)),
    "HDF5": content(b"\x89HDF\r\n\x1a\n" + bytes(100)),
    "a zip": content(b"PK\x03\x04" + bytes(100)),
    "data at a missing file": data_at("gone.bin"),
    "data at an absolute path": data_at("/etc/passwd"),
    "data at a device": data_at("/dev/zero"),
    "data above": data_at("../../w.bin"),
    "data nowhere": data_at(""),
    "data in itself": data_at("bad.onnx", offset=0, length=10**12),
    "data at a negative offset": data_at("bad.onnx", offset=-5),
    "data at a folder": data_at("."),
    "data at a pipe": data_at("pipe"),
    **{name: changed(change) for name, change in _CHANGES.items()},
}


def _tail(path: Path, random: Random) -> None:
    """Names and shapes stand behind the weights."""
    whole = bytearray(network().SerializeToString())
    for _ in range(3):
        whole[-random.randrange(1, 150)] ^= random.randrange(1, 256)
    path.write_bytes(whole)
