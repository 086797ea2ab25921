from __future__ import annotations

import copy
from functools import lru_cache

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import ModelProto, helper, numpy_helper
from patterns import PATTERNS, Net, chain, concat_mixed, feeds

from edgeseg.errors import GraphError
from edgeseg.graph.lift import LiftedModule
from edgeseg.graph.reference import run
from edgeseg.quantization.ptq import PtqSettings, quantize
from edgeseg.quantization.qat.fake_quant import FakeQuantize
from edgeseg.quantization.qat.module import prepare, write_back
from edgeseg.quantization.schemes import scheme_named


@lru_cache(maxsize=32)
def quantized(pattern: str, scheme: str = "openvino", **settings: object) -> ModelProto:
    return quantize(PATTERNS[pattern](), feeds(), scheme_named(scheme), PtqSettings(**settings)).model


def in_runtime(model: ModelProto, image: np.ndarray) -> np.ndarray:
    """What the graph says, node by node: fused int8 kernels round on their own."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    opened = onnxruntime.InferenceSession(
        model.SerializeToString(), sess_options=options, providers=["CPUExecutionProvider"]
    )
    return next(iter(run(opened, {"image": image}).values()))


def in_torch(module: LiftedModule, image: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return module(torch.from_numpy(image)).numpy()


def images() -> list[np.ndarray]:
    return [feed["image"] for feed in feeds(3, seed=9)]


def require_equal(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal, but where the order of a sum moved a value over the edge between two levels (a linear Resize of
    levels often ends there)."""
    error = np.abs(found - expected) / np.abs(expected).max()
    assert np.median(error) < 1e-5 and (error > 1e-4).mean() < 0.1 and error.max() < 0.03


def require_same_numbers(found: ModelProto, expected: ModelProto) -> None:
    a, b = constants(found), constants(expected)
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def constants(model: ModelProto) -> dict[str, np.ndarray]:
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


def learned(module: LiftedModule, layer: str, name: str) -> np.ndarray:
    """A constant of the network before it is rounded."""
    parts = module.get_submodule(f"{layer}.parametrizations.{name}")
    return (parts.original * parts[0].unit).detach().numpy()


def train(module: LiftedModule, steps: int = 6, lr: float = 3e-3) -> None:
    """Towards the outputs for brighter images, which asks for other scales too."""
    targets = [in_torch(module, image * 1.4) for image in images()]
    optimizer = torch.optim.Adam(module.parameters(), lr=lr)
    for step in range(steps):
        index = step % len(targets)
        optimizer.zero_grad()
        found = module(torch.from_numpy(images()[index]))
        (found - torch.from_numpy(targets[index])).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("scheme", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_network_is_the_graph_before_and_after_training(pattern: str, scheme: str) -> None:
    model = quantized(pattern, scheme)
    module = prepare(model, PATTERNS[pattern]()).module
    require_equal(in_torch(module, images()[0]), in_runtime(model, images()[0]))
    assert not {type(m).__name__ for m in module.modules()} & {"QuantizeLinear", "DequantizeLinear"}
    require_same_numbers(write_back(module, model), model)
    train(module)
    written = write_back(module, model)
    require_equal(in_torch(module, images()[0]), in_runtime(written, images()[0]))
    assert [n.SerializeToString() for n in written.graph.node] == [
        n.SerializeToString() for n in model.graph.node
    ]
    changed = {n for n, v in constants(written).items() if not np.array_equal(v, constants(model)[n])}
    assert {n for n in changed if n.endswith("/int8")} and {n for n in changed if n.endswith("/scale")}
    assert not {n for n in changed if n.endswith("/zero_point")}


def test_the_written_graph_agrees_in_openvino() -> None:
    package = pytest.importorskip("openvino")
    model = quantized("concat-mixed")
    module = prepare(model).module
    train(module)
    core = package.Core()
    config = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = core.compile_model(
        core.read_model(write_back(module, model).SerializeToString()), "CPU", config
    )
    for image in images():
        expected = in_torch(module, image)
        found = compiled.create_infer_request().infer({"image": image})[0]
        assert (np.abs(found - expected) / np.abs(expected).max()).mean() < 5e-3


def test_a_loss_reaches_every_weight_bias_and_scale() -> None:
    module = prepare(quantized("residual"), PATTERNS["residual"]()).module
    module(torch.from_numpy(images()[0])).square().mean().backward()
    names = dict(module.named_parameters())
    assert {n.rsplit(".", 1)[-1] for n in names} == {"log_scale", "original"}
    for name, parameter in names.items():
        assert parameter.grad is not None and float(parameter.grad.abs().max()) > 0, name


def test_weights_start_from_the_float_graph_where_it_has_them() -> None:
    plain = chain()
    model = quantized("chain")
    found = prepare(model, plain)
    assert (found.weights, found.masters) == (2, 2)
    np.testing.assert_array_equal(learned(found.module, "c1", "weight"), constants(plain)["c1.w"])
    assert prepare(model).masters == 0
    other = copy.deepcopy(plain)
    stored = next(t for t in other.graph.initializer if t.name == "c1.w")
    stored.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(stored), "c1.w"))
    assert prepare(model, other).masters == 1


def test_one_step_moves_every_constant_by_the_same_share_of_its_size() -> None:
    """Channels of very different size, as in a file with folded BatchNorm."""
    plain = chain()
    weight = next(t for t in plain.graph.initializer if t.name == "c2.w")
    sizes = np.logspace(-2, 1, weight.dims[0], dtype=np.float32)
    weight.CopyFrom(
        numpy_helper.from_array(numpy_helper.to_array(weight) * sizes[:, None, None, None], weight.name)
    )
    module = prepare(quantize(plain, feeds(), scheme_named("openvino")).model, plain).module
    before = learned(module, "c2", "weight").copy()
    train(module, steps=1, lr=1e-3)
    largest = np.abs(before).max(axis=(1, 2, 3))
    moved = np.abs(learned(module, "c2", "weight") - before).max(axis=(1, 2, 3)) / largest
    assert moved.min() > 0.5e-3 and moved.max() < 2e-3


def test_tensors_that_share_a_scale_share_it_after_training() -> None:
    model = quantize(concat_mixed(), feeds(), scheme_named("openvino")).model
    found = prepare(model)
    assert found.scales == 2  # the image, and what the Concat joins
    train(found.module)
    after = constants(write_back(found.module, model))
    assert after["act/scale"] == after["big/scale"] != constants(model)["act/scale"]
    assert after["act/zero_point"] == 128


@pytest.mark.parametrize(("bits", "limit"), [(4, 7), (6, 31), (8, 127)])
def test_fewer_bits_stay_fewer_bits(bits: int, limit: int) -> None:
    model = quantized("residual", weight_bits=bits)
    module = prepare(model, PATTERNS["residual"]()).module
    train(module, lr=0.05)
    levels = [v for n, v in constants(write_back(module, model)).items() if n.endswith("/int8")]
    assert max(int(np.abs(v.astype(int)).max()) for v in levels) <= limit
    grids = [m for m in module.modules() if isinstance(m, FakeQuantize) and m.low == -limit]
    assert len(grids) == len(levels)


def test_one_scale_per_weight_stays_one() -> None:
    model = quantized("residual", per_channel=False)
    module = prepare(model).module
    train(module)
    after = constants(write_back(module, model))
    assert all(after[n].shape == v.shape for n, v in constants(model).items())
    require_equal(in_torch(module, images()[0]), in_runtime(write_back(module, model), images()[0]))


def test_int32_biases_follow_their_scales() -> None:
    """A bias in the written graph is that of the trained network, to half a level."""
    model = quantized("chain", "onnxruntime")
    module = prepare(model).module
    train(module)
    after = constants(write_back(module, model))
    scale = after["act/scale"] * after["c2.w/scale"]
    np.testing.assert_allclose(after["c2.b/scale"], scale, rtol=1e-5)
    levels = next(v for n, v in after.items() if n.startswith("c2.b/int32"))
    bias = learned(module, "c2", "bias")
    np.testing.assert_allclose(levels * scale, bias, atol=scale.max())
    assert levels.dtype == np.int32


def test_a_weight_read_by_two_layers_stays_one() -> None:
    net = Net()
    a = net.op("Relu", "act", net.conv("c1", "image", 3, 8))
    shared = net.constant("w", net.rng.normal(0, 0.2, (8, 8, 1, 1)))
    bias = net.constant("b", net.rng.normal(0, 0.2, 8))
    twice = net.op("Conv", "second", net.op("Conv", "first", a, shared, bias), shared, bias)
    plain = net.model(net.conv("c2", twice, 8, 4))
    model = quantize(plain, feeds(), scheme_named("openvino"), PtqSettings(correct_bias=False)).model
    found = prepare(model, plain)
    assert (found.weights, found.masters) == (3, 3)
    require_equal(in_torch(found.module, images()[0]), in_runtime(model, images()[0]))
    train(found.module)
    require_equal(
        in_torch(found.module, images()[0]), in_runtime(write_back(found.module, model), images()[0])
    )


def test_one_of_several_outputs_is_trained_and_the_others_stay() -> None:
    net = Net()
    a = net.op("Relu", "act", net.conv("c1", "image", 3, 8))
    plain = net.model(net.conv("c2", a, 8, 4), net.conv("c3", a, 8, 2))
    model = quantize(plain, feeds(), scheme_named("openvino")).model
    module = prepare(model, plain, outputs=["c3"]).module
    assert in_torch(module, images()[0]).shape[1] == 2
    train(module)
    before, after = constants(model), constants(write_back(module, model))
    assert np.array_equal(before["c2.w/int8"], after["c2.w/int8"])
    assert not np.array_equal(before["c3.w/int8"], after["c3.w/int8"])


def test_copies_train_apart() -> None:
    module = prepare(quantized("residual", "onnxruntime")).module
    copied = copy.deepcopy(module)
    before = in_torch(module, images()[0])
    train(copied)
    np.testing.assert_array_equal(in_torch(module, images()[0]), before)
    written = write_back(copied, quantized("residual", "onnxruntime"))
    require_equal(in_torch(copied, images()[0]), in_runtime(written, images()[0]))


def test_a_float_graph_is_refused() -> None:
    with pytest.raises(GraphError, match="has no QuantizeLinear") as caught:
        prepare(chain())
    assert "quantise it first" in caught.value.hint


def test_a_pair_that_is_not_closed_is_refused() -> None:
    model = quantized("chain")
    output = next(n.output[0] for n in model.graph.node if n.op_type == "QuantizeLinear")
    model.graph.node.append(helper.make_node("Cast", [output], ["levels"], to=1, name="look"))
    model.graph.node.append(helper.make_node("ReduceMax", ["levels"], ["most"], keepdims=1, name="most"))
    last = model.graph.node[-3].output[0]
    model.graph.node.append(helper.make_node("Add", [last, "most"], ["out"], name="out"))
    model.graph.output[0].name = "out"
    with pytest.raises(GraphError, match="is not read by DequantizeLinear alone"):
        prepare(model)


def test_a_weight_quantised_in_the_graph_is_refused() -> None:
    net = Net()
    scale, zero = net.constant("s", 0.1), net.constant("z", 0, np.int8)
    image = net.op("DequantizeLinear", "dq", net.op("QuantizeLinear", "q", "image", scale, zero), scale, zero)
    weight = net.constant("w", net.rng.normal(0, 1, (4, 3, 1, 1)))
    seen = net.op("DequantizeLinear", "wdq", net.op("QuantizeLinear", "wq", weight, scale, zero), scale, zero)
    with pytest.raises(GraphError, match="is stored in float"):
        prepare(net.model(net.op("Conv", "c", image, seen)))


def test_another_graph_is_refused_when_written() -> None:
    module = prepare(quantized("residual")).module
    with pytest.raises(GraphError, match=r"has no|is \[8\]"):
        write_back(module, quantized("chain"))
