"""RoIAlign over the levels of a pyramid with fixed shapes.

It is torchvision's operator, which exports to ONNX RoiAlign: every box is pooled in every level, and its own
level's result is taken. That gives what torchvision's `MultiScaleRoIAlign` gives. Engines without RoiAlign
get another form of it by a rewrite of the graph (`graph/roi_align.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.ops import MultiScaleRoIAlign, roi_align

from edgeseg.core.preprocess import Size
from edgeseg.errors import ModelError
from edgeseg.models.detection.boxes import sides


@dataclass(frozen=True)
class Levels:
    """How a pyramid is pooled.

    Attributes:
        sizes: height and width of each level, finest first.
        scales: cells per pixel of the image, of each level.
        steps: a box whose square root of area, in pixels, reaches `steps[i]` belongs to level i + 1 or above.
        out: height and width of what is pooled from a box.
        ratio: samples per bin and axis; 0: as many as the box has cells.
    """

    sizes: tuple[Size, ...]
    scales: tuple[float, ...]
    steps: tuple[float, ...]
    out: Size
    ratio: int


def levels_of(pool: MultiScaleRoIAlign, features: dict[str, Tensor], size: Size) -> Levels:
    """What torchvision's `pool` does with `features` [N,C,H,W] of an image of `size` (height, width).

    Raises:
        ModelError: the pool names no map that the backbone gives, or maps that are no pyramid.
    """
    names = [name for name in features if name in pool.featmap_names]
    if not names:
        raise ModelError(
            f"RoIAlign pools from the maps {', '.join(pool.featmap_names)}, and the backbone gives none",
            expected=f"one or more of {', '.join(features)}",
        )
    fresh = MultiScaleRoIAlign(
        pool.featmap_names,
        pool.output_size,
        pool.sampling_ratio,
        canonical_scale=pool.canonical_scale,
        canonical_level=pool.canonical_level,
    )
    fresh(features, [torch.zeros(1, 4, device=next(iter(features.values())).device)], [size])
    by = fresh.map_levels
    sizes = tuple(tuple(features[name].shape[-2:]) for name in names)
    if by.k_max - by.k_min + 1 != len(sizes):
        raise ModelError(
            f"RoIAlign pools from maps of {', '.join(f'{h}x{w}' for h, w in sizes)}",
            expected="each map half as large as the one before it",
            hint="give MultiScaleRoIAlign the maps of a pyramid that follow each other",
        )
    return Levels(
        sizes=sizes,
        scales=tuple(fresh.scales),
        steps=tuple(by.s0 * 2 ** (k - by.lvl0 - by.eps) for k in range(by.k_min + 1, by.k_max + 1)),
        out=tuple(pool.output_size),
        ratio=pool.sampling_ratio,
    )


class RoiAlign(nn.Module):
    """torchvision's operator at every level; a box takes the result of its own."""

    def __init__(self, levels: Levels) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, features: Sequence[Tensor], boxes: Tensor) -> Tensor:
        """
        Args:
            features: the maps of `levels`, float32 [N,C,H,W] each.
            boxes: float32 [N,K,4], in pixels.

        Returns:
            float32 [N*K,C,h,w].
        """
        count, each = boxes.shape[:2]
        image = torch.arange(count, device=boxes.device, dtype=boxes.dtype).repeat_interleave(each)
        rois = torch.cat((image[:, None], boxes.reshape(-1, 4)), 1)
        level = level_of(boxes, self.levels.steps).reshape(-1, 1, 1, 1)
        pooled = [
            roi_align(f, rois, self.levels.out, scale, self.levels.ratio)
            for f, scale in zip(features, self.levels.scales)
        ]
        result = pooled[0]
        for index, other in enumerate(pooled[1:], 1):
            result = torch.where(level == index, other, result)
        return result


def level_of(boxes: Tensor, steps: Sequence[float]) -> Tensor:
    """The level that each box [N,K,4] belongs to, int64 [N,K]; by comparison, for engines differ in
    logarithms."""
    width, height = sides(boxes)
    side = (width * height).clamp(min=0).sqrt()
    level = torch.zeros_like(side, dtype=torch.int64)
    for step in steps:
        level = level + (side >= step).to(torch.int64)
    return level
