"""Resize in all its modes against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edgeseg.errors import UnsupportedOperator
from edgeseg.graph.lift import lift

COORDINATES = ["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"]
SIZES = [(14, 18), (5, 4), (11, 13), (7, 18)]


def resized(make, attributes, *, sizes=None, scales=None, shape=(1, 2, 7, 9), roi=None, opset=19):
    constants = {"roi": np.array([] if roi is None else roi, np.float32)}
    reads = ["x", "roi", "", ""]
    if scales is not None:
        constants["scales"], reads[2] = np.array(scales, np.float32), "scales"
    else:
        constants["sizes"], reads[3] = np.array(sizes, np.int64), "sizes"
    return make(
        [("Resize", reads if reads[3] else reads[:3], attributes)], {"x": shape}, constants, opset=opset
    )


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
def test_nearest(make, agree, coordinates, rounding, size):
    attributes = {"coordinate_transformation_mode": coordinates, "nearest_mode": rounding}
    agree(resized(make, attributes, sizes=(1, 2, *size)), tolerance=0)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_linear_and_cubic(make, agree, coordinates, mode, size):
    attributes = {"coordinate_transformation_mode": coordinates, "mode": mode}
    agree(resized(make, attributes, sizes=(1, 2, *size)))


@pytest.mark.parametrize("scales", [(2.0, 2.0), (1.5, 2.5), (0.65, 0.7)], ids=str)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("coordinates", COORDINATES)
def test_scales(make, agree, coordinates, mode, scales):
    attributes = {"coordinate_transformation_mode": coordinates, "mode": mode}
    agree(resized(make, attributes, scales=(1, 1, *scales)))


@pytest.mark.parametrize("attributes", [{"cubic_coeff_a": -0.5}, {"exclude_outside": 1}], ids=str)
def test_cubic_attributes(make, agree, attributes):
    agree(resized(make, {"mode": "cubic"} | attributes, sizes=(1, 2, 13, 5)))


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_crop_and_resize(make, agree, mode):
    attributes = {
        "coordinate_transformation_mode": "tf_crop_and_resize",
        "mode": mode,
        "extrapolation_value": 7.0,
    }
    agree(resized(make, attributes, sizes=(1, 2, 6, 8), roi=[0, 0, 0.1, -0.4, 1, 1, 0.8, 1.3]))


@pytest.mark.parametrize("policy", ["not_larger", "not_smaller", "stretch"])
def test_aspect_ratio_of_chosen_axes(make, agree, policy):
    attributes = {"axes": [2, 3], "keep_aspect_ratio_policy": policy, "mode": "linear"}
    agree(resized(make, attributes, sizes=(12, 12)))


@pytest.mark.parametrize("shape", [(1, 2, 7), (1, 2, 4, 5, 6), (6, 5)], ids=str)
def test_other_ranks(make, agree, shape):
    sizes = [*shape[:-1], 11]
    agree(resized(make, {"mode": "linear"}, sizes=sizes, shape=shape))


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_upsample_divides_coordinates_by_the_scale(make, agree, mode):
    model = make(
        [("Upsample", ["x", "s"], {"mode": mode})],
        {"x": (1, 2, 5, 6)},
        {"s": np.array([1, 1, 2, 3], np.float32)},
        opset=9,
    )
    agree(model)


@pytest.mark.parametrize(
    ("attributes", "mode", "corners"),
    [
        ({"mode": "linear", "coordinate_transformation_mode": "half_pixel"}, "bilinear", False),
        ({"mode": "linear", "coordinate_transformation_mode": "align_corners"}, "bilinear", True),
        ({"mode": "cubic", "coordinate_transformation_mode": "pytorch_half_pixel"}, "bicubic", False),
        ({"nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}, "nearest", None),
        ({"nearest_mode": "round_prefer_floor"}, "nearest", None),
    ],
    ids=str,
)
def test_what_torch_has_is_a_torch_module(make, agree, attributes, mode, corners):
    module = next(agree(resized(make, attributes, scales=(1, 1, 2, 2))).children())
    assert type(module) is nn.Upsample
    assert (module.mode, module.align_corners) == (mode, corners)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_whole_factors_serve_other_input_sizes(make, agree, mode):
    module = agree(resized(make, {"mode": mode}, scales=(1, 1, 2, 3)))
    height, width = module(torch.zeros(1, 2, 4, 4)).shape[2:]
    assert (height, width) == (8, 12)


def test_asymmetric_linear_is_not_what_torch_has(make, agree):
    module = next(
        agree(
            resized(
                make, {"mode": "linear", "coordinate_transformation_mode": "asymmetric"}, scales=(1, 1, 2, 2)
            )
        ).children()
    )
    assert type(module) is not nn.Upsample


def test_a_resize_to_the_same_size_is_nothing(make, agree):
    assert type(next(agree(resized(make, {"mode": "linear"}, sizes=(1, 2, 7, 9))).children())) is nn.Identity


def test_resize_without_constant_sizes_is_refused(make):
    model = make([("Resize", ["x", "", "s"], {})], {"x": (1, 1, 4, 4), "s": (4,)})
    with pytest.raises(UnsupportedOperator, match=r"Resize '/net/Resize.0'.*'s' is not a constant"):
        lift(model)
