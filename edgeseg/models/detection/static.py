"""A torchvision Mask R-CNN as one static graph: fixed shapes, no plug-ins, no loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN

from edgeseg.core.preprocess import Size
from edgeseg.errors import ModelError
from edgeseg.models.detection.boxes import pick
from edgeseg.models.detection.detections import Detections
from edgeseg.models.detection.learning import Dense, Target, dense, learnt
from edgeseg.models.detection.proposals import Proposals
from edgeseg.models.detection.roi_align import RoiAlign, levels_of

ROUNDS = 16
"""Of NMS. 10 settle 10,000 random cases of 60 boxes at thresholds 0.3, 0.5 and 0.7, 9 do not:
`pytest tests/models/detection/test_nms.py`."""
CANDIDATES = 1000
"""Scores that take part in the NMS of the detections; TensorRT's TopK takes fewer than 3840."""


class StaticMaskRCNN(nn.Module):
    """What `network` gives in evaluation mode for images of one size, without its transform, in fixed shapes.

    Everything is read from the network: anchors, weights of the box coders, thresholds, numbers of proposals
    and detections, the maps that RoIAlign pools from. An image whose sides are no multiple of the backbone's
    stride (`size_divisible` of the network's transform) is padded with zeros at its right and lower border,
    as torchvision does.

    Args:
        network: torchvision's; v1 or v2 heads, any backbone. Put in evaluation mode, and shared: its weights
            are those of this module.
        size: height and width of the images, in pixels.
        rounds: of NMS.
        candidates: scores that take part in the NMS of the detections.

    Raises:
        ModelError: the network is no Mask R-CNN of torchvision, or its RoIAlign pools from no pyramid.
    """

    def __init__(
        self,
        network: MaskRCNN,
        size: Size,
        *,
        rounds: int = ROUNDS,
        candidates: int = CANDIDATES,
    ) -> None:
        super().__init__()
        if not isinstance(network, MaskRCNN):
            raise ModelError(f"{type(network).__name__} is no Mask R-CNN", expected="torchvision's MaskRCNN")
        self.network = network.eval()
        step = network.transform.size_divisible
        self.padding = (0, -size[1] % step, 0, -size[0] % step)
        padded = (size[0] + self.padding[3], size[1] + self.padding[1])
        heads = network.roi_heads
        with torch.no_grad():
            features = self._features(_blank(network, size))
            self.proposals = Proposals(network.rpn, features, padded, size, rounds=rounds)
            self.box_pool = RoiAlign(levels_of(heads.box_roi_pool, features, size))
            self.mask_pool = RoiAlign(levels_of(heads.mask_roi_pool, features, size))
            classes = self._classes(features)
            self.mask_size = self._mask_size(features)
        self.detections = Detections(
            heads, self.proposals.count, classes, size, rounds=rounds, candidates=candidates
        ).to(next(iter(features.values())).device)

    @property
    def encoder(self) -> nn.Module:
        """The part of the backbone that trained encoders have weights for."""
        body: nn.Module = getattr(self.network.backbone, "body", self.network.backbone)
        return body

    def forward(self, image: Tensor, targets: Sequence[Target] | None = None) -> Any:
        """
        Args:
            image: float32 [N,C,H,W], normalised.
            targets: what the network learns from, in training mode; then that is what is returned, see
                `learning.learnt`.

        Returns:
            `boxes`, float32 [N,K,4]: x1, y1, x2, y2 in pixels of the image;
            `scores`, float32 [N,K], falling; `labels`, int32 [N,K], from 0, without the background; `masks`,
            float32 [N,K,h,w]: probabilities on a grid over the box; `count`, int32 [N]: how many of K are
            any, rows from there on are zero;
            `unsettled`, int32 [N]: 0 is proof that NMS and the candidates were enough for torchvision's
            result.
        """
        if targets is not None:
            return learnt(self.network, image, targets)
        heads = self.network.roi_heads
        features = self._features(image)
        proposals, counted, open_before = self.proposals(*self.network.rpn.head(list(features.values())))
        pooled = self.box_pool(self._pooled(heads.box_roi_pool, features), proposals)
        logits, deltas = heads.box_predictor(heads.box_head(pooled))
        boxes, scores, labels, count, open_after = self.detections(logits, deltas, proposals, counted)
        pooled = self.mask_pool(self._pooled(heads.mask_roi_pool, features), boxes)
        masks = heads.mask_predictor(heads.mask_head(pooled))
        masks = pick(masks, 1 + labels.reshape(-1, 1).to(torch.int64))[:, 0].sigmoid()
        masks = masks.reshape(*labels.shape, *masks.shape[1:])
        return {
            "boxes": boxes,
            "scores": scores,
            "labels": labels,
            "masks": masks * (scores > 0)[:, :, None, None].to(masks.dtype),
            "count": count,
            "unsettled": open_before + open_after,
        }

    def undecided(self, image: Tensor) -> tuple[Tensor, ...]:
        """What the heads say of images [N,C,H,W], of all levels and in boxes of four sizes: all that
        channels take part in, and none of the decisions, which jump."""
        heads, (height, width) = self.network.roi_heads, self.proposals.size
        features = self._features(image)
        boxes = [[0.0, 0.0, width / part, height / part] for part in (1, 2, 4, 8)]
        given = torch.tensor([boxes] * len(image), device=image.device)
        pooled = self.box_pool(self._pooled(heads.box_roi_pool, features), given)
        levels = self.network.rpn.head(list(features.values()))
        found = (*levels, heads.box_predictor(heads.box_head(pooled)))
        pooled = self.mask_pool(self._pooled(heads.mask_roi_pool, features), given)
        masks = heads.mask_predictor(heads.mask_head(pooled))
        return (*(tensor for part in found for tensor in part), masks)

    def dense(self, image: Tensor, like: Dense) -> Dense:
        """What the heads say in the boxes of another network, which learns from this one."""
        return dense(self.network, image, like)

    def _features(self, image: Tensor) -> dict[str, Tensor]:
        padded = F.pad(image, self.padding) if any(self.padding) else image
        features: Any = self.network.backbone(padded)
        return {"0": features} if isinstance(features, Tensor) else features

    def _pooled(self, pool: Any, features: dict[str, Tensor]) -> list[Tensor]:
        return [f for name, f in features.items() if name in pool.featmap_names]

    def _classes(self, features: dict[str, Tensor]) -> int:
        heads = self.network.roi_heads
        box = torch.zeros(1, 1, 4, device=next(iter(features.values())).device)
        pooled = self.box_pool(self._pooled(heads.box_roi_pool, features), box)
        return int(heads.box_predictor(heads.box_head(pooled))[0].shape[1])

    def _mask_size(self, features: dict[str, Tensor]) -> Size:
        heads = self.network.roi_heads
        box = torch.zeros(1, 1, 4, device=next(iter(features.values())).device)
        pooled = self.mask_pool(self._pooled(heads.mask_roi_pool, features), box)
        height, width = heads.mask_predictor(heads.mask_head(pooled)).shape[2:]
        return int(height), int(width)


def _blank(network: nn.Module, size: Size) -> Tensor:
    """A black image of as many channels as the network's pixel contract has means."""
    mean: Any = network.transform.image_mean
    return torch.zeros(1, len(mean), *size, device=next(network.parameters()).device)
