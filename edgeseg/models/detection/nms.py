"""Greedy NMS without a loop over boxes: who suppresses whom, iterated to the fixed point (Cluster-NMS)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from edgeseg.models.detection.boxes import sides

SMALLEST_UNION = 1e-12


def keep(
    boxes: Tensor, valid: Tensor, threshold: float, *, rounds: int, groups: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Which boxes greedy NMS keeps.

    The fixed point is the result of greedy NMS: the best box is right after the first round, and a box is
    right one round after all those above it are. As many rounds are needed as the longest chain of boxes of
    which each decides about the next, and one more to see that nothing changes any more.

    Args:
        boxes: float32 [N,M,4], each image's sorted by falling score.
        valid: bool [N,M]; the others are neither kept nor suppress.
        threshold: a box goes if its IoU with a better one that is kept is above.
        rounds: products of a vector and the matrix; the last one only shows whether the one before was final,
            unless it changes something.
        groups: [N,M]: boxes of different groups (classes, levels) do not meet. None: one group.

    Returns:
        kept, bool [N,M]; and how many boxes the last round changed, int32 [N]: 0 is proof that `kept` is what
        greedy NMS keeps.
    """
    over = iou(boxes) > float32_below(threshold)
    order = torch.arange(boxes.shape[1], device=boxes.device)
    over = over & (order[:, None] < order[None, :])
    if groups is not None:
        over = over & (groups[:, :, None] == groups[:, None, :])
    suppresses = over.to(boxes.dtype)
    alive = valid.to(boxes.dtype)[:, None, :]
    now = before = alive
    for _ in range(rounds):
        before, now = now, alive * (now @ suppresses < 0.5).to(boxes.dtype)
    changed = (now - before).abs().sum((1, 2))
    return now[:, 0] > 0.5, changed.to(torch.int32)


def iou(boxes: Tensor) -> Tensor:
    """Intersection over union of all pairs of boxes [N,M,4]: [N,M,M]; 0 of two boxes without area."""
    left, top, right, bottom = boxes.unbind(-1)
    wide = _least(right) - _most(left)
    high = _least(bottom) - _most(top)
    inter = wide.clamp(min=0) * high.clamp(min=0)
    width, height = sides(boxes)
    area = width * height
    union = area[:, :, None] + area[:, None, :] - inter
    return inter / union.clamp(min=SMALLEST_UNION)


def float32_below(threshold: float) -> float:
    """The largest float32 that is not above `threshold`: torchvision compares float32 with a double."""
    value = np.float32(threshold)
    return float(value if float(value) <= threshold else np.nextafter(value, np.float32(-np.inf)))


def _least(values: Tensor) -> Tensor:
    return torch.minimum(values[:, :, None], values[:, None, :])


def _most(values: Tensor) -> Tensor:
    return torch.maximum(values[:, :, None], values[:, None, :])
