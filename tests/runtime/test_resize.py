from __future__ import annotations

import numpy as np
import pytest

from edgeseg.runtime.resize import bilinear, nearest

torch = pytest.importorskip("torch")

SIZES = [(34, 46), (9, 11), (17, 50), (100, 7), (1, 1), (17, 23), (18, 22)]


def interpolate(maps, size, **how):
    return torch.nn.functional.interpolate(torch.from_numpy(maps), size=size, **how).numpy()


@pytest.mark.parametrize("size", SIZES)
def test_bilinear_is_torch_without_aligned_corners(size):
    maps = np.random.default_rng(0).random((2, 3, 17, 23), np.float32)
    expected = interpolate(maps, size, mode="bilinear", align_corners=False)
    np.testing.assert_allclose(bilinear(maps, size), expected, atol=5e-6)


@pytest.mark.parametrize("size", SIZES)
def test_nearest_is_torch_nearest_exact(size):
    maps = np.random.default_rng(0).integers(0, 20, (2, 3, 17, 23)).astype(np.float32)
    np.testing.assert_array_equal(nearest(maps, size), interpolate(maps, size, mode="nearest-exact"))


def test_resizing_leaves_the_input_alone():
    maps = np.random.default_rng(0).random((1, 1, 5, 5), np.float32)
    before = maps.copy()
    bilinear(maps, (9, 3))
    np.testing.assert_array_equal(maps, before)


@pytest.mark.parametrize("size", SIZES)
def test_both_are_what_onnx_resize_computes(size):
    onnx = pytest.importorskip("onnx")
    evaluator = pytest.importorskip("onnx.reference")
    maps = np.random.default_rng(0).random((1, 2, 17, 23), np.float32)
    for mode, ours, extra in (
        ("linear", bilinear, {}),
        ("nearest", nearest, {"nearest_mode": "round_prefer_ceil"}),
    ):
        node = onnx.helper.make_node(
            "Resize",
            ["x", "", "", "s"],
            ["y"],
            mode=mode,
            coordinate_transformation_mode="half_pixel",
            **extra,
        )
        graph = onnx.helper.make_graph(
            [node],
            "g",
            [
                onnx.helper.make_tensor_value_info("x", 1, maps.shape),
                onnx.helper.make_tensor_value_info("s", 7, [4]),
            ],
            [onnx.helper.make_tensor_value_info("y", 1, None)],
        )
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])
        sizes = np.array((1, 2, *size), np.int64)
        (expected,) = evaluator.ReferenceEvaluator(model).run(None, {"x": maps, "s": sizes})
        np.testing.assert_allclose(ours(maps, size), expected, atol=5e-6)
