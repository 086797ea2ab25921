"""JSON files of LabelMe: shapes of named classes in an image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image, ImageDraw

from edgeseg.core.files import read_whole
from edgeseg.core.instances import Instances
from edgeseg.datasets.decode import MAX_PIXELS
from edgeseg.datasets.split import Pixels
from edgeseg.datasets.things import require_room, things_of
from edgeseg.errors import DataError

MOST_BYTES = 256 << 20
"""Of a file: LabelMe may keep the image in it."""


class Shape(msgspec.Struct):
    """
    Attributes:
        points: x, y in pixels; of a rectangle two corners, of a circle its centre and a point on it.
        group_id: shapes of a class with the same one are parts of one thing.
    """

    label: str
    points: list[tuple[float, float]]
    shape_type: str = "polygon"
    group_id: int | str | None = None


class LabelMe(msgspec.Struct, rename={"height": "imageHeight", "width": "imageWidth"}):
    shapes: list[Shape]
    height: int
    width: int


def read_labelme(path: Path, names: Sequence[str]) -> LabelMe:
    """A file whose shapes are of the classes `names`.

    Raises:
        DataError: no such file, not of LabelMe, or a shape of a class that is not named.
    """
    try:
        file = msgspec.json.decode(read_whole(path, most=MOST_BYTES, error=DataError), type=LabelMe)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as fault:
        raise DataError(f"{path} cannot be read: {fault}", expected="a JSON file of LabelMe") from None
    if not (min(file.height, file.width) >= 1 and file.height * file.width <= MAX_PIXELS):
        raise DataError(f"{path} is of an image of {file.height}x{file.width}", expected="its true size")
    foreign = next((shape.label for shape in file.shapes if shape.label not in names), None)
    if foreign is not None:
        raise DataError(
            f"{path} has a shape of the class '{foreign[:100]}'", expected=f"one of {', '.join(names)}"
        )
    return file


def inside(shape: Shape, file: LabelMe, path: Path) -> Pixels:
    """1 in a polygon, a rectangle or a circle, outlines included, as LabelMe fills them: uint8 [H,W].

    Raises:
        DataError: a shape of another kind.
    """
    points = [(float(x), float(y)) for x, y in shape.points]
    picture = Image.new("L", (file.width, file.height))
    draw = ImageDraw.Draw(picture)
    finite = all(math.isfinite(v) and abs(v) <= MAX_PIXELS for point in points for v in point)
    if finite and shape.shape_type == "polygon" and len(points) > 2:
        draw.polygon(points, fill=1, outline=1)
    elif finite and shape.shape_type == "rectangle" and len(points) == 2:
        (a, b), (c, d) = points
        draw.rectangle((min(a, c), min(b, d), max(a, c), max(b, d)), fill=1, outline=1)
    elif finite and shape.shape_type == "circle" and len(points) == 2:
        (x, y), edge = points
        radius = math.dist((x, y), edge)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=1, outline=1)
    else:
        raise DataError(
            f"{path} has a {shape.shape_type[:30]} of {len(points)} points",
            expected="polygons of three points or more, rectangles and circles of two",
        )
    return np.asarray(picture, np.uint8)


def things_from_polygons(names: Sequence[str], path: Path) -> Instances:
    """Each shape of a file as a thing; those of a class and a group are one.

    Raises:
        DataError: as `read_labelme` and `inside`.
    """
    file = read_labelme(path, names)
    parts: dict[tuple[str, object], list[Shape]] = {}
    for place, shape in enumerate(file.shapes):
        alone = shape.group_id is None
        parts.setdefault((shape.label, (place,) if alone else shape.group_id), []).append(shape)
    require_room(len(parts), (file.height, file.width), where=str(path))
    masks = np.zeros((len(parts), file.height, file.width), bool)
    for mask, shapes in zip(masks, parts.values()):
        for shape in shapes:
            mask |= inside(shape, file, path).view(bool)
    return things_of(masks, [names.index(label) for label, _ in parts])
