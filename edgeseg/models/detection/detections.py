"""From scores and deltas per proposal and class to a fixed number of detections."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import RoIHeads

from edgeseg.core.preprocess import Size
from edgeseg.models.detection import nms
from edgeseg.models.detection.boxes import at_least, clip, decode, pick

SMALLEST_SIDE = 1e-2
"""Of a detection, in pixels; a literal in torchvision's `RoIHeads` too."""


class Detections(nn.Module):
    """Best scores of all proposals and classes, NMS per class, best of all.

    torchvision lets every score above its threshold take part in NMS. Here the best `candidates` do. That
    gives the same detections wherever fewer scores are above the threshold, or enough of the candidates are
    kept; else the scores left out are counted as open.
    """

    index_of: Tensor
    label_of: Tensor

    def __init__(
        self, heads: RoIHeads, proposals: int, classes: int, size: Size, *, rounds: int, candidates: int
    ) -> None:
        super().__init__()
        self.coder, self.score, self.overlap = heads.box_coder, heads.score_thresh, heads.nms_thresh
        self.size, self.classes, self.rounds = size, classes, rounds
        total = proposals * (classes - 1)
        self.count = min(total, heads.detections_per_img)
        self.candidates = min(total, max(candidates, self.count))
        label = torch.arange(classes - 1, dtype=torch.int32).repeat(proposals)
        self.register_buffer("label_of", label, persistent=False)
        index = torch.arange(proposals).repeat_interleave(classes - 1)
        self.register_buffer("index_of", index, persistent=False)

    def forward(
        self, logits: Tensor, deltas: Tensor, proposals: Tensor, counted: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """
        Args:
            logits: float32 [N*P,C]; class 0 is the background.
            deltas: float32 [N*P,4*C].
            proposals: float32 [N,P,4], in pixels.
            counted: bool [N,P]: which proposals are any.

        Returns:
            boxes, float32 [N,K,4] in pixels; scores, float32 [N,K], falling; labels, int32 [N,K], from 0,
            without the background; count, int32 [N]; unsettled, int32 [N]. Rows from the count on are zero.
        """
        images = proposals.shape[0]
        scores = logits.softmax(-1)[:, 1:].reshape(images, -1, self.classes - 1)
        above = (scores > self.score) & counted[:, :, None]
        scores = torch.where(above, scores, -1.0).reshape(images, -1)
        scores, index = scores.topk(self.candidates)
        deltas = deltas.reshape(images, -1, self.classes, 4)[:, :, 1:].reshape(images, -1, 4)
        labels = self.label_of[index]
        boxes = decode(
            pick(deltas, index),
            pick(proposals, self.index_of[index]),
            self.coder.weights,
            self.coder.bbox_xform_clip,
        )
        boxes = clip(boxes, self.size)
        valid = (scores > 0) & at_least(boxes, SMALLEST_SIDE)
        kept, changed = nms.keep(boxes, valid, self.overlap, rounds=self.rounds, groups=labels)
        left_out = above.to(torch.int32).sum((1, 2)) - self.candidates
        room = kept.to(torch.int32).sum(1) < self.count
        unsettled = changed + torch.where(room, left_out.clamp(min=0), 0)
        scores, index = torch.where(kept, scores, -1.0).topk(self.count)
        taken = scores > 0
        return (
            pick(boxes, index) * taken[:, :, None].to(boxes.dtype),
            scores.clamp(min=0),
            pick(labels, index) * taken.to(torch.int32),
            taken.to(torch.int32).sum(1).to(torch.int32),
            unsettled.to(torch.int32),
        )
