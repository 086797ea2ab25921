from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def few_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


Make = Callable[..., onnx.ModelProto]


@pytest.fixture
def make() -> Make:
    """`make([("Conv", ["x", "w"], {"pads": [...]})], {"x": shape}, {"w": array})`: a chain of nodes.

    Node i writes `y{i}`, or the outputs given as a fourth element; the last output is the graph's.
    """

    def build(
        nodes: list[tuple[Any, ...]],
        inputs: Mapping[str, tuple[int, ...]],
        constants: Mapping[str, np.ndarray] | None = None,
        *,
        opset: int = 18,
        outputs: tuple[str, ...] = (),
        dtype: int = onnx.TensorProto.FLOAT,
    ) -> onnx.ModelProto:
        protos, made = [], []
        for index, (op, reads, attributes, *writes) in enumerate(nodes):
            made = list(writes[0]) if writes else [f"y{index}"]
            protos.append(helper.make_node(op, reads, made, name=f"/net/{op}.{index}", **attributes))
        graph = helper.make_graph(
            protos,
            "net",
            [helper.make_tensor_value_info(name, dtype, shape) for name, shape in inputs.items()],
            [onnx.ValueInfoProto(name=name) for name in outputs or made[:1]],
            [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
        inferred = onnx.shape_inference.infer_shapes(model)
        for output in model.graph.output:
            known = [v for v in (*inferred.graph.value_info, *inferred.graph.output) if v.name == output.name]
            output.CopyFrom(known[0])
        return model

    return build


@pytest.fixture
def agree() -> Callable[..., Any]:
    """`agree(model)` lifts, compares with ONNX Runtime on random inputs, and returns the lifted module."""
    from edgeseg.graph.lift import lift
    from edgeseg.graph.reference import run, session

    def check(
        model: onnx.ModelProto, *, tolerance: float = 1e-5, feeds: Mapping[str, np.ndarray] | None = None
    ):
        lifted = lift(model)
        values = feeds or {
            i.name: np.random.default_rng(0)
            .standard_normal([d.dim_value for d in i.type.tensor_type.shape.dim])
            .astype(np.float32)
            for i in model.graph.input
        }
        with torch.no_grad():
            results = lifted(*[torch.from_numpy(values[name]) for name in lifted.input_names])
        results = results if isinstance(results, tuple) else (results,)
        expected = run(session(model, threads=1), values)
        for name, result in zip(lifted.output_names, results):
            got, want = result.numpy(), expected[name]
            assert got.shape == want.shape and got.dtype == want.dtype
            scale = max(float(np.abs(want).max()), 1e-6)
            assert float(np.abs(got.astype(float) - want).max()) <= tolerance * scale, name
        return lifted

    return check
