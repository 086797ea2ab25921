"""Bit masks uint8 [H,W,B]: bit k of byte j is class 8j + k. The bit `ignore_index` of a label marks pixels
that do not count: that of a class, or the one right behind them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.datasets.tasks import LabelTask
from edgeseg.datasets.tasks.maps import MapLabels, own_colors
from edgeseg.errors import DataError
from edgeseg.runtime.tasks.multilabel import BITS, bytes_of, mask_of, unpacked

NAMES = ("multilabel",)

BAND = 1 << 16
"""Pixels that are painted together: their bits are unpacked."""


class BitPlanes(MapLabels):
    partial = False
    spare = False

    def check(self, label: Array, classes: int, ignore_index: int | None, *, where: str) -> None:
        count = planes_of(classes, ignore_index)
        shape = f"uint8 [H,W,{bytes_of(count)}]"
        if label.dtype != np.uint8 or label.ndim != 3 or label.shape[-1] != bytes_of(count):
            raise DataError(f"{where}: the label is {label.dtype} {list(label.shape)}", expected=shape)
        for plane in range(count, BITS * bytes_of(count)):
            foreign = mask_of(label, plane)
            if foreign.any():
                row, column = (int(v) for v in np.argwhere(foreign)[0])
                raise DataError(
                    f"{where}: the label sets the bit {plane} at row {row}, column {column}",
                    expected=f"bits 0-{count - 1}, of {classes} classes",
                    hint="correct the masks, or the classes and ignore_index of the dataset",
                )

    def shares(self, marks: Array, classes: int) -> Array:
        return np.array([mask_of(marks, index).mean() for index in range(classes)])

    def colors(self, spec: ModelSpec) -> Array:
        return own_colors(spec)

    def paint(self, marks: Array, spec: ModelSpec) -> Array:
        """The mean of the colours of the classes at a pixel; the border of each class in its own colour."""
        colors = self.colors(spec)
        flat = marks.reshape(-1, marks.shape[-1])
        painted = np.zeros((len(flat), 3), np.uint8)
        for start in range(0, len(flat), BAND):
            painted[start : start + BAND] = _mixed(flat[start : start + BAND], colors)
        picture = painted.reshape(*marks.shape[:2], 3)
        several = (marks & (marks - 1)).any(axis=-1) | ((marks != 0).sum(axis=-1) > 1)
        if several.any():
            for index, color in enumerate(colors):
                picture[_border(mask_of(marks, index)) & several] = color
        return picture

    def ignored(self, label: Array, ignore_index: int | None) -> Array:
        """None are where a label has no such bit, as of data that does not state it."""
        if ignore_index is None or ignore_index >= BITS * label.shape[-1]:
            return np.zeros(label.shape[:-1], bool)
        return mask_of(label, ignore_index)

    def save(self, folder: Path, name: str, found: Array, spec: ModelSpec, source: str) -> str:
        """Bit planes as `encoding = "bits"` reads them: of up to 8 classes a palette PNG, of up to 16 a
        16-bit PNG, else `.npy`."""
        width = found.shape[-1]
        if width > 2:
            np.save(folder / f"{name}.npy", found, allow_pickle=False)
            return f"{name}.npy"
        if width == 2:
            mask = Image.fromarray(found.astype(np.uint16) @ np.array([1, 256], np.uint16))
        else:
            mask = Image.fromarray(found[..., 0])
            values = np.arange(256, dtype=np.uint8)[None, :, None]
            mask.putpalette(_mixed(values, self.colors(spec)).tobytes())
        mask.save(folder / f"{name}.png", format="PNG")
        return f"{name}.png"


def planes_of(classes: int, ignore_index: int | None) -> int:
    """Bits that a pixel of a label has: those of the classes, and that of the ignored value behind them."""
    return classes if ignore_index is None else max(classes, ignore_index + 1)


def _mixed(marks: Array, colors: Array) -> Array:
    """Mean colour of the classes of each pixel, uint8 [...,3]; black where there is none."""
    bits = unpacked(marks, len(colors)).astype(np.float32)
    there = np.maximum(bits.sum(axis=-1, keepdims=True), 1)
    return (bits @ colors.astype(np.float32) / there).astype(np.uint8)


def _border(mask: Array) -> Array:
    """Pixels of a mask that have a neighbour outside it."""
    inside = np.pad(mask, 1, constant_values=True)
    kept = inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    return np.asarray(mask & ~kept)


def task(name: str) -> LabelTask:
    return BitPlanes()
