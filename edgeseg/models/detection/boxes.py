"""Boxes (x1, y1, x2, y2) in float32: decoded from deltas, clipped, measured, picked; equal to torchvision."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from edgeseg.core.preprocess import Size


def decode(deltas: Tensor, boxes: Tensor, weights: Sequence[float], largest: float) -> Tensor:
    """Boxes that `deltas` make of `boxes`: what `BoxCoder.decode` gives.

    Args:
        deltas: float32 [..., 4]: shift of the centre, and logarithm of the growth.
        boxes: float32 [..., 4], in pixels.
        weights: what the four deltas are divided by; `BoxCoder.weights`.
        largest: growth above is cut, before the exponential; `BoxCoder.bbox_xform_clip`.

    Returns:
        float32 [..., 4], in pixels.
    """
    left, top, right, bottom = boxes.unbind(-1)
    width, height = right - left, bottom - top
    dx, dy, dw, dh = (delta / weight for delta, weight in zip(deltas.unbind(-1), weights))
    x, y = dx * width + (left + 0.5 * width), dy * height + (top + 0.5 * height)
    half_width = 0.5 * (dw.clamp(max=largest).exp() * width)
    half_height = 0.5 * (dh.clamp(max=largest).exp() * height)
    return torch.stack((x - half_width, y - half_height, x + half_width, y + half_height), -1)


def clip(boxes: Tensor, size: Size) -> Tensor:
    """Boxes [..., 4] cut at the borders of an image of `size` (height, width), in pixels."""
    left, top, right, bottom = boxes.unbind(-1)
    height, width = size
    return torch.stack(
        (left.clamp(0, width), top.clamp(0, height), right.clamp(0, width), bottom.clamp(0, height)), -1
    )


def sides(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Width and height of boxes [..., 4], in pixels: two tensors [...]."""
    left, top, right, bottom = boxes.unbind(-1)
    return right - left, bottom - top


def at_least(boxes: Tensor, side: float) -> Tensor:
    """Which boxes [..., 4] have both sides of at least `side` pixels: bool [...]."""
    width, height = sides(boxes)
    return (width >= side) & (height >= side)


def pick(rows: Tensor, index: Tensor) -> Tensor:
    """Rows [N,M,...] at `index`, int64 [N,K], image by image: [N,K,...]."""
    spread = index.reshape(*index.shape, *(1 for _ in rows.shape[2:]))
    return rows.gather(1, spread.expand(*index.shape, *rows.shape[2:]))
