"""What tasks share whose labels are maps [H,W,...]."""

from __future__ import annotations

import numpy as np

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

    def content(self, label: Array) -> bytes:
        """Shape and bytes; of more than a byte per value, low byte first."""
        small = label if label.dtype == np.uint8 else label.astype("<i4")
        return repr(label.shape).encode() + small.tobytes()
