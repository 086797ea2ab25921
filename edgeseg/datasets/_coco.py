"""A file of labels as COCO writes it, and the things of an image in it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgeseg.core.bounds import MOST_CLASSES
from edgeseg.core.files import read_whole
from edgeseg.core.instances import Instances
from edgeseg.core.preprocess import Size
from edgeseg.datasets.decode import MAX_PIXELS, tell
from edgeseg.datasets.rle import Mask, filled, mask_of_runs, uncompressed
from edgeseg.datasets.things import require_room, things_of
from edgeseg.errors import DataError

MOST_BYTES = 1 << 30
"""Of a file. `instances_train2017.json` has 0.45 GB."""
LONGEST = 1000
"""Characters of the name of an image or a category."""
SLACK = 2.0
"""Pixels by which a box may miss that of its mask: masks are whole pixels, and boxes of polygons are not."""

_EXPECTED = "a JSON file of COCO, with images, annotations and categories"

Key = int | str


class CocoImage(msgspec.Struct):
    id: Key
    file_name: str
    height: int
    width: int


class CocoAnnotation(msgspec.Struct):
    """
    Attributes:
        segmentation: polygons or runs, read when they are asked for.
        bbox: x, y, width, height in pixels.
    """

    image_id: Key
    category_id: int
    id: Key | None = None
    segmentation: msgspec.Raw = msgspec.Raw(b"null")
    bbox: list[float] | None = None
    area: float | None = None
    iscrowd: int | bool = 0


class CocoCategory(msgspec.Struct):
    id: int
    name: str


class _File(msgspec.Struct):
    images: list[CocoImage]
    annotations: list[CocoAnnotation]
    categories: list[CocoCategory]


class CocoFile:
    """
    Attributes:
        images: in the order of their file names.
        categories: names by id, in the order of the ids; a class is its place in it.

    Raises:
        DataError: no such file, not of COCO, or entries that do not belong together.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            file = msgspec.json.decode(read_whole(path, most=MOST_BYTES, error=DataError), type=_File)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as fault:
            raise DataError(f"{path} cannot be read: {str(fault)[:200]}", expected=_EXPECTED) from None
        self.images = tuple(sorted(file.images, key=lambda image: image.file_name))
        self.categories = {c.id: c.name for c in sorted(file.categories, key=lambda c: c.id)}
        self._classes = {number: place for place, number in enumerate(self.categories)}
        self._check(file)
        self._of_image: dict[Key, list[CocoAnnotation]] = {image.id: [] for image in self.images}
        for one in file.annotations:
            self._require(one)
            self._of_image[one.image_id].append(one)

    def things(self, image: CocoImage) -> Instances:
        """With boxes and areas as the file states them; without such, those of the masks.

        Raises:
            DataError: a mask that is none, or of another size than the image.
        """
        found, size = self._of_image[image.id], (image.height, image.width)
        require_room(len(found), size, where=f"{self.path}: '{image.file_name}'")
        masks = np.zeros((len(found), *size), bool)
        for mask, one in zip(masks, found):
            mask[:] = self._mask(one, image)
        crowd = np.array([bool(one.iscrowd) for one in found], bool)
        things = things_of(masks, [self._classes[one.category_id] for one in found], crowd=crowd)
        pixels = masks.sum(axis=(1, 2))
        areas = [count if one.area is None else one.area for one, count in zip(found, pixels)]
        boxes = [self._box(one, box, image) for one, box in zip(found, things.boxes)]
        return things._replace(
            boxes=np.array(boxes, np.float32).reshape(-1, 4), area=np.array(areas, np.float64)
        )

    def _check(self, file: _File) -> None:
        if not file.images or not file.categories:
            what = "image" if file.categories else "category"
            raise DataError(f"{self.path} has no {what}", expected=_EXPECTED)
        longest = max((*(image.file_name for image in file.images), *self.categories.values()), key=len)
        if len(longest) > LONGEST:
            raise DataError(
                f"{self.path} has a name of {len(longest):,} characters: {longest[:40]}...",
                expected=f"at most {LONGEST}",
            )
        for noun, values in (
            ("images have the id", [image.id for image in file.images]),
            ("images have the name", [image.file_name for image in file.images]),
            ("categories have the id", [c.id for c in file.categories]),
            ("categories have the name", [c.name for c in file.categories]),
        ):
            if len(set(values)) < len(values):
                seen: set[Key] = set()
                twice = next(v for v in values if v in seen or seen.add(v))  # type: ignore[func-returns-value]
                raise DataError(f"{self.path}: two {noun} {twice!r}", expected="a different one for each")
        if len(file.categories) > MOST_CLASSES:
            raise DataError(
                f"{self.path} has {len(file.categories)} categories", expected=f"at most {MOST_CLASSES:,}"
            )
        for image in file.images:
            if not (min(image.height, image.width) >= 1 and image.height * image.width <= MAX_PIXELS):
                raise DataError(
                    f"{self.path}: '{image.file_name}' has {image.height}x{image.width} pixels",
                    expected=f"its true height and width, at most {MAX_PIXELS // 10**6} megapixels",
                )

    def _require(self, one: CocoAnnotation) -> None:
        if one.image_id not in self._of_image:
            raise DataError(
                f"{self.path}: annotation {one.id} is of the image {one.image_id!r}",
                expected="the id of one of the images of the file",
                hint="add the image to the file, or remove its annotations",
            )
        if one.category_id not in self._classes:
            raise DataError(
                f"{self.path}: annotation {one.id} has the category {one.category_id}",
                expected=f"one of {', '.join(map(str, list(self._classes)[:100]))}",
                hint="add the category to the file, or remove its annotations",
            )

    def _mask(self, one: CocoAnnotation, image: CocoImage) -> Mask:
        try:
            return _mask(msgspec.json.decode(one.segmentation), (image.height, image.width))
        except (DataError, msgspec.MsgspecError, RecursionError) as fault:
            told = fault if isinstance(fault, DataError) else DataError(str(fault), expected=_SEGMENTATION)
            raise DataError(
                f"{self.path}: annotation {one.id} of '{image.file_name}': {told.message}",
                expected=told.expected,
                hint=told.hint,
            ) from None

    def _box(self, one: CocoAnnotation, own: Any, image: CocoImage) -> Any:
        """x0, y0, x1, y1."""
        if not one.bbox:
            return own
        if len(one.bbox) != 4 or not all(map(math.isfinite, one.bbox)) or min(one.bbox[2:]) < 0:
            raise DataError(
                f"{self.path}: annotation {one.id} of '{image.file_name}' has the box {one.bbox[:5]}",
                expected="[x, y, width, height] in pixels",
            )
        x, y, width, height = one.bbox
        stated = np.array([x, y, x + width, y + height])
        if own.any() and np.abs(stated - own).max() > SLACK:
            tell(self.path, "states boxes that are not those of their masks; those of the masks are used")
            return own
        return stated.clip(0, [image.width, image.height] * 2)


_SEGMENTATION = "polygons [[x, y, x, y, ...]], or runs with counts and size"


def _mask(stated: Any, size: Size) -> Mask:
    """Of a `segmentation`."""
    if isinstance(stated, dict) and "counts" in stated:
        if stated.get("size") != list(size):
            raise DataError(
                f"a run-length mask of the size {str(stated.get('size'))[:50]}",
                expected=f"{list(size)}, the height and width of the image",
            )
        counts = stated["counts"]
        if isinstance(counts, str):
            return mask_of_runs(uncompressed(counts), size)
        if isinstance(counts, list) and all(type(count) is int and count < 1 << 40 for count in counts):
            return mask_of_runs(counts, size)
    if isinstance(stated, list) and stated and all(isinstance(polygon, list) for polygon in stated):
        return np.logical_or.reduce([filled(_points(polygon), size) for polygon in stated])
    raise DataError(
        "it has no mask" if not stated else "its segmentation is neither polygons nor runs",
        expected=_SEGMENTATION,
        hint="a network of instances learns masks: boxes alone do not do",
    )


def _points(polygon: list[Any]) -> Any:
    """float64 [P,2]."""
    if len(polygon) % 2 or not all(type(v) in (int, float) for v in polygon):
        raise DataError(f"a polygon of {len(polygon)} values", expected="x, y, x, y, ...: pairs of numbers")
    return np.array(polygon, np.float64).reshape(-1, 2)
