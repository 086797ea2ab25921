"""What was found, as JSON of COCO: pycocotools and faster-coco-eval read such a file as labels, and its
`annotations` as results.

{"images": [{"id": 1, "file_name": "a.jpg", "height": H, "width": W}],
 "categories": [{"id": 1, "name": "person"}],
 "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "score": 0.97, "bbox": [x, y, width, height],
                  "area": pixels, "iscrowd": 0, "segmentation": {"size": [H, W], "counts": "..."}}]}

A category is one more than the id of its class.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeseg.core.instances import Instances
from edgeseg.core.model_spec import ModelSpec
from edgeseg.datasets.rle import coded
from edgeseg.datasets.things import masks_of

Document = dict[str, list[dict[str, Any]]]


def document_of(source: str, found: Instances, spec: ModelSpec) -> Document:
    """Of the image whose file is `source`."""
    masks = masks_of(found)
    height, width = masks.shape[1:]
    annotations = []
    for place in range(len(found.labels)):
        x0, y0, x1, y1 = (round(v, 3) for v in found.boxes[place].tolist())
        annotations.append(
            {
                "id": place + 1,
                "image_id": 1,
                "category_id": int(found.labels[place]) + 1,
                "score": round(float(found.scores[place]), 6),
                "bbox": [x0, y0, round(x1 - x0, 3), round(y1 - y0, 3)],
                "area": int(np.count_nonzero(masks[place])),
                "iscrowd": 0,
                "segmentation": coded(masks[place]),
            }
        )
    categories = [{"id": index + 1, "name": info.name} for index, info in enumerate(spec.classes)]
    images = [{"id": 1, "file_name": source, "height": int(height), "width": int(width)}]
    return {"images": images, "categories": categories, "annotations": annotations}


def together(documents: list[Document]) -> Document:
    """One document of several images of one network; images and annotations are numbered anew."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, document in enumerate(documents, 1):
        images += [{**image, "id": number} for image in document["images"]]
        for one in document["annotations"]:
            annotations.append({**one, "id": len(annotations) + 1, "image_id": number})
    return {"images": images, "categories": documents[0]["categories"], "annotations": annotations}
