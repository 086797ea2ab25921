from __future__ import annotations

import torch
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import clip_boxes_to_image, remove_small_boxes

from edgeseg.models.detection.boxes import at_least, clip, decode, pick

WEIGHTS = (10.0, 10.0, 5.0, 5.0)


def random_boxes(count: int) -> torch.Tensor:
    corner = torch.rand(count, 2) * 400 - 40
    return torch.cat((corner, corner + torch.rand(count, 2) ** 4 * 300), 1)


def test_decode_clip_and_size_are_those_of_torchvision():
    torch.manual_seed(0)
    boxes, deltas = random_boxes(10_000), torch.randn(10_000, 4) * 8
    coder = BoxCoder(WEIGHTS)
    decoded = decode(deltas, boxes, coder.weights, coder.bbox_xform_clip)
    wanted = coder.decode_single(deltas, boxes)
    assert (decoded[:, 2] - decoded[:, 0]).max() > 1000
    torch.testing.assert_close(decoded, wanted, rtol=0, atol=0)
    clipped = clip(decoded, (240, 320))
    torch.testing.assert_close(clipped, clip_boxes_to_image(wanted, (240, 320)), rtol=0, atol=0)
    for side in (1e-3, 1e-2, 5.0):
        assert at_least(clipped, side).nonzero()[:, 0].equal(remove_small_boxes(clipped, side))


def test_growth_is_cut_before_the_exponential():
    boxes, deltas = torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[0.0, 0.0, 1e6, -1e6]])
    grown = decode(deltas, boxes, WEIGHTS, 2.0)
    torch.testing.assert_close(grown, BoxCoder(WEIGHTS, bbox_xform_clip=2.0).decode_single(deltas, boxes))
    assert grown.isfinite().all()


def test_rows_are_picked_per_image():
    rows = torch.arange(12.0).reshape(2, 3, 2)
    assert pick(rows, torch.tensor([[2, 0], [1, 1]])).tolist() == [[[4, 5], [0, 1]], [[8, 9], [8, 9]]]
