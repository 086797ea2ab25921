"""RoIAlign over the levels of a pyramid with fixed shapes, in the form that an engine likes.

`native` is torchvision's operator, which exports to ONNX RoiAlign: every box is pooled in every level, and
its own level's result is taken. `sampled` is GridSample and AveragePool: the levels lie below each other in
one map, and every box is sampled once, in its own level. Both give what torchvision's `MultiScaleRoIAlign`
gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops import roi_align as torchvision_roi_align

from edgeseg.core.preprocess import Size
from edgeseg.errors import ModelError
from edgeseg.models.detection.boxes import sides

Form = Literal["native", "sampled"]
FORMS: tuple[Form, ...] = ("native", "sampled")
OUTSIDE = -4.0
"""In the coordinates of GridSample, where the map is [-1, 1]: no tap is on the map."""


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


def roi_align(form: Form, levels: Levels) -> nn.Module:
    """A module that takes the maps of `levels`, float32 [N,C,H,W] each, and boxes, float32 [N,K,4] in pixels,
    and gives [N*K,C,h,w].

    Raises:
        ModelError: `sampled` of an adaptive number of samples.
    """
    return Native(levels) if form == "native" else Sampled(levels)


class Native(nn.Module):
    """torchvision's operator at every level; a box takes the result of its own."""

    def __init__(self, levels: Levels) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, features: Sequence[Tensor], boxes: Tensor) -> Tensor:
        count, each = boxes.shape[:2]
        image = torch.arange(count, device=boxes.device, dtype=boxes.dtype).repeat_interleave(each)
        rois = torch.cat((image[:, None], boxes.reshape(-1, 4)), 1)
        level = level_of(boxes, self.levels.steps).reshape(-1, 1, 1, 1)
        pooled = [
            torchvision_roi_align(f, rois, self.levels.out, scale, self.levels.ratio)
            for f, scale in zip(features, self.levels.scales)
        ]
        result = pooled[0]
        for index, other in enumerate(pooled[1:], 1):
            result = torch.where(level == index, other, result)
        return result


class Sampled(nn.Module):
    """GridSample of all sample points, then the mean of each bin.

    torchvision's rules: a box is at least one cell wide and high; a sample point up to one cell before the
    map counts as on its first cell, one behind the centre of the last cell as on the last cell, one farther
    out counts zero.
    """

    place: Tensor

    def __init__(self, levels: Levels) -> None:
        super().__init__()
        if levels.ratio < 1:
            raise ModelError(
                f"RoIAlign has the sampling ratio {levels.ratio}: as many samples as a box has cells",
                expected="a fixed number of samples, for a graph of fixed shapes",
                hint="set sampling_ratio=2 in the MultiScaleRoIAlign of the network",
            )
        self.levels = levels
        tops = [sum(h for h, _ in levels.sizes[:i]) for i in range(len(levels.sizes))]
        rows = [(scale, top, h, w) for scale, top, (h, w) in zip(levels.scales, tops, levels.sizes)]
        self.register_buffer("place", torch.tensor(rows, dtype=torch.float32), persistent=False)

    def forward(self, features: Sequence[Tensor], boxes: Tensor) -> Tensor:
        (count, each), (high, wide), ratio = boxes.shape[:2], self.levels.out, self.levels.ratio
        scale, top, height, width = _columns(self.place[level_of(boxes, self.levels.steps)])
        column = max(w for _, w in self.levels.sizes)
        atlas = torch.cat([F.pad(f, (0, column - f.shape[3], 0, 0)) for f in features], 2)
        left, upper, right, lower = _columns(boxes * scale)
        x, y = _points(left, right, wide * ratio), _points(upper, lower, high * ratio)
        x = torch.where(_counts(x, width), _on_map(x, width) * _per(column) - 1, OUTSIDE)
        rows = atlas.shape[2]
        y = torch.where(_counts(y, height), (_on_map(y, height) + top) * _per(rows) - 1, OUTSIDE)
        shape = (count, each, high * ratio, wide * ratio)
        grid = torch.stack((x[:, :, None, :].expand(shape), y[:, :, :, None].expand(shape)), -1)
        grid = grid.reshape(count, each * shape[2], shape[3], 2)
        samples = F.grid_sample(atlas, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
        means = F.avg_pool2d(samples, ratio).reshape(count, -1, each, high, wide)
        return means.transpose(1, 2).reshape(count * each, -1, high, wide)


def level_of(boxes: Tensor, steps: Sequence[float]) -> Tensor:
    """The level that each box [N,K,4] belongs to, int64 [N,K]; by comparison, for engines differ in
    logarithms."""
    width, height = sides(boxes)
    side = (width * height).clamp(min=0).sqrt()
    level = torch.zeros_like(side, dtype=torch.int64)
    for step in steps:
        level = level + (side >= step).to(torch.int64)
    return level


def _columns(rows: Tensor) -> list[Tensor]:
    """The columns of [..., 4], each [..., 1]. `Tensor.split` exports to a sequence, which TensorRT lacks."""
    return [rows[..., i : i + 1] for i in range(rows.shape[-1])]


def _points(start: Tensor, end: Tensor, count: int) -> Tensor:
    """`count` sample points of each box along one axis, in cells."""
    steps = (torch.arange(count, device=start.device, dtype=start.dtype) + 0.5) / count
    return start + (end - start).clamp(min=1) * steps


def _counts(points: Tensor, cells: Tensor) -> Tensor:
    return (points >= -1) & (points <= cells)


def _on_map(points: Tensor, cells: Tensor) -> Tensor:
    return torch.minimum(points.clamp(min=0), cells - 1)


def _per(cells: int) -> float:
    """From cells to the coordinates of GridSample with align_corners; a map of one cell has only -1."""
    return 2 / max(cells - 1, 1)
