"""Resize and Upsample: `nn.Upsample` where it is the same function, else tables per axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeseg.graph.lift.registry import Node, Refused, Step, operator
from edgeseg.graph.lift.resize_tables import Axis, Rule, nearest_table, outside, weight_table

_TORCH_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


def _same(table: np.ndarray, other: np.ndarray, size: int) -> bool:
    """Equal up to the rounding of coordinates 0..size in float32."""
    return bool(np.allclose(table, other, rtol=0, atol=1e-6 + 4 * size * np.finfo(np.float32).eps))


class TableResize(nn.Module):
    """Separable resize by index (nearest) or weight matrix (linear, cubic) per axis.

    Args:
        tables: axis -> indices [out] or weights [out, in].
        beyond: axis -> output pixels that get `fill`.
    """

    def __init__(
        self, tables: Mapping[int, np.ndarray], beyond: Mapping[int, np.ndarray], fill: float
    ) -> None:
        super().__init__()
        self.axes, self.beyond, self.fill = sorted(tables), sorted(beyond), fill
        for axis, table in tables.items():
            self.register_buffer(f"table_{axis}", torch.from_numpy(table), persistent=False)
        for axis, mask in beyond.items():
            self.register_buffer(f"beyond_{axis}", torch.from_numpy(np.flatnonzero(mask)), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        for axis in self.axes:
            table = self.get_buffer(f"table_{axis}")
            if table.ndim == 1:
                x = x.index_select(axis, table)
            else:
                x = (x.movedim(axis, -1) @ table.to(x.dtype).T).movedim(-1, axis)
        for axis in self.beyond:
            x = x.index_fill(axis, self.get_buffer(f"beyond_{axis}"), self.fill)
        return x

    def extra_repr(self) -> str:
        return ", ".join(
            f"axis {axis}: {tuple(self.get_buffer(f'table_{axis}').shape)}" for axis in self.axes
        )


@operator("Resize")
def resize(node: Node) -> Step:
    if node.opset < 11:
        return upsample(node)
    rule = Rule(
        mode=node.attr("mode", "nearest"),
        coordinates=node.attr("coordinate_transformation_mode", "half_pixel"),
        nearest=node.attr("nearest_mode", "round_prefer_floor"),
        cubic_a=node.attr("cubic_coeff_a", -0.75),
        exclude_outside=bool(node.attr("exclude_outside", 0)),
        antialias=bool(node.attr("antialias", 0)),
    )
    return _resized(node, _axes(node, rule), rule, fill=node.attr("extrapolation_value", 0.0))


@operator("Upsample")
def upsample(node: Node) -> Step:
    """Before opset 11: coordinates are divided by the scale, nearest takes the floor."""
    scales = node.attr("scales") if node.opset < 9 else node.constant(1)
    if scales is None:
        raise Refused("its scales are missing")
    axes = {i: _scaled(node.shape()[i], float(s), (0.0, 1.0)) for i, s in enumerate(scales)}
    mode = node.attr("mode", "nearest").replace("bilinear", "linear")
    return _resized(node, axes, Rule(mode=mode, coordinates="asymmetric", nearest="floor"), fill=0.0)


def _axes(node: Node, rule: Rule) -> dict[int, Axis]:
    shape = node.shape()
    axes = [a % len(shape) for a in node.ints("axes", range(len(shape)))]
    roi, scales, sizes = node.constant(1), node.constant(2), node.constant(3)
    regions = dict.fromkeys(axes, (0.0, 1.0))
    if rule.coordinates == "tf_crop_and_resize":
        if roi is None or roi.size != 2 * len(axes):
            raise Refused("tf_crop_and_resize needs a region of interest")
        regions = {a: (float(roi[i]), float(roi[len(axes) + i])) for i, a in enumerate(axes)}
    if scales is not None and scales.size:
        return {a: _scaled(shape[a], float(s), regions[a]) for a, s in zip(axes, scales)}
    if sizes is None:
        raise Refused("it has neither scales nor sizes")
    wanted = {a: int(s) for a, s in zip(axes, sizes)}
    policy = node.attr("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch":
        return {a: Axis(shape[a], out, out / shape[a], regions[a]) for a, out in wanted.items()}
    ratios = [out / shape[a] for a, out in wanted.items()]
    scale = min(ratios) if policy == "not_larger" else max(ratios)
    return {a: Axis(shape[a], int(scale * shape[a] + 0.5), scale, regions[a]) for a in axes}


def _scaled(size: int, scale: float, roi: tuple[float, float]) -> Axis:
    return Axis(size, int(np.float32(scale) * np.float32(size)), scale, roi)


def _resized(node: Node, axes: dict[int, Axis], rule: Rule, *, fill: float) -> Step:
    axes = {a: axis for a, axis in axes.items() if not (axis.out == axis.size and _identity(axis, rule))}
    if rule.mode not in ("nearest", "linear", "cubic"):
        raise Refused(f"unknown mode '{rule.mode}'")
    if rule.mode == "nearest":
        tables: dict[int, np.ndarray] = {a: nearest_table(axis, rule) for a, axis in axes.items()}
    elif not node.dtype().is_floating_point:
        raise Refused(f"{rule.mode} interpolation of whole numbers")
    else:
        tables = {a: weight_table(axis, rule) for a, axis in axes.items()}
    masks = {a: outside(axis, rule.coordinates) for a, axis in axes.items()}
    beyond = {a: mask for a, mask in masks.items() if mask.any()}
    if not tables:
        return nn.Identity()
    native = None if beyond else _native(node, axes, tables, rule)
    return native or TableResize(tables, beyond, fill)


def _identity(axis: Axis, rule: Rule) -> bool:
    table = nearest_table(axis, rule) if rule.mode == "nearest" else weight_table(axis, rule)
    still = np.arange(axis.size) if rule.mode == "nearest" else np.eye(axis.size)
    return _same(table, still, axis.size) and not outside(axis, rule.coordinates).any()


def _native(node: Node, axes: dict[int, Axis], tables: dict[int, np.ndarray], rule: Rule) -> nn.Module | None:
    """An `nn.Upsample` whose own tables are those of the node; None if there is none."""
    dims = node.rank() - 2
    if min(axes) < 2 or dims not in _TORCH_LINEAR or not node.dtype().is_floating_point or rule.antialias:
        return None
    size = [axes[i + 2].out if i + 2 in axes else n for i, n in enumerate(node.shape()[2:])]
    if rule.mode == "cubic" and dims != 2:
        return None
    candidates: dict[str, list[tuple[str, bool | None]]] = {
        "nearest": [("nearest", None), ("nearest-exact", None)],
        "linear": [(_TORCH_LINEAR[dims], False), (_TORCH_LINEAR[dims], True)],
        "cubic": [("bicubic", False), ("bicubic", True)],
    }
    for mode, corners in candidates[rule.mode]:
        if all(_same(_of_torch(axes[a], mode, corners), t, axes[a].size) for a, t in tables.items()):
            wholes = _whole_factors(node.shape()[2:], size)
            if wholes:
                return nn.Upsample(scale_factor=wholes, mode=mode, align_corners=corners)
            return nn.Upsample(tuple(size), mode=mode, align_corners=corners)
    return None


def _whole_factors(before: Sequence[int], after: Sequence[int]) -> tuple[float, ...] | None:
    """Factors that fit other input sizes too; None where a size is what counts: one pixel that is spread."""
    if min(before) > 1 and not any(new % old for old, new in zip(before, after)):
        return tuple(float(new // old) for old, new in zip(before, after))
    return None


def _of_torch(axis: Axis, mode: str, corners: bool | None) -> np.ndarray:
    """The table of `torch.nn.functional.interpolate` along one axis, found by resizing."""
    if mode.startswith("nearest"):
        ramp = torch.arange(axis.size, dtype=torch.float64).reshape(1, 1, -1)
        return F.interpolate(ramp, axis.out, mode=mode)[0, 0].numpy()
    if mode == "bicubic":
        unit = torch.eye(axis.size).reshape(1, axis.size, axis.size, 1)
        return F.interpolate(unit, (axis.out, 1), mode=mode, align_corners=corners)[0, :, :, 0].T.numpy()
    unit = torch.eye(axis.size).reshape(1, axis.size, axis.size)
    return F.interpolate(unit, axis.out, mode="linear", align_corners=corners)[0].T.numpy()
