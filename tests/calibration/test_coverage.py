from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgeseg.calibration.coverage import brightness
from edgeseg.core.frame import Frame
from edgeseg.core.ports import silent
from edgeseg.datasets.framed import framed_split
from edgeseg.datasets.images import unlabelled


def split_of(*images, frame=None):
    known = dict(zip(map(str, range(len(images))), images))
    split = unlabelled("data", "images", tuple(known), known.__getitem__)
    return replace(split, frame=frame)


def bands(split, held=None):
    """The band of each image, where one band holds one."""
    return [band.low for band in brightness(split, held, silent) if band.share]


def flat(values, dtype):
    return np.broadcast_to(np.array(values, dtype), (4, 6, len(values)))


def test_full_light_of_12_bits_is_not_that_of_16():
    dark, light = flat([400], np.uint16), flat([4000], np.uint16)
    assert bands(split_of(dark, light)) == [0, 224]
    assert bands(split_of(dark), split_of(light)) == [0], "held-out images tell it too"
    assert bands(split_of(light, flat([65000], np.uint16))) == [0, 224]
    stated = Frame(order="gray", dtype="uint16", maximum=8191.0)
    assert bands(framed_split(split_of(dark, light), stated)) == [0, 96]
    assert bands(split_of(dark, light, frame=stated)) == [0, 96]


@pytest.mark.parametrize("depth", [0.0, 9.0])
def test_depth_is_no_light(depth):
    frame = Frame.parse("r,g,b,depth:float32:1")
    assert bands(split_of(flat([0.5, 0.5, 0.5, depth], np.float32), frame=frame)) == [96]
    turned = Frame.parse("depth,b,g,r:float32:1")
    assert bands(split_of(flat([depth, 0.0, 0.0, 1.0], np.float32), frame=turned)) == [64]


def test_every_image_is_in_a_band():
    for image in (flat([7.0], np.float32), flat([1.5] * 3, np.float32), flat([255] * 3, np.uint8)):
        assert sum(band.share for band in brightness(split_of(image), None, silent)) == 1
    stated = Frame.parse("gray:float32:2")
    assert bands(split_of(flat([7.0], np.float32), frame=stated)) == [224]
