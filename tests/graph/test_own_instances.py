"""A user's own ONNX file that finds things, in the three layouts that are known."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeseg.core.postprocess import Postprocess
from edgeseg.errors import GraphError
from edgeseg.graph.own_instances import instance_contract, layout_of, with_standard_outputs
from edgeseg.graph.reference import run, session
from edgeseg.graph.shapes import with_shapes
from tests import rtx

SIZE = (32, 48)
CLASSES, COEFFICIENTS, CANDIDATES, MASK = 3, 4, 40, (8, 12)


def fixed(outputs: dict[str, np.ndarray]) -> onnx.ModelProto:
    """A network that returns these whatever it sees, each plus nothing times its input."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
    ]
    held = [numpy_helper.from_array(np.zeros((), np.float32), "zero")]
    infos = []
    for name, value in outputs.items():
        held.append(numpy_helper.from_array(value.astype(np.float32), f"{name}_value"))
        summed = name if value.dtype == np.float32 else f"{name}_sum"
        nodes.append(helper.make_node("Add", [f"{name}_value", "nothing"], [summed]))
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        if summed != name:
            nodes.append(helper.make_node("Cast", [summed], [name], to=kind))
        infos.append(helper.make_tensor_value_info(name, kind, value.shape))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, *SIZE])
    graph = helper.make_graph(nodes, "own", [image], infos, held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return with_shapes(model)


def standard(model: onnx.ModelProto, first_label: int = 0) -> dict[str, np.ndarray]:
    contract, _ = instance_contract(model, Postprocess(), layout_of(model))
    made = with_standard_outputs(model, contract.instances, first_label)
    return run(session(made), {"image": np.ones((1, 3, *SIZE), np.float32)})


def candidates(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows [1,4+C+M,A] of crowded boxes, and prototypes."""
    random = np.random.default_rng(seed)
    centre = random.uniform(8, 24, (2, CANDIDATES))
    rows = np.concatenate([centre, random.uniform(6, 20, (2, CANDIDATES)),
                           random.uniform(0, 1, (CLASSES, CANDIDATES)),
                           random.normal(0, 2, (COEFFICIENTS, CANDIDATES))])  # fmt: skip
    return rows[None].astype(np.float32), random.normal(0, 2, (1, COEFFICIENTS, *MASK)).astype(np.float32)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    common = float(np.prod(np.maximum(sides, 0)))
    return common / (float(np.prod(a[2:] - a[:2])) + float(np.prod(b[2:] - b[:2])) - common)


def greedy(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, most: float) -> list[int]:
    """What NMS keeps, class by class, best first."""
    kept: list[int] = []
    for row in np.argsort(-scores, kind="stable"):
        if all(labels[row] != labels[k] or overlap(boxes[row], boxes[k]) <= most for k in kept):
            kept.append(int(row))
    return kept


@pytest.mark.parametrize("seed", range(5))
def test_candidates_are_suppressed_as_greedy_nms_does(seed):
    rows, prototypes = candidates(seed)
    found = standard(fixed({"output0": rows, "output1": prototypes}))
    centre, sides, scores = rows[0, :2], rows[0, 2:4], rows[0, 4 : 4 + CLASSES]
    boxes = np.concatenate([centre - sides / 2, centre + sides / 2]).T.clip(0, [48, 32, 48, 32])
    kept = greedy(boxes, scores.max(0), scores.argmax(0), 0.7)
    kept = [row for row in kept if scores.max(0)[row] > 0.05]
    count = int(found["count"][0])
    assert count == len(kept) and int(found["unsettled"][0]) == 0
    np.testing.assert_allclose(found["boxes"][0, :count], boxes[kept], atol=1e-5)
    np.testing.assert_array_equal(found["labels"][0, :count], scores.argmax(0)[kept])
    masks = np.tensordot(rows[0, 4 + CLASSES :].T[kept], prototypes[0], axes=1)
    np.testing.assert_allclose(found["masks"][0, :count], 1 / (1 + np.exp(-masks)), atol=1e-5)
    assert not found["boxes"][0, count:].any() and not found["masks"][0, count:].any()


def test_ranked_rows_are_taken_as_they_are():
    random = np.random.default_rng(0)
    rows = np.zeros((1, 10, 6 + COEFFICIENTS), np.float32)
    rows[0, :, :4], rows[0, :, 4] = [2, 3, 20, 30], np.linspace(0.9, 0.0, 10)
    rows[0, :, 5] = np.arange(10) % CLASSES
    prototypes = random.normal(0, 1, (1, COEFFICIENTS, *MASK)).astype(np.float32)
    found = standard(fixed({"rows": rows, "prototypes": prototypes}))
    assert int(found["count"][0]) == 9
    np.testing.assert_array_equal(found["labels"][0, :9], np.arange(9) % CLASSES)
    np.testing.assert_allclose(found["scores"][0, :9], rows[0, :9, 4])


@pytest.mark.parametrize("channel", [False, True])
def test_things_are_sorted_and_counted(channel):
    scores = np.array([[0.2, 0.01, 0.9]], np.float32)
    outputs = {
        "boxes": np.array([[[0, 0, 4, 4], [1, 1, 2, 2], [5, 5, 60, 40]]], np.float32),
        "scores": scores,
        "labels": np.array([[1, 1, 2]], np.int64),
        "masks": np.random.default_rng(0).uniform(0, 1, (1, 3, *([1] if channel else []), 28, 28)),
    }
    outputs["masks"] = outputs["masks"].astype(np.float32)
    found = standard(fixed(outputs), first_label=1)
    assert found["count"].tolist() == [2] and found["labels"][0].tolist() == [1, 0, 0]
    np.testing.assert_array_equal(found["boxes"][0, 0], [5, 5, 48, 32])
    np.testing.assert_allclose(found["masks"][0, 1], outputs["masks"].reshape(3, 28, 28)[0])


def test_other_outputs_are_refused_with_what_is_known():
    model = fixed({"a": np.zeros((1, 3, 8, 8), np.float32), "b": np.zeros((1, 2), np.float32)})
    assert layout_of(model) is None
    with pytest.raises(GraphError, match=r"'a' \[1, 3, 8, 8\]"):
        instance_contract(model, Postprocess(), None)


def test_tensorrt_rtx_builds_the_added_suppression():
    rows, prototypes = candidates()
    model = fixed({"output0": rows, "output1": prototypes})
    contract, _ = instance_contract(model, Postprocess(), layout_of(model))
    rtx.parsed(with_standard_outputs(model, contract.instances)).build("SM86")
