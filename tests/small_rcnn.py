"""Small Mask R-CNN of torchvision with random weights that say something, and what it gives eagerly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from onnx import ModelProto
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import box_iou

SIZE = (160, 224)
CHANNELS = 16


def _body() -> nn.Sequential:
    channels = (3, 8, 16, 24, 24, 32)
    layers = [
        nn.Sequential(nn.Conv2d(a, b, 3, 2, 1), nn.BatchNorm2d(b), nn.ReLU()) for a, b in pairwise(channels)
    ]
    return nn.Sequential(*layers)


def _plain() -> nn.Module:
    """A backbone of one map, given as a tensor."""
    body = _body()[:4]
    body.out_channels = 24
    return body


def _pyramid() -> nn.Module:
    return BackboneWithFPN(_body(), {str(i): str(i - 1) for i in range(1, 5)}, [16, 24, 24, 32], CHANNELS)


def v1(classes: int = 4) -> MaskRCNN:
    return _network(_pyramid(), classes)


def v2(classes: int = 4) -> MaskRCNN:
    norm = nn.BatchNorm2d
    return _network(
        _pyramid(),
        classes,
        rpn_head=RPNHead(CHANNELS, 3, conv_depth=2),
        box_head=FastRCNNConvFCHead((CHANNELS, 7, 7), [CHANNELS] * 2, [1024], norm_layer=norm),
        mask_head=MaskRCNNHeads(CHANNELS, [CHANNELS, 256], 1, norm_layer=norm),
        rpn_score_thresh=0.3,
        bbox_reg_weights=(5.0, 5.0, 2.5, 2.5),
        box_nms_thresh=0.4,
    )


def narrow(classes: int = 4) -> MaskRCNN:
    """Three levels and thin heads, random weights: small enough to try channel by channel."""
    body = _body()
    backbone = BackboneWithFPN(body, {str(i): str(i - 1) for i in range(1, 4)}, [16, 24, 24], CHANNELS)
    anchors = AnchorGenerator(((16,), (32,), (64,), (128,)), ((0.5, 1.0, 2.0),) * 4)
    torch.manual_seed(0)
    return _network(
        backbone,
        classes,
        rpn_anchor_generator=anchors,
        box_head=TwoMLPHead(CHANNELS * 49, 32),
        box_predictor=FastRCNNPredictor(32, classes),
        mask_head=MaskRCNNHeads(CHANNELS, [CHANNELS], 1),
        mask_predictor=MaskRCNNPredictor(CHANNELS, CHANNELS, classes),
    ).eval()


def one_map(classes: int = 3) -> MaskRCNN:
    anchors = AnchorGenerator(((32, 64, 128),), ((0.5, 1.0),))
    return _network(_plain(), classes, rpn_anchor_generator=anchors)


KINDS: dict[str, Callable[[], MaskRCNN]] = {"v1": v1, "v2": v2, "one map": one_map}


def _network(backbone: nn.Module, classes: int, **options) -> MaskRCNN:
    defaults = {
        "rpn_pre_nms_top_n_test": 100,
        "rpn_post_nms_top_n_test": 60,
        "box_detections_per_img": 20,
        "image_mean": [0.0] * 3,
        "image_std": [1.0] * 3,
    }
    anchors = AnchorGenerator(((16,), (32,), (64,), (128,), (256,)), ((0.5, 1.0, 2.0),) * 5)
    count = None if "box_predictor" in options else classes
    return MaskRCNN(backbone, count, **{"rpn_anchor_generator": anchors, **defaults, **options})


def meaningful(kind: str, seed: int = 0) -> MaskRCNN:
    """Normalised features, spread scores and deltas; in evaluation mode."""
    torch.manual_seed(seed)
    network = KINDS[kind]()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.ConvTranspose2d):
            fan = layer.weight[0].numel() if not isinstance(layer, nn.ConvTranspose2d) else layer.in_channels
            nn.init.normal_(layer.weight, std=(2 / fan) ** 0.5)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, std=0.2)
            nn.init.uniform_(layer.running_var, 0.5, 2)
    predictor = network.roi_heads.box_predictor
    with torch.no_grad():
        network.rpn.head.bbox_pred.weight *= 0.2
        for scores in (network.rpn.head.cls_logits, predictor.cls_score):
            scores.weight -= scores.weight.mean(1, keepdim=True)
        predictor.bbox_pred.weight *= 0.5
        if kind == "v2":  # its rough random features make 2e-4 of mask of 1e-4 px of rounding; float64: 0
            network.roi_heads.mask_predictor.mask_fcn_logits.weight *= 0.3
    return network.eval()


def images_of(count: int, size: tuple[int, int] = SIZE, seed: int = 0) -> Tensor:
    """Smooth noise, float32 [N,3,H,W]."""
    torch.manual_seed(seed)
    coarse = torch.randn(count, 3, size[0] // 16, size[1] // 16) * 1.5
    fine = torch.randn(count, 3, *size) * 0.3
    return nn.functional.interpolate(coarse, size=size, mode="bilinear") + fine


@torch.no_grad()
def eager(network: MaskRCNN, image: Tensor) -> dict[str, Tensor]:
    """What torchvision finds in one image [3,H,W], before it pastes masks: they are [n,h,w] here."""
    from torchvision.models.detection.image_list import ImageList

    size = tuple(image.shape[-2:])
    batch = network.transform.batch_images([image], network.transform.size_divisible)
    features = network.backbone(batch)
    if isinstance(features, Tensor):
        features = {"0": features}
    proposals, _ = network.rpn(ImageList(batch, [size]), features)
    (found,), _ = network.roi_heads(features, proposals, [size])
    return {**found, "masks": found["masks"][:, 0]}


@cache
def exported(kind: str) -> ModelProto:
    """The plain ONNX graph of `meaningful(kind)` at SIZE; not to be changed."""
    from edgeseg.graph.export import export_torch
    from edgeseg.graph.fold import fold
    from edgeseg.models.detection.static import StaticMaskRCNN

    return fold(export_torch(StaticMaskRCNN(meaningful(kind), SIZE), (3, *SIZE)))


def found_again(expected: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray], overlap: float) -> float:
    """Share of the things of the first image that are found again: same label, boxes of at least this IoU."""
    kept = [int(outputs["count"][0]) for outputs in (expected, found)]
    boxes = [torch.from_numpy(o["boxes"][0, :n]) for o, n in zip((expected, found), kept)]
    labels = [torch.from_numpy(o["labels"][0, :n]) for o, n in zip((expected, found), kept)]
    same = (box_iou(*boxes) >= overlap) & (labels[0][:, None] == labels[1][None, :])
    return float(same.any(1).float().mean())
