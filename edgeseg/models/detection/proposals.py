"""The region proposals of torchvision's RPN, a fixed number of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork

from edgeseg.core.preprocess import Size
from edgeseg.models.detection import nms
from edgeseg.models.detection.boxes import at_least, clip, decode, pick


class Proposals(nn.Module):
    """From the maps of a pyramid to boxes: best anchors of each level, decoded, NMS per level, best of all.

    Args:
        rpn: in evaluation mode. Its anchors are computed here, once.
        features: the backbone's maps, float32 [N,C,H,W], of an image of `padded` size.
        padded: height and width of what the backbone sees.
        size: height and width of the image in it; boxes are cut there.
    """

    def __init__(
        self,
        rpn: RegionProposalNetwork,
        features: dict[str, Tensor],
        padded: Size,
        size: Size,
        *,
        rounds: int,
    ) -> None:
        super().__init__()
        self.coder, self.size, self.rounds = rpn.box_coder, size, rounds
        self.score, self.overlap, self.least = rpn.score_thresh, rpn.nms_thresh, rpn.min_size
        maps = list(features.values())
        image = torch.zeros(1, 1, *padded, device=maps[0].device)
        (anchors,) = rpn.anchor_generator(ImageList(image, [padded]), maps)
        per_cell = [scores.shape[1] for scores in rpn.head(maps)[0]]
        counts = [each * f.shape[2] * f.shape[3] for each, f in zip(per_cell, maps)]
        for level, boxes in enumerate(anchors.split(counts)):
            self.register_buffer(f"anchors_{level}", boxes, persistent=False)
        self.best = [min(count, rpn.pre_nms_top_n()) for count in counts]
        self.count = min(sum(self.best), rpn.post_nms_top_n())

    def forward(
        self, objectness: Sequence[Tensor], deltas: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """
        Args:
            objectness, deltas: of each level, [N,A,h,w] and [N,4*A,h,w]: what `rpn.head` gives.

        Returns:
            boxes, float32 [N,P,4] in pixels; which of them count, bool [N,P]; and how many boxes NMS left
            open, int32 [N].
        """
        levels = [self._level(i, s, d) for i, (s, d) in enumerate(zip(objectness, deltas))]
        boxes, scores, kept = (torch.cat(part, 1) for part in list(zip(*levels))[:3])
        # Logits may be negative: what does not count goes below all of them.
        _, index = torch.where(kept, scores, torch.finfo(scores.dtype).min).topk(self.count)
        unsettled = torch.stack([level[3] for level in levels]).sum(0).to(torch.int32)
        return pick(boxes, index), pick(kept, index), unsettled

    def _level(self, level: int, scores: Tensor, deltas: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        images, _, height, width = scores.shape
        scores = scores.permute(0, 2, 3, 1).reshape(images, -1)
        deltas = deltas.reshape(images, -1, 4, height, width).permute(0, 3, 4, 1, 2).reshape(images, -1, 4)
        scores, index = scores.topk(self.best[level])
        anchors = getattr(self, f"anchors_{level}")[index]
        boxes = decode(pick(deltas, index), anchors, self.coder.weights, self.coder.bbox_xform_clip)
        boxes = clip(boxes, self.size)
        valid = at_least(boxes, self.least)
        if self.score > 0:
            valid = valid & (scores.sigmoid() >= self.score)
        kept, unsettled = nms.keep(boxes, valid, self.overlap, rounds=self.rounds)
        return boxes, scores, kept, unsettled
