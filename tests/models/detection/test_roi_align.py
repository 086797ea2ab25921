"""RoIAlign over a pyramid against torchvision's MultiScaleRoIAlign."""

from __future__ import annotations

import pytest
import torch
from random_boxes import KINDS, boxes_of
from torchvision.ops import MultiScaleRoIAlign

from edgeseg.errors import ModelError
from edgeseg.models.detection.roi_align import RoiAlign, levels_of

SIZE = (300, 300)
EACH = 1430


def pyramid(levels: int, images: int = 1) -> dict[str, torch.Tensor]:
    cells = [-(-300 // 2 ** (2 + i)) for i in range(levels)]
    return {str(i): torch.randn(images, 3, n, n) for i, n in enumerate(cells)} | {
        "pool": torch.zeros(images, 3, 2, 2)
    }


@pytest.mark.parametrize("kind", KINDS)
def test_ten_thousand_boxes_equal_torchvision(kind):
    """7 kinds of 1,430 boxes, in 4 levels."""
    torch.manual_seed(KINDS.index(kind))
    features, pool = pyramid(4), MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2)
    boxes = boxes_of(kind, 1, EACH)
    static = RoiAlign(levels_of(pool, features, SIZE))(list(features.values())[:4], boxes)
    wanted = pool(features, [boxes[0]], [SIZE])
    assert static.shape == wanted.shape == (EACH, 3, 7, 7)
    torch.testing.assert_close(static, wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("levels", [1, 3])
def test_other_pyramids_bins_samples_and_batches(levels):
    torch.manual_seed(0)
    features = pyramid(levels, images=2)
    names = [str(i) for i in range(levels)]
    pool = MultiScaleRoIAlign(names, (5, 3), 3, canonical_scale=100)
    boxes = boxes_of("out of frame", 2, 200)
    static = RoiAlign(levels_of(pool, features, SIZE))([features[n] for n in names], boxes)
    torch.testing.assert_close(static, pool(features, list(boxes), [SIZE, SIZE]), rtol=0, atol=1e-4)


def test_boxes_on_the_border_between_levels():
    torch.manual_seed(0)
    features, pool = pyramid(4), MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2)
    sides = torch.tensor([56.0, 112, 224, 448])
    boxes = torch.stack((torch.zeros(4), torch.zeros(4), sides, sides), 1)
    static = RoiAlign(levels_of(pool, features, SIZE))(list(features.values())[:4], boxes[None])
    torch.testing.assert_close(static, pool(features, [boxes], [SIZE]), rtol=0, atol=1e-4)


def test_maps_that_are_no_pyramid_are_refused():
    features = pyramid(3)
    with pytest.raises(ModelError, match="maps 7, 8, and"):
        levels_of(MultiScaleRoIAlign(["7", "8"], 7, 2), features, SIZE)
    with pytest.raises(ModelError, match="75x75, 19x19"):
        levels_of(MultiScaleRoIAlign(["0", "2"], 7, 2), features, SIZE)
