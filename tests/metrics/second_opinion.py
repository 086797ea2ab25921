"""Average precision as faster-coco-eval computes it."""

from __future__ import annotations

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from faster_coco_eval import mask as rle
from scenes import SIDE


def second_opinion(pairs, classes, masks):
    """[T,C,A], NaN for a class without a thing."""

    def described(image, things, k):
        x0, y0, x1, y1 = map(float, things.boxes[k])
        said = {"image_id": image, "category_id": int(things.labels[k]), "score": float(things.scores[k])}
        shape = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0)}
        if masks:
            mask = things.masks[k]
            coded = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
            shape = {"segmentation": coded, "area": float(mask.sum())}
        return {**said, **shape}

    labels, results = [], []
    for image, (truth, guess) in enumerate(pairs):
        for k in range(len(truth.labels)):
            own = {"id": len(labels) + 1, "iscrowd": 0 if truth.crowd is None else int(truth.crowd[k])}
            if truth.area is not None:
                own["area"] = float(truth.area[k])
            labels.append({**described(image, truth, k), **own})
        results += [described(image, guess, k) for k in range(len(guess.labels))]
    images = [{"id": image, "height": SIDE, "width": SIDE} for image in range(len(pairs))]
    names = [{"id": label, "name": str(label)} for label in range(classes)]
    coco = COCO({"images": images, "annotations": labels, "categories": names})
    judge = COCOeval_faster(coco, coco.loadRes(results), "segm" if masks else "bbox")
    judge.evaluate()
    judge.accumulate()
    precision = judge.eval["precision"][..., -1]  # threshold, recall, class, area
    return np.where(precision < 0, np.nan, precision).mean(axis=1)
