"""Maps of class ids [H,W]: uint8, or int32 where there are more than 256 values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.datasets.tasks import LabelTask
from edgeseg.datasets.tasks.maps import MapLabels
from edgeseg.errors import DataError

NAMES = ("semantic",)

BYTE, DEEP = 1 << 8, 1 << 16


class ClassIds(MapLabels):
    partial = True
    spare = True

    def check(self, label: Array, classes: int, ignore_index: int | None, *, where: str) -> None:
        check_ids(label, classes, ignore_index, where=where)

    def shares(self, marks: Array, classes: int) -> Array:
        return np.bincount(marks.reshape(-1), minlength=classes)[:classes] / marks.size

    def colors(self, spec: ModelSpec) -> Array:
        return np.array([c.color for c in spec.classes], np.uint8).reshape(-1, 3)

    def paint(self, marks: Array, spec: ModelSpec) -> Array:
        """Values that are no class (the ignored one, if it is none) are black."""
        table = self.table(spec)
        return np.asarray(table[np.minimum(marks.astype(np.int32), len(table) - 1)])

    def ignored(self, label: Array, ignore_index: int | None) -> Array:
        return np.zeros(label.shape, bool) if ignore_index is None else np.asarray(label == ignore_index)

    def save(self, folder: Path, name: str, found: Array, spec: ModelSpec, source: str) -> str:
        """A palette PNG whose pixels are the ids; of more than 256 classes a 16-bit PNG, of more than 65536 a
        `.npy`."""
        if len(spec.classes) > DEEP:
            np.save(folder / f"{name}.npy", found)
            return f"{name}.npy"
        file = f"{name}.png"
        if found.dtype == np.uint8:
            mask = Image.fromarray(found)
            mask.putpalette(self.table(spec)[:BYTE].tobytes())
        else:
            mask = Image.fromarray(found.astype(np.uint16))
        mask.save(folder / file, format="PNG")
        return file

    def table(self, spec: ModelSpec) -> Array:
        """uint8 [V,3]: the colour of every value; the last is black."""
        colors = self.colors(spec)
        table = np.zeros((max(BYTE, len(colors) + 1), 3), np.uint8)
        table[: len(colors)] = colors
        return table


def check_ids(label: Array, classes: int, ignore_index: int | None, *, where: str) -> None:
    """Raise DataError, with the value and a pixel that holds it, when a label holds a foreign id."""
    good = (label >= 0) & (label < classes)
    if ignore_index is not None:
        good |= label == ignore_index
    if good.all():
        return
    row, column = (int(v) for v in np.argwhere(~good)[0])
    ignored = "" if ignore_index is None else f", or {ignore_index} (ignored)"
    raise DataError(
        f"{where}: the label holds the value {int(label[row, column])} at row {row}, column {column}",
        expected=f"class ids 0-{classes - 1}{ignored}",
        hint="correct the mask, or the classes, ignore_index and encoding of the dataset",
    )


def task(name: str) -> LabelTask:
    return ClassIds()
