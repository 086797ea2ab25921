from __future__ import annotations

import numpy as np
import pytest
from onnx import helper
from small_graphs import dynamic, model_of, operators, outputs_of

from edgeseg.errors import GraphError
from edgeseg.graph.editor import opset_of
from edgeseg.graph.opsets import to_opset
from edgeseg.graph.source import make_static


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


def resized(image: np.ndarray, scales: tuple[float, float], mode: str) -> np.ndarray:
    """Upsample and the first Resize by hand: `asymmetric` coordinates, the pixel before or a mix of two."""
    for axis, scale in zip((2, 3), scales):
        size = image.shape[axis]
        at = np.arange(np.floor(size * scale), dtype=np.float32) / np.float32(scale)
        first = np.minimum(np.floor(at), size - 1).astype(int)
        second = np.minimum(first + 1, size - 1)
        share = (at - first if mode == "linear" else 0 * at).reshape(
            [-1 if i == axis else 1 for i in range(4)]
        )
        image = np.take(image, first, axis) * (1 - share) + np.take(image, second, axis) * share
    return image


@pytest.mark.parametrize("opset", [7, 9, 10])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("scales", [(2.0, 3.0), (1.6, 2.5), (1.7, 1.3), (0.6, 0.7), (0.3, 2.2)])
def test_an_old_resize_is_what_its_exporter_meant(opset, mode, scales):
    if min(scales) < 1 and opset < 10:
        scales = (1.25, 4.5)  # Upsample does not shrink
    operator, stated = ("Resize" if opset == 10 else "Upsample"), np.array([1, 1, *scales], np.float32)
    if opset < 9:
        nodes = [helper.make_node(operator, ["image"], ["scores"], mode=mode, scales=stated.tolist())]
        old = model_of(nodes, opset=opset)
    else:
        nodes = [helper.make_node(operator, ["image", "scales"], ["scores"], mode=mode)]
        old = model_of(nodes, {"scales": stated}, opset=opset)
    image = np.random.default_rng(0).normal(0, 1, (1, 3, 16, 20)).astype(np.float32)
    found = outputs_of(make_static(old), image)["scores"]
    np.testing.assert_allclose(found, resized(image, scales, mode), atol=1e-5)
