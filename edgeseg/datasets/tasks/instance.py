"""Things, `core.instances.Instances`: each has a box, a class, a mask bool [H,W] and a score (labels: 1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from edgeseg.core.documents import encode
from edgeseg.core.instances import Instances
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Size
from edgeseg.datasets.coco_results import document_of, together
from edgeseg.datasets.tasks import LabelTask
from edgeseg.datasets.tasks.maps import own_colors
from edgeseg.datasets.things import masks_of, part_of, resized
from edgeseg.errors import DataError
from edgeseg.runtime.merging import working

NAMES = ("instance",)

SHADES = (0.0, 0.35, -0.3, 0.6, -0.5)
"""Of one class after another: a share of white, or of black."""
GATHERED = "instances.json"
LINES = 48
"""Lines of text that fit into a picture from top to bottom."""


class Things:
    partial = False
    spare = False

    def check(self, label: Instances, classes: int, ignore_index: int | None, *, where: str) -> None:
        masks, count = masks_of(label), len(label.labels)
        given = {
            "boxes": (label.boxes, (count, 4)),
            "scores": (label.scores, (count,)),
            "crowd": (label.crowd, (count,)),
            "area": (label.area, (count,)),
        }
        if masks.dtype != np.bool_ or masks.ndim != 3 or len(masks) != count:
            raise DataError(
                f"{where}: masks are {masks.dtype} {list(masks.shape)}", expected=f"bool [{count},H,W]"
            )
        for name, (values, shape) in given.items():
            if values is not None and (values.shape != shape or not np.isfinite(values).all()):
                raise DataError(
                    f"{where}: {name} are {values.dtype} {list(values.shape)}",
                    expected=f"finite numbers {list(shape)}",
                )
        foreign = (label.labels < 0) | (label.labels >= classes)
        if foreign.any():
            raise DataError(
                f"{where}: a thing has the class {int(label.labels[foreign.argmax()])}",
                expected=f"class ids 0-{classes - 1}",
                hint="correct the labels, or the classes of the dataset",
            )
        if (label.boxes[:, 2:] < label.boxes[:, :2]).any():
            raise DataError(f"{where}: a box ends before it starts", expected="x0, y0, x1, y1 in pixels")

    def size(self, marks: Instances) -> Size:
        height, width = masks_of(marks).shape[1:]
        return int(height), int(width)

    def part(self, marks: Instances, rows: slice, columns: slice) -> Instances:
        return part_of(marks, rows, columns)

    def resized(self, marks: Instances, size: Size) -> Instances:
        return resized(marks, size)

    def content(self, label: Instances) -> bytes:
        """Shape, bytes of boxes and labels, crowds, areas and bits of the masks."""
        masks = masks_of(label)
        crowd = np.zeros(len(masks), bool) if label.crowd is None else label.crowd
        parts = (
            label.boxes.astype("<f4"),
            label.labels.astype("<i4"),
            np.packbits(crowd),
            np.zeros(0) if label.area is None else label.area.astype("<f8"),
            np.packbits(masks),
        )
        return repr(masks.shape).encode() + b"".join(part.tobytes() for part in parts)

    def working(self, marks: Instances, spec: ModelSpec) -> Instances:
        return working(marks, spec)

    def shares(self, marks: Instances, classes: int) -> Array:
        masks, found = masks_of(marks), np.zeros(classes)
        for index in np.unique(marks.labels):
            found[index] = masks[marks.labels == index].any(axis=0).mean()
        return found

    def colors(self, spec: ModelSpec) -> Array:
        return own_colors(spec)

    def paint(self, marks: Instances, spec: ModelSpec) -> Array:
        """Things of one class in different shades of its colour; of two at a pixel the surer one."""
        shown = self.working(marks, spec)
        numbers = np.zeros(self.size(marks), np.int32)
        for place in np.argsort(shown.scores, kind="stable"):
            numbers[masks_of(shown)[place]] = place + 1
        black = np.zeros_like(self.colors(spec)[:1])
        return np.concatenate([black, self.shades(shown, spec)])[numbers]

    def write(self, picture: Array, marks: Instances, spec: ModelSpec) -> Array:
        """The box, class and score of each thing over a picture of it."""
        from PIL import Image, ImageDraw, ImageFont

        shown = self.working(marks, spec)
        image = Image.fromarray(picture)
        draw = ImageDraw.Draw(image)
        font = ImageFont.load_default(max(10, picture.shape[0] // LINES))
        shades = self.shades(shown, spec).tolist()
        for place in np.argsort(shown.scores, kind="stable"):
            x0, y0, x1, y1 = shown.boxes[place].tolist()
            shade = tuple(shades[place])
            draw.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=shade)
            text = f"{spec.class_names[shown.labels[place]]} {shown.scores[place]:.2f}"
            area = draw.textbbox((0, 0), text, font=font)
            at = (min(x0, picture.shape[1] - area[2]), max(0.0, y0 - area[3]))
            draw.rectangle((at[0], at[1], at[0] + area[2], at[1] + area[3]), fill=shade)
            light = np.mean(shade) > 128
            draw.text(at, text, fill="black" if light else "white", font=font)
        return np.asarray(image)

    def shades(self, marks: Instances, spec: ModelSpec) -> Array:
        """The colour of each thing, uint8 [K,3], never black."""
        earlier: dict[int, int] = {}
        shades = self.colors(spec)[marks.labels].astype(np.float32)
        for place, label in enumerate(marks.labels.tolist()):
            mixed = SHADES[earlier.get(label, 0) % len(SHADES)]
            earlier[label] = earlier.get(label, 0) + 1
            shades[place] += abs(mixed) * ((255 if mixed > 0 else 0) - shades[place])
        shades[(shades < 1).all(axis=1)] = 1
        return shades.astype(np.uint8)

    def ignored(self, label: Instances, ignore_index: int | None) -> Array:
        """Crowds: what is found there is neither right nor wrong."""
        masks = masks_of(label)
        return np.asarray(
            masks[np.zeros(len(masks), bool) if label.crowd is None else label.crowd].any(axis=0)
        )

    def save(self, folder: Path, name: str, found: Instances, spec: ModelSpec, source: str) -> str:
        """All that was found, as a COCO document of one image: see `coco_results`."""
        file = f"{name}.json"
        (folder / file).write_bytes(encode(document_of(source, found, spec)))
        return file

    def gather(self, folder: Path, files: Sequence[str]) -> str:
        """One document of all images, whose `annotations` are what `loadRes` of COCO reads."""
        documents = [msgspec.json.decode((folder / file).read_bytes()) for file in files]
        (folder / GATHERED).write_bytes(encode(together(documents)))
        return GATHERED


def task(name: str) -> LabelTask:
    return Things()
