"""Sampling at computed places, and moving pixels between space and channels."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import roi_align

from edgeseg.graph.lift.registry import Call, Node, Refused, Step, operator

_MODES = {
    "linear": "bilinear",
    "bilinear": "bilinear",
    "nearest": "nearest",
    "cubic": "bicubic",
    "bicubic": "bicubic",
}


def grid_sample(x: Tensor, grid: Tensor, mode: str, padding_mode: str, align_corners: bool) -> Tensor:
    """The grid in the type of the image."""
    return F.grid_sample(x, grid.to(x.dtype), mode, padding_mode, align_corners)


def depth_to_space(x: Tensor, block: int) -> Tensor:
    """Depth first (DCR); `nn.PixelShuffle` is column first (CRD)."""
    n, c, h, w = x.shape
    y = x.reshape(n, block, block, c // block**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return y.reshape(n, c // block**2, h * block, w * block)


def space_to_depth(x: Tensor, block: int) -> Tensor:
    n, c, h, w = x.shape
    y = x.reshape(n, c, h // block, block, w // block, block).permute(0, 3, 5, 1, 2, 4)
    return y.reshape(n, c * block**2, h // block, w // block)


def affine_grid(theta: Tensor, size: list[int], align_corners: bool) -> Tensor:
    return F.affine_grid(theta, size, align_corners)


@operator("GridSample")
def grid_sample_(node: Node) -> Step:
    mode = _MODES[node.attr("mode", "linear")]
    if mode == "bicubic" and node.rank() != 4:
        raise Refused("torch has no cubic grid sampling of volumes")
    if node.rank() not in (4, 5):
        raise Refused(f"torch has no grid sampling over {node.rank() - 2} axes")
    return Call(
        grid_sample,
        mode=mode,
        padding_mode=node.attr("padding_mode", "zeros"),
        align_corners=bool(node.attr("align_corners", 0)),
    )


@operator("AffineGrid")
def affine_grid_(node: Node) -> Step:
    size = node.listed(1, "size")
    return Call(affine_grid, size=size, align_corners=bool(node.attr("align_corners", 0)))


def pooled(x: Tensor, boxes: Tensor, images: Tensor, size: list[int], **rules: Any) -> Tensor:
    """Nothing is learned through the coordinates of the boxes."""
    return roi_align(x, torch.cat((images.to(boxes.dtype)[:, None], boxes), 1), size, **rules)


@operator("RoiAlign")
def roi_align_(node: Node) -> Step:
    if node.attr("mode", "avg") != "avg":
        raise Refused("torch pools averages from boxes, not the largest values")
    usual = "half_pixel" if node.opset >= 16 else "output_half_pixel"
    return Call(
        pooled,
        size=[int(node.attr(f"output_{side}", 1)) for side in ("height", "width")],
        spatial_scale=float(node.attr("spatial_scale", 1.0)),
        sampling_ratio=int(node.attr("sampling_ratio", 0)),
        aligned=node.attr("coordinate_transformation_mode", usual) == "half_pixel",
    )


@operator("DepthToSpace")
def depth_to_space_(node: Node) -> Step:
    block = node.attr("blocksize")
    return nn.PixelShuffle(block) if node.attr("mode", "DCR") == "CRD" else Call(depth_to_space, block=block)


@operator("SpaceToDepth")
def space_to_depth_(node: Node) -> Step:
    mode = node.attr("mode", "DCR")
    return (
        nn.PixelUnshuffle(node.attr("blocksize"))
        if mode == "CRD"
        else Call(space_to_depth, block=node.attr("blocksize"))
    )


@operator("Col2Im")
def col2im(node: Node) -> Step:
    image, block = node.listed(1, ""), node.listed(2, "")
    if image is None or block is None or len(image) != 2:
        raise Refused("torch folds images of two axes only")
    pads = node.ints("pads", [0] * 4)
    if pads[:2] != pads[2:]:
        raise Refused("torch folds with symmetric padding only")
    return nn.Fold(image, block, node.ints("dilations", [1, 1]), pads[:2], node.ints("strides", [1, 1]))


@operator("Trilu")
def trilu(node: Node) -> Step:
    k = int(node.scalar(1, 0))
    return Call(torch.triu if node.attr("upper", 1) else torch.tril, diagonal=k)
