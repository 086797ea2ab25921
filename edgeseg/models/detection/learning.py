"""How a Mask R-CNN learns: torchvision's losses without its transform, and what they are taken of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import fastrcnn_loss, maskrcnn_loss
from torchvision.models.detection.rpn import concat_box_prediction_layers

from edgeseg.core.preprocess import Size

Target = dict[str, Tensor]


class Dense(NamedTuple):
    """What the heads of a network say, before anything is decided.

    Attributes:
        objectness, deltas: of each anchor of each image, float32 [N*A,1] and [N*A,4].
        boxes: of each image [R,4] in pixels, in which the classes are judged: their scores float32 [R...,C],
            0 the background, and deltas [R...,4*C].
        mask_boxes: of each image [M,4]; `labels`: their classes, int64 [M], from 1; `masks`: logits, float32
            [M...,C,h,w].
    """

    objectness: Tensor
    deltas: Tensor
    boxes: list[Tensor]
    scores: Tensor
    box_deltas: Tensor
    mask_boxes: list[Tensor]
    labels: list[Tensor]
    masks: Tensor


class Learnt(NamedTuple):
    """
    Attributes:
        losses: `rpn_objectness`, `rpn_box`, `classifier`, `box` and `mask`, a number each.
        dense: what they were taken of.
    """

    losses: dict[str, Tensor]
    dense: Dense


def learnt(network: MaskRCNN, image: Tensor, targets: Sequence[Target]) -> Learnt:
    """
    Args:
        network: in training mode it looks at more proposals.
        image: float32 [N,C,H,W], normalised, of any size.
        targets: of each image `boxes`, float32 [K,4] in pixels; `labels`, int64 [K], from 0 without the
            background; `masks`, uint8 [K,H,W].
    """
    rpn, heads = network.rpn, network.roi_heads
    counted = [{**target, "labels": target["labels"] + 1} for target in targets]
    features, sizes = _features(network, image)
    maps = list(features.values())
    levels = rpn.head(maps)
    objectness, deltas = concat_box_prediction_layers(*map(list, levels))
    anchors = rpn.anchor_generator(ImageList(image, sizes), maps)
    every = rpn.box_coder.decode(deltas.detach(), anchors).view(len(image), -1, 4)
    proposals, _ = rpn.filter_proposals(every, objectness, sizes, [level[0].numel() for level in levels[0]])
    truth, matched = rpn.assign_targets_to_anchors(anchors, counted)
    rpn_objectness, rpn_box = rpn.compute_loss(
        objectness, deltas, truth, rpn.box_coder.encode(matched, anchors)
    )
    proposals, which, labels, wanted = heads.select_training_samples(proposals, counted)
    scores, box_deltas = heads.box_predictor(heads.box_head(heads.box_roi_pool(features, proposals, sizes)))
    classifier, box = fastrcnn_loss(scores, box_deltas, labels, wanted)
    boxes = [each[label > 0] for each, label in zip(proposals, labels)]
    masks = heads.mask_predictor(heads.mask_head(heads.mask_roi_pool(features, boxes, sizes)))
    mask = maskrcnn_loss(
        masks,
        boxes,
        [target["masks"] for target in counted],
        [target["labels"] for target in counted],
        [each[label > 0] for each, label in zip(which, labels)],
    )
    found = {
        "rpn_objectness": rpn_objectness,
        "rpn_box": rpn_box,
        "classifier": classifier,
        "box": box,
        "mask": mask,
    }
    of_masks = [label[label > 0] for label in labels]
    return Learnt(found, Dense(objectness, deltas, proposals, scores, box_deltas, boxes, of_masks, masks))


def dense(network: MaskRCNN, image: Tensor, like: Dense) -> Dense:
    """What the heads of `network` say of the same image in the same boxes."""
    heads = network.roi_heads
    features, sizes = _features(network, image)
    objectness, deltas = concat_box_prediction_layers(*map(list, network.rpn.head(list(features.values()))))
    pooled = heads.box_roi_pool(features, like.boxes, sizes)
    scores, box_deltas = heads.box_predictor(heads.box_head(pooled))
    pooled = heads.mask_roi_pool(features, like.mask_boxes, sizes)
    masks = heads.mask_predictor(heads.mask_head(pooled))
    return like._replace(
        objectness=objectness, deltas=deltas, scores=scores, box_deltas=box_deltas, masks=masks
    )


def _features(network: MaskRCNN, image: Tensor) -> tuple[dict[str, Tensor], list[Size]]:
    """The maps of the backbone, and the size of each image."""
    size, step = (image.shape[2], image.shape[3]), network.transform.size_divisible
    features = network.backbone(F.pad(image, (0, -size[1] % step, 0, -size[0] % step)))
    return {"0": features} if isinstance(features, Tensor) else features, [size] * len(image)
