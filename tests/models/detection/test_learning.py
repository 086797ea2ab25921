"""The losses against torchvision's own."""

from __future__ import annotations

import pytest
import torch
from small_rcnn import KINDS, SIZE, images_of, meaningful

from edgeseg.models.detection.static import StaticMaskRCNN


def targets(counts: tuple[int, ...], size=SIZE) -> list[dict[str, torch.Tensor]]:
    """So many rectangles in each image."""
    generator, made = torch.Generator().manual_seed(3), []
    for count in counts:
        corner = torch.rand(count, 2, generator=generator) * torch.tensor([size[1] / 2, size[0] / 2])
        side = 12 + torch.rand(count, 2, generator=generator) * 60
        boxes = torch.cat((corner, corner + side), 1).round()
        masks = torch.zeros(count, *size, dtype=torch.uint8)
        for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist()):
            mask[top:bottom, left:right] = 1
        labels = torch.arange(count) % 2
        made.append({"boxes": boxes, "labels": labels, "masks": masks})
    return made


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("counts", [(3, 2), (0, 4), (0, 0)], ids=["things", "one empty", "none"])
def test_equal_those_of_torchvision(kind, counts):
    network = meaningful(kind)
    network.transform._skip_resize = True
    images, wanted = images_of(2), targets(counts)
    module = StaticMaskRCNN(network, SIZE).train()
    torch.manual_seed(1)
    found = module(images, wanted)
    assert set(found.losses) == {"rpn_objectness", "rpn_box", "classifier", "box", "mask"}
    torch.manual_seed(1)
    theirs = network(list(images), [{**t, "labels": t["labels"] + 1} for t in wanted])
    torch.testing.assert_close(sum(found.losses.values()), sum(theirs.values()))
    for name, value in zip(found.losses.values(), theirs.values()):
        assert name.ndim == value.ndim == 0
    sum(found.losses.values()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


def test_images_of_another_size_than_the_network_returns_things_of():
    module = StaticMaskRCNN(meaningful("v1"), SIZE).train()
    found = module(images_of(1, (96, 120)), targets((2,), (96, 120)))
    assert all(value.isfinite() for value in found.losses.values())


def test_another_network_is_asked_in_the_same_boxes():
    torch.manual_seed(0)
    module, images = StaticMaskRCNN(meaningful("v1"), SIZE).train(), images_of(2)
    found = module(images, targets((3, 1))).dense
    with torch.no_grad():
        same = module.eval().dense(images, found)
        other = StaticMaskRCNN(meaningful("v1", seed=5), SIZE).dense(images, found)
    assert [len(boxes) for boxes in found.boxes] == [len(boxes) for boxes in other.boxes]
    for name in ("objectness", "deltas", "scores", "box_deltas", "masks"):
        mine, theirs = getattr(found, name), getattr(other, name)
        assert mine.shape == theirs.shape == getattr(same, name).shape and not torch.allclose(mine, theirs)
    assert len(found.masks) == sum(map(len, found.mask_boxes)) == sum(map(len, found.labels)) > 0
