"""What tasks share: labels that are maps [H,W,...], and colours where there is no background."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgeseg.core.model_spec import ModelSpec, default_classes
from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Size
from edgeseg.runtime.resize import nearest


class MapLabels:
    def size(self, marks: Array) -> Size:
        return int(marks.shape[0]), int(marks.shape[1])

    def part(self, marks: Array, rows: slice, columns: slice) -> Array:
        return marks[rows, columns]

    def resized(self, marks: Array, size: Size) -> Array:
        """Nearest neighbour at pixel centres; the same array when it fits."""
        if marks.shape[:2] == size:
            return marks
        found = nearest(np.moveaxis(marks, (0, 1), (-2, -1)), size)
        return np.ascontiguousarray(np.moveaxis(found, (-2, -1), (0, 1)))

    def working(self, marks: Array, spec: ModelSpec) -> Array:
        return marks

    def write(self, picture: Array, marks: Array, spec: ModelSpec) -> Array:
        return picture

    def gather(self, folder: Path, files: Sequence[str]) -> str:
        return ""

    def content(self, label: Array) -> bytes:
        """Shape and bytes; of more than a byte per value, low byte first."""
        small = label if label.dtype == np.uint8 else label.astype("<i4")
        return repr(label.shape).encode() + small.tobytes()


def own_colors(spec: ModelSpec) -> Array:
    """Of each class, uint8 [C,3] RGB, where none is the background: a class that is black, or has the colour
    of one before it, gets another."""
    stated = [c.color for c in spec.classes]
    colors = np.array(stated, np.uint8).reshape(-1, 3)
    spare = (c.color for c in default_classes(2 * len(stated) + 1)[1:] if c.color not in stated)
    for index, color in enumerate(stated):
        if not any(color) or color in stated[:index]:
            colors[index] = next(spare)
    return colors
