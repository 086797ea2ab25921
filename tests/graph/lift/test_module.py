"""The lifted module: names, weights and their way back, batches, copies, training."""

from __future__ import annotations

import copy

import numpy as np
import onnx
import onnx.reference
import pytest
import torch
from onnx import numpy_helper
from torch import fx, nn

from edgeseg.errors import GraphError, UnsupportedOperator
from edgeseg.graph.lift import lift, write_back
from edgeseg.graph.reference import run, session


def noise(*shape):
    return np.random.default_rng(2).standard_normal(shape).astype(np.float32)


@pytest.fixture
def network(make):
    """Conv with asymmetric padding, BatchNorm, PRelu, pooled and classified by Gemm and MatMul."""
    return make(
        [
            ("Conv", ["x", "w", "b"], {"pads": [0, 0, 1, 1], "strides": [2, 2]}),
            ("BatchNormalization", ["y0", "gamma", "beta", "mean", "var"], {"momentum": 0.8}),
            ("PRelu", ["y1", "slope"], {}),
            ("GlobalAveragePool", ["y2"], {}),
            ("Flatten", ["y3"], {}),
            ("Gemm", ["y4", "g", "h"], {}),
            ("MatMul", ["y5", "m"], {}),
            ("Add", ["y6", "a"], {}),
        ],
        {"x": (2, 3, 8, 8)},
        {
            "w": noise(4, 3, 3, 3),
            "b": noise(4),
            "gamma": noise(4),
            "beta": noise(4),
            "mean": noise(4),
            "var": np.abs(noise(4)) + 0.5,
            "slope": noise(4, 1, 1),
            "g": noise(4, 6),
            "h": noise(6),
            "m": noise(6, 5),
            "a": noise(5),
        },
    )


def test_real_modules_with_the_names_of_the_file(network, agree):
    lifted = agree(network)
    kinds = {lifted.onnx_names[n.name]: type(lifted.get_submodule(n.target)) for n in calls(lifted)}
    assert isinstance(lifted, fx.GraphModule) and not lifted.training
    assert kinds["/net/Conv.0"] is nn.Conv2d
    assert issubclass(kinds["/net/BatchNormalization.1"], nn.BatchNorm2d)
    assert kinds["/net/PRelu.2"] is nn.PReLU
    assert kinds["/net/Gemm.5"] is kinds["/net/MatMul.6"] is nn.Linear
    for onnx_name, fx_name in lifted.fx_names.items():
        assert lifted.onnx_names[fx_name] == onnx_name
    assert set(lifted.fx_names) == {n.name for n in network.graph.node}
    assert lifted.input_names == ("x",) and lifted.output_names == ("y7",)


def calls(lifted):
    return [n for n in lifted.graph.nodes if n.op == "call_module"]


def test_every_weight_knows_its_initialiser(network):
    lifted = lift(network)
    names = dict(lifted.initializers.values())
    assert set(names) == {t.name for t in network.graph.initializer}
    assert names["g"] == names["m"] == "transposed" and names["slope"] == "flat" and names["w"] == "same"
    assert set(dict(lifted.named_parameters())) <= set(lifted.initializers)


def test_writing_back_untouched_weights_changes_no_byte(network):
    written = write_back(lift(network), network)
    assert [numpy_helper.to_array(t).tobytes() for t in written.graph.initializer] == [
        numpy_helper.to_array(t).tobytes() for t in network.graph.initializer
    ]


def test_a_constant_without_axes_keeps_its_shape(make):
    network = make([("Mul", ["x", "six"], {})], {"x": (1, 3, 4, 4)}, {"six": np.array(6, np.float32)})
    (written,) = write_back(lift(network), network).graph.initializer
    assert list(written.dims) == []


def test_trained_weights_reach_the_file(network):
    lifted = lift(network)
    with torch.no_grad():
        for tensor in (
            *lifted.parameters(),
            lifted.get_submodule(lifted.fx_names["/net/BatchNormalization.1"]).running_var,
        ):
            tensor.mul_(1.1).add_(0.01)
    written = write_back(lifted, network)
    x = noise(2, 3, 8, 8)
    expected = lifted(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(run(session(written), {"x": x})["y7"], expected, rtol=1e-4, atol=1e-5)
    assert [n.name for n in written.graph.node] == [n.name for n in network.graph.node]


def test_half_precision_is_raised_and_written_back_as_half(make):
    weight = noise(4, 3, 1, 1).astype(np.float16)
    half = make(
        [("Conv", ["x", "w"], {})], {"x": (1, 3, 4, 4)}, {"w": weight}, dtype=onnx.TensorProto.FLOAT16
    )
    lifted = lift(half)
    assert lifted(torch.ones(1, 3, 4, 4)).dtype == torch.float32
    written = numpy_helper.to_array(write_back(lifted, half).graph.initializer[0])
    assert written.dtype == np.float16 and np.array_equal(written, weight)


def test_a_shared_initialiser_stays_one_weight(make, agree):
    model = make(
        [("Conv", ["x", "w"], {}), ("Conv", ["y0", "w"], {})], {"x": (1, 3, 4, 4)}, {"w": noise(3, 3, 1, 1)}
    )
    lifted = agree(model)
    assert len(list(lifted.parameters())) == 1


def test_a_dequantised_weight_is_trained_as_a_float_one(make):
    constants = {"q": np.arange(-6, 6, dtype=np.int8).reshape(4, 3, 1, 1), "s": np.float32(0.1).reshape(())}
    model = make(
        [("DequantizeLinear", ["q", "s"], {}), ("Conv", ["x", "y0"], {})], {"x": (1, 3, 4, 4)}, constants
    )
    lifted = lift(model)
    x = torch.from_numpy(noise(1, 3, 4, 4))
    before = run(session(model), {"x": x.numpy()})["y1"]
    np.testing.assert_allclose(
        run(session(write_back(lifted, model)), {"x": x.numpy()})["y1"], before, atol=1e-6
    )
    with torch.no_grad():
        next(lifted.parameters()).add_(0.05)
    after = run(session(write_back(lifted, model)), {"x": x.numpy()})["y1"]
    np.testing.assert_allclose(after, lifted(x).detach().numpy(), atol=1e-6)


@pytest.mark.parametrize(("op", "axis"), [("Conv", 0), ("MatMul", 1), ("Gemm", 1)])
def test_the_float_weight_behind_a_quantiser_is_the_parameter(make, op, axis):
    weight = noise(4, 4, 1, 1) if op == "Conv" else noise(4, 4)
    constants = {"w": weight, "s": np.abs(noise(4)) * 0.05 + 0.01, "z": np.zeros(4, np.int8)}
    nodes = [
        ("QuantizeLinear", ["w", "s", "z"], {"axis": axis}),
        ("DequantizeLinear", ["y0", "s", "z"], {"axis": axis}),
        (op, ["x", "y1"], {}),
    ]
    model = make(nodes, {"x": (1, 4, 3, 3) if op == "Conv" else (2, 4)}, constants, opset=21)
    x = noise(*[d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim])

    def same(lifted, file):
        """Against the reference: ONNX Runtime makes MatMul behind a DQ an approximate kernel of its own."""
        (expected,) = onnx.reference.ReferenceEvaluator(file).run(None, {"x": x})
        np.testing.assert_allclose(lifted(torch.from_numpy(x)).detach().numpy(), expected, atol=1e-6)

    lifted = lift(model)
    same(lifted, model)
    assert isinstance(next(lifted.children()), nn.Conv2d if op == "Conv" else nn.Linear)
    assert {name for name, _ in lifted.initializers.values()} == {"w", "s", "z"}
    with torch.no_grad():
        next(lifted.parameters()).mul_(0.5)
    written = write_back(lifted, model)
    assert np.array_equal(numpy_helper.to_array(written.graph.initializer[0]), weight * 0.5)
    assert [n.op_type for n in written.graph.node] == ["QuantizeLinear", "DequantizeLinear", op]
    same(lifted, written)
    assert copy.deepcopy(lifted).initializers == lifted.initializers


def test_another_file_is_refused(network, make):
    with pytest.raises(GraphError, match="the file has no tensor"):
        write_back(lift(network), make([("Relu", ["x"], {})], {"x": (1, 3, 4, 4)}))


def test_a_weight_of_another_shape_is_refused(network):
    lifted = lift(network)
    lifted.get_submodule(lifted.fx_names["/net/Conv.0"]).weight = nn.Parameter(torch.zeros(3, 3, 3, 3))
    with pytest.raises(GraphError, match=r"\[3, 3, 3, 3\].*'w' is \[4, 3, 3, 3\]"):
        write_back(lifted, network)


def test_two_uses_trained_apart_are_refused(make):
    model = make(
        [("MatMul", ["x", "w"], {}), ("MatMul", ["w", "y0"], {}, ["z"])], {"x": (3, 3)}, {"w": noise(3, 3)}
    )
    lifted = lift(model)
    with torch.no_grad():
        next(lifted.parameters()).mul_(2)
    with pytest.raises(GraphError, match="differ now"):
        write_back(lifted, model)


def test_copies_keep_their_names(network):
    lifted = lift(network)
    twin = copy.deepcopy(lifted)
    x = torch.from_numpy(noise(2, 3, 8, 8))
    assert torch.equal(twin(x), lifted(x))
    assert twin.initializers == lifted.initializers
    assert write_back(twin, network).graph == write_back(lifted, network).graph


def test_other_batch_sizes_run(make, agree):
    model = make(
        [
            ("Reshape", ["x", "split"], {}),
            ("Transpose", ["y0"], {"perm": [0, 2, 1, 3, 4]}),
            ("Reshape", ["y1", "join"], {}),
            ("Expand", ["y2", "wide"], {}),
        ],
        {"x": (1, 8, 4, 4)},
        {
            "split": np.array([1, 2, 4, 4, 4]),
            "join": np.array([1, 8, 4, 4]),
            "wide": np.array([1, 8, 4, 4]),
        },
    )
    lifted = agree(model)
    x = torch.from_numpy(noise(3, 8, 4, 4))
    assert torch.equal(lifted(x)[1:2], lifted(x[1:2]))


def test_all_weights_learn(network):
    lifted = lift(network).train()
    x = torch.from_numpy(noise(2, 3, 8, 8))
    optimizer = torch.optim.SGD(lifted.parameters(), 0.01)
    losses = []
    for _ in range(20):
        loss = (lifted(x) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        losses.append(loss.item())
        assert all(p.grad is not None and p.grad.isfinite().all() for p in lifted.parameters())
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]


def test_batch_norm_in_training_moves_its_statistics_by_the_momentum_of_the_file(network):
    lifted = lift(network)
    norm = lifted.get_submodule(lifted.fx_names["/net/BatchNormalization.1"])
    before = norm.running_mean.clone()
    x = torch.from_numpy(noise(2, 4, 5, 5))
    norm.train()(x)
    torch.testing.assert_close(norm.running_mean, 0.8 * before + 0.2 * x.mean((0, 2, 3)))


def test_batch_norm_of_one_value_a_channel_trains_on_its_running_statistics(network):
    norm = lift(network).get_submodule("net_BatchNormalization_1")
    x = torch.from_numpy(noise(1, 4, 1, 1))
    assert torch.equal(norm.train()(x), norm.eval()(x))


def test_a_dynamic_input_asks_for_a_static_graph(make):
    model = make([("Relu", ["x"], {})], {"x": (1, 3, 4, 4)})
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    with pytest.raises(GraphError, match=r"\[1, 3, height, 4\][\s\S]*static"):
        lift(model)


def test_all_unliftable_nodes_are_named_at_once(make):
    model = make(
        [("NonZero", ["x"], {}), ("GRU", ["x", "w", "w"], {"hidden_size": 1})],
        {"x": (1, 1, 1)},
        {"w": noise(1, 3, 1)},
    )
    with pytest.raises(UnsupportedOperator) as refused:
        lift(model)
    for text in (
        "2 node(s)",
        "NonZero '/net/NonZero.0'",
        "depends on values",
        "GRU '/net/GRU.1'",
        "recurrent",
    ):
        assert text in str(refused.value)


@pytest.mark.parametrize("op", ["DynamicQuantizeLinear", "QLinearConv", "ConvInteger", "MatMulInteger"])
def test_quantised_files_are_refused_with_the_reason(op):
    node = onnx.helper.make_node(op, ["x"], ["y"], name="q")
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, (1, 2))
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, (1, 2))
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [value], [out]))
    with pytest.raises(UnsupportedOperator, match=f"{op} 'q': the file is already quantised"):
        lift(model)


def test_operators_of_other_domains_are_refused(make):
    model = make([("Relu", ["x"], {})], {"x": (1, 2)})
    model.graph.node[0].domain = "com.microsoft"
    with pytest.raises(UnsupportedOperator, match=r"com\.microsoft"):
        lift(model)


def test_names_python_cannot_use(make, agree):
    model = make(
        [
            ("Relu", ["0"], {}, ["forward"]),
            ("Relu", ["forward"], {}, ["class"]),
            ("Relu", ["class"], {}, ["train"]),
        ],
        {"0": (1, 2)},
    )
    for node, name in zip(model.graph.node, ("forward", "lambda", "training")):
        node.name = name
    assert set(agree(model).fx_names) == {"forward", "lambda", "training"}


def test_quantize_and_dequantize_are_modules_with_the_scales_of_the_file(make, agree):
    constants = {
        "s": np.array([0.05, 0.1, 0.02], np.float32),
        "z": np.array([3, 0, -5], np.int8),
    }
    nodes = [
        ("QuantizeLinear", ["x", "s", "z"], {"axis": 1}),
        ("DequantizeLinear", ["y0", "s", "z"], {"axis": 1}),
    ]
    lifted = agree(make(nodes, {"x": (2, 3, 4, 4)}, constants))
    assert {name for name, _ in lifted.initializers.values()} == {"s", "z"}
    halves = torch.tensor([0.5, 1.5, 2.5, -0.5]).reshape(1, 1, 2, 2).expand(1, 3, 2, 2) * torch.tensor([0.05])
    assert lifted.get_submodule("net_QuantizeLinear_0")(halves)[0, 0].flatten().tolist() == [3, 5, 5, 3]
