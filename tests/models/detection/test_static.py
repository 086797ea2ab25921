"""The static graph against torchvision eager."""

from __future__ import annotations

import pytest
import torch
from small_rcnn import KINDS, SIZE, eager, images_of, meaningful
from torch import nn

from edgeseg.errors import ModelError
from edgeseg.models.detection.static import StaticMaskRCNN


def compare(static, wanted, image: int) -> int:
    """Assert that the results are equal; gives how many rows could be told apart by their score."""
    count = int(static["count"][image])
    assert count == len(wanted["boxes"])
    scores = wanted["scores"]
    torch.testing.assert_close(static["scores"][image, :count], scores, rtol=0, atol=1e-5)
    gap = scores.diff().abs() > 1e-4
    sure = torch.ones(count, dtype=torch.bool)
    sure[1:] &= gap
    sure[:-1] &= gap
    wanted = {**wanted, "labels": wanted["labels"] - 1}
    for name, near in (("boxes", 0.01), ("labels", 0), ("masks", 1e-4)):
        found = static[name][image, :count][sure]
        torch.testing.assert_close(found, wanted[name][sure], rtol=0, atol=near, check_dtype=False)
        assert not static[name][image, count:].any()
    assert not static["scores"][image, count:].any()
    return int(sure.sum())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [SIZE, (150, 215)], ids=["whole", "padded"])
@torch.no_grad()
def test_equals_torchvision(kind, size):
    network = meaningful(kind)
    static = StaticMaskRCNN(network, size)
    images = images_of(3, size)
    compared, labels = 0, set()
    for image in images:
        found = static(image[None])
        compared += compare(found, eager(network, image), 0)
        is_any = found["scores"] > 0
        labels |= set(found["labels"][is_any].tolist())
        assert not found["unsettled"].any()
        assert found["masks"][is_any].std() > 0.1
    assert compared >= 20 and len(labels) >= 2


@torch.no_grad()
def test_images_of_a_batch_are_apart():
    network, images = meaningful("v1"), images_of(3)
    found = StaticMaskRCNN(network, SIZE)(images)
    assert sum(compare(found, eager(network, image), i) for i, image in enumerate(images)) >= 20


@torch.no_grad()
def test_too_few_candidates_are_counted():
    """Twenty scores take part in NMS and some go: one that was left out might be in their place."""
    network, images = meaningful("v1"), images_of(1)
    network.roi_heads.detections_per_img, network.roi_heads.nms_thresh = 20, 0.05
    few = StaticMaskRCNN(network, SIZE, candidates=20)(images)
    assert few["count"][0] < 20 and few["unsettled"][0] > 0


@torch.no_grad()
def test_no_instance_at_all():
    network = meaningful("v1")
    network.roi_heads.score_thresh = 0.9999
    found = StaticMaskRCNN(network, SIZE)(images_of(1))
    assert found["count"].tolist() == [0] and not any(values.any() for values in found.values())


@torch.no_grad()
def test_fewer_scores_than_detections_that_are_asked_for():
    network = meaningful("v1")
    network.rpn._post_nms_top_n["testing"] = 5
    network.roi_heads.detections_per_img = 100
    image = images_of(1)
    found = StaticMaskRCNN(network, SIZE)(image)
    assert found["boxes"].shape == (1, 15, 4) and found["masks"].shape == (1, 15, 28, 28)
    compare(found, eager(network, image[0]), 0)


def test_other_networks_are_refused():
    with pytest.raises(ModelError, match="Sequential is no Mask R-CNN"):
        StaticMaskRCNN(nn.Sequential(), SIZE)
