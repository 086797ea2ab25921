"""Labels of things that cannot be used: files of COCO and of LabelMe."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from fuzzing.case import ANY, Bad, content, cut, flipped, void

SIDE = 64
POLYGON = [10, 10, 40, 12, 30, 50]
Change = Callable[[Any], object]


def coco_document() -> dict[str, Any]:
    """Of the images of the training split."""
    images = [
        {"id": i, "file_name": f"{stem}train.png", "height": SIDE, "width": SIDE}
        for i, stem in enumerate("ab")
    ]
    one = {"id": 1, "image_id": 0, "category_id": 7, "segmentation": [POLYGON], "bbox": [10, 10, 30, 40]}
    return {"images": images, "annotations": [one], "categories": [{"id": 7, "name": "thing"}]}


def labelme_document() -> dict[str, Any]:
    points = [POLYGON[i : i + 2] for i in (0, 2, 4)]
    shape = {"label": "thing", "points": points, "shape_type": "polygon", "group_id": None}
    return {"version": "5.4", "shapes": [shape], "imageHeight": SIDE, "imageWidth": SIDE}


def _json(document: Callable[[], Any], change: Change) -> Bad:
    def write(path: Path, _: Random) -> None:
        data = document()
        change(data)
        void(path.write_text(json.dumps(data)))

    return write


def _of(document: Callable[[], Any], changes: dict[str, Change]) -> dict[str, Bad]:
    good = json.dumps(document()).encode()
    return {
        **ANY,
        "cut": cut(good),
        "flipped": flipped(good, 3),
        "a list": content("[1, 2]"),
        "a number": content("1"),
        "no UTF-8": content(good.replace(b'"', b'"\xff\xfe', 1)),
        "brackets": content(b'{"images": ' + b"[" * 100_000),
        "digits": content(good.replace(b"64", b"9" * 5_000, 1)),
        "a huge exponent": content(good.replace(b"64", b"1e99999", 1)),
        "half a character": content(good.replace(b"thing", b"\\ud800", 1)),
        **{name: _json(document, change) for name, change in changes.items()},
    }


def _mask(stated: Any) -> Change:
    return lambda d: d["annotations"][0].update(segmentation=stated)


def _shape(**stated: Any) -> Change:
    return lambda d: d["shapes"][0].update(stated)


COCO = _of(
    coco_document,
    {
        "no categories": lambda d: d.update(categories=[]),
        "no images": lambda d: d.update(images=[]),
        "no annotations": lambda d: d.pop("annotations"),
        "an unknown category": lambda d: d["annotations"][0].update(category_id=8),
        "an unknown image": lambda d: d["annotations"][0].update(image_id=8),
        "an image twice": lambda d: d["images"].append(d["images"][0]),
        "an image that is missing": lambda d: d["images"][0].update(file_name="nothing.png"),
        "an image outside": lambda d: d["images"][0].update(file_name="../../../etc/passwd"),
        "an image with a null character": lambda d: d["images"][0].update(file_name="a\0b.png"),
        "a name of a megabyte": lambda d: d["images"][0].update(file_name="x" * 1_000_000),
        "another size": lambda d: d["images"][0].update(height=SIDE + 1),
        "an absurd size": lambda d: d["images"][0].update(height=10**9, width=10**9),
        "no mask": _mask([]),
        "two points": _mask([[1, 1, 5, 5]]),
        "an odd polygon": _mask([POLYGON[:-1]]),
        "a polygon far outside": _mask([[1, 1, 1e300, 5, 5, 9]]),
        "a flat polygon": _mask(POLYGON),
        "deep polygons": _mask(json.loads("[" * 300 + "]" * 300)),
        "runs of another size": _mask({"size": [SIDE, SIDE + 1], "counts": [SIDE * SIDE]}),
        "too few runs": _mask({"size": [SIDE, SIDE], "counts": [9]}),
        "negative runs": _mask({"size": [SIDE, SIDE], "counts": [-9, SIDE * SIDE + 9]}),
        "huge runs": _mask({"size": [SIDE, SIDE], "counts": [2**62, 2**62]}),
        "text that is no runs": _mask({"size": [SIDE, SIDE], "counts": "~~~"}),
        "endless text": _mask({"size": [SIDE, SIDE], "counts": "o" * 100_000}),
        "a box of three": lambda d: d["annotations"][0].update(bbox=[1, 2, 3]),
        "a negative box": lambda d: d["annotations"][0].update(bbox=[1, 2, -3, 4]),
    },
)
LABELME = _of(
    labelme_document,
    {
        "an unknown class": _shape(label="thnig"),
        "two points": _shape(points=[[1, 1], [5, 5]]),
        "a line": _shape(shape_type="line"),
        "a point of three": _shape(points=[[1, 1, 1]]),
        "a point far outside": _shape(points=[[1, 1], [1e300, 5], [5, 9]]),
        "no shapes": lambda d: d.pop("shapes"),
        "another size": lambda d: d.update(imageHeight=SIDE + 1),
        "an absurd size": lambda d: d.update(imageHeight=10**9, imageWidth=10**9),
        "no size": lambda d: d.update(imageHeight=None),
        "a group of lists": _shape(group_id=[1]),
    },
)
