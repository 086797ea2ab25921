"""Mask R-CNN (He et al. 2017, arXiv:1703.06870) with light backbones, on the heads of torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeseg.core.model_spec import Option
from edgeseg.core.preprocess import Size
from edgeseg.errors import MissingDependency, ModelError
from edgeseg.models._family import Family
from edgeseg.models.checkpoint import load_into, read_state_dict

if TYPE_CHECKING:
    from torch import nn

NAMES = ("maskrcnn-mobilenet", "maskrcnn-resnet18")

_ENTRIES = {
    "maskrcnn-mobilenet": ("mobilenet_v2", 6_350_855, "Mask R-CNN with MobileNetV2 and a feature pyramid"),
    "maskrcnn-resnet18": ("resnet18", 15_772_999, "Mask R-CNN with ResNet-18 and a feature pyramid"),
}
_LEVELS = {
    "mobilenet_v2": {4: ("3", 24), 8: ("6", 32), 16: ("13", 96), 32: ("17", 320)},
    "resnet18": {4: ("layer1", 64), 8: ("layer2", 128), 16: ("layer3", 256), 32: ("layer4", 512)},
}
"""By stride: the last layer of each size, and its channels."""

DEFAULTS: dict[str, Option] = {
    "finest_stride": 8,
    "fpn_channels": 128,
    "anchors": (32, 64, 128, 256),
    "candidates": 100,
    "proposals": 100,
    "detections": 32,
    "score_threshold": 0.05,
    "nms_threshold": 0.5,
    "box_channels": 512,
    "mask_channels": (128, 128),
    "pretrained": False,
    "encoder_weights": "",
}


def family(name: str) -> Family:
    encoder, parameters, description = _ENTRIES[name]
    return Family(
        name=name,
        description=description,
        parameters=parameters,
        input_size=(320, 480),
        instances=True,
        options=DEFAULTS,
        create=partial(mask_rcnn, encoder),
    )


def mask_rcnn(
    encoder: str,
    classes: int,
    channels: int,
    *,
    size: Size,
    finest_stride: int = 8,
    fpn_channels: int = 128,
    anchors: Sequence[int] = (32, 64, 128, 256),
    candidates: int = 100,
    proposals: int = 100,
    detections: int = 32,
    score_threshold: float = 0.05,
    nms_threshold: float = 0.5,
    box_channels: int = 512,
    mask_channels: Sequence[int] = (128, 128),
    pretrained: bool = False,
    encoder_weights: str = "",
) -> nn.Module:
    """A `StaticMaskRCNN` for images of `size`.

    Args:
        classes: without the background.
        finest_stride: of the pyramid, 4 or 8; its coarsest map, of stride 64, is for proposals alone.
        anchors: side in pixels of the square anchors of each map, finest first; each comes in the aspect
            ratios 0.5, 1 and 2.
        candidates: best anchors of each map; `proposals`: what remains of all of them. While it trains ten
            times as many.
        detections: things per image at most.
        box_channels: of the two layers that judge a proposal; `mask_channels`: of each convolution over the
            14x14 cells of a thing.

    Raises:
        ModelError: options that do not fit each other, or no download.
        CheckpointError: the encoder file does not fit.
    """
    _require_torchvision()
    from torchvision.models.detection import MaskRCNN
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.backbone_utils import BackboneWithFPN
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
    from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
    from torchvision.ops import MultiScaleRoIAlign

    from edgeseg.models.detection.static import StaticMaskRCNN

    for name, share in (("score_threshold", score_threshold), ("nms_threshold", nms_threshold)):
        if not 0.0 < share < 1.0:
            raise ModelError(f"{name}={share}", expected="between 0 and 1")
    levels = {stride: level for stride, level in _LEVELS[encoder].items() if stride >= finest_stride}
    if finest_stride not in levels or len(anchors) != len(levels) + 1:
        raise ModelError(
            f"finest_stride={finest_stride} with {len(anchors)} anchors",
            expected="finest_stride 4 with 5 anchors, 8 with 4, 16 with 3 or 32 with 2: one for each map",
        )
    names = [str(index) for index in range(len(levels))]
    backbone = BackboneWithFPN(
        _body(encoder, channels, pretrained=pretrained, file=encoder_weights),
        {layer: name for (layer, _), name in zip(levels.values(), names)},
        [width for _, width in levels.values()],
        fpn_channels,
    )
    network = MaskRCNN(
        backbone,
        rpn_anchor_generator=AnchorGenerator(
            tuple((side,) for side in anchors), ((0.5, 1.0, 2.0),) * len(anchors)
        ),
        rpn_pre_nms_top_n_train=10 * candidates,
        rpn_pre_nms_top_n_test=candidates,
        rpn_post_nms_top_n_train=10 * proposals,
        rpn_post_nms_top_n_test=proposals,
        box_roi_pool=MultiScaleRoIAlign(names, 7, 2),
        box_head=TwoMLPHead(fpn_channels * 7**2, box_channels),
        box_predictor=FastRCNNPredictor(box_channels, classes + 1),
        box_score_thresh=score_threshold,
        box_nms_thresh=nms_threshold,
        box_detections_per_img=detections,
        box_batch_size_per_image=128,
        mask_roi_pool=MultiScaleRoIAlign(names, 14, 2),
        mask_head=MaskRCNNHeads(fpn_channels, mask_channels, 1),
        mask_predictor=MaskRCNNPredictor(mask_channels[-1], mask_channels[-1], classes + 1),
        image_mean=[0.0] * channels,
        image_std=[1.0] * channels,
    )
    return StaticMaskRCNN(network, size)


def _body(encoder: str, channels: int, *, pretrained: bool, file: str) -> nn.Module:
    """The encoder without its classifier, with plain BatchNorm, which folds into its convolutions."""
    from torch import nn
    from torchvision.models import get_model

    if pretrained and file:
        raise ModelError(
            f"both pretrained=true and encoder_weights={file} were given", hint="give one of the two"
        )
    try:
        whole: Any = get_model(encoder, weights="DEFAULT" if pretrained else None)
    except OSError as fault:
        raise ModelError(
            f"the ImageNet weights of '{encoder}' could not be downloaded: {fault}",
            hint="give a local file with the option encoder_weights=FILE",
        ) from fault
    body: nn.Module = getattr(whole, "features", whole)
    stem: Any = body[0] if isinstance(body, nn.Sequential) else body
    name, first = next(iter(stem.named_children()))
    if channels != first.in_channels:
        kernel = (first.out_channels, first.kernel_size, first.stride, first.padding)
        setattr(stem, name, nn.Conv2d(channels, *kernel, bias=False))
    if file:
        load_into(body, read_state_dict(Path(file)), file, ignore_extra=True)
    return body


def _require_torchvision() -> None:
    try:
        import torchvision  # noqa: F401
    except ModuleNotFoundError as fault:
        raise MissingDependency(
            fault.name or "torchvision", "train", needed_for="a Mask R-CNN of the zoo"
        ) from fault
