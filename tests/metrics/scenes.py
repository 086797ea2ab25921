"""Random things of an image: labels, and detections that find some of them."""

from __future__ import annotations

import numpy as np

from edgeseg.core.instances import Instances

SIDE = 160


def things(rng, count, classes, *, crowds=0.0):
    """Ellipses in their boxes, from one pixel to most of the image."""
    masks = np.stack([ellipse(rng) for _ in range(count)]) if count else np.zeros((0, SIDE, SIDE), bool)
    crowd = rng.random(count) < crowds
    labels = rng.integers(0, classes, count).astype(np.int32)
    return Instances(boxes_of(masks), labels, np.ones(count, np.float32), masks, crowd)


def ellipse(rng):
    side = np.exp(rng.uniform(0, np.log(150), 2))
    return drawn(rng.uniform(0, SIDE, 2), side)


def drawn(middle, side):
    y, x = np.mgrid[:SIDE, :SIDE]
    mask = ((y - middle[0]) / side[0]) ** 2 + ((x - middle[1]) / side[1]) ** 2 <= 0.25
    mask[tuple(np.clip(np.round(middle).astype(int), 0, SIDE - 1))] = True
    return mask


def boxes_of(masks):
    boxes = np.zeros((len(masks), 4), np.float32)
    for box, mask in zip(boxes, masks, strict=True):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box[:] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes


def found(rng, truth, classes, *, wrong=4, equal=False, most=3):
    """Each thing up to `most` times, shifted, some as another class; and `wrong` ones that are not there."""
    masks, labels = [], []
    for mask, label in zip(truth.masks, truth.labels, strict=True):
        for _ in range(rng.integers(0, most + 1)):
            masks.append(np.roll(mask, rng.integers(-3, 4, 2), (0, 1)))
            labels.append(label if rng.random() < 0.8 else rng.integers(0, classes))
    masks += [ellipse(rng) for _ in range(wrong)]
    labels += list(rng.integers(0, classes, wrong))
    count = len(masks)
    scores = rng.integers(0, 4, count) / 4 if equal else rng.random(count)
    masks = np.stack(masks) if count else np.zeros((0, SIDE, SIDE), bool)
    return Instances(boxes_of(masks), np.array(labels, np.int32), scores.astype(np.float32), masks)
