"""What torchvision's losses say of a Mask R-CNN, without its transform."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.image_list import ImageList

Target = dict[str, Tensor]

NAMES = {
    "rpn_objectness": "loss_objectness",
    "rpn_box": "loss_rpn_box_reg",
    "classifier": "loss_classifier",
    "box": "loss_box_reg",
    "mask": "loss_mask",
}
"""Each loss, and what torchvision calls it."""


def losses(network: MaskRCNN, image: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
    """Each loss of `NAMES`, a number.

    Args:
        network: in training mode.
        image: float32 [N,C,H,W], normalised, of any size.
        targets: of each image `boxes`, float32 [K,4] in pixels; `labels`, int64 [K], from 0 without the
            background; `masks`, uint8 [K,H,W].
    """
    size = (image.shape[2], image.shape[3])
    step = network.transform.size_divisible
    features = network.backbone(F.pad(image, (0, -size[1] % step, 0, -size[0] % step)))
    if isinstance(features, Tensor):
        features = {"0": features}
    sizes = [size] * len(image)
    counted = [{**target, "labels": target["labels"] + 1} for target in targets]
    proposals, first = network.rpn(ImageList(image, sizes), features, counted)
    _, second = network.roi_heads(features, proposals, sizes, counted)
    found = {**first, **second}
    return {name: found[theirs] for name, theirs in NAMES.items()}
