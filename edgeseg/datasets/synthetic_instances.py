"""`synthetic-streets-instances`: the same streets; each sign, car, pedestrian and cyclist is a thing.

Of what stands partly behind something else the visible part counts. Things of fewer than SMALL visible pixels
are crowds: they may be found, and need not be.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from edgeseg.core.instances import Instances
from edgeseg.core.preprocess import Size
from edgeseg.datasets import synthetic
from edgeseg.datasets.split import Split
from edgeseg.datasets.synthetic import SIZE, drawn
from edgeseg.datasets.things import masks_of, things_of_ids

NAMES = ("synthetic-streets-instances",)

GENERATED = True
THINGS = ("sign", "car", "pedestrian", "cyclist")
IGNORE_INDEX: int | None = None
CLASSES = tuple(info for info in synthetic.CLASSES if info.name in THINGS)
FIRST = synthetic.CLASSES.index(CLASSES[0])
"""Class id of the first in the labels of `synthetic-streets`, where the others follow it."""
SMALL = 16


def dataset(name: str, root: Path | None = None) -> StreetThings:
    synthetic.dataset(name, root)
    return StreetThings()


class StreetThings:
    """Arguments as of `SyntheticStreets`."""

    name = NAMES[0]
    classes = CLASSES
    ignore_index: int | None = IGNORE_INDEX

    def __init__(self, size: Size = SIZE, counts: dict[str, int] | None = None, seed: int = 0) -> None:
        self._streets = synthetic.SyntheticStreets(size, counts, seed)
        self._read = partial(_things, seed, size)

    def splits(self) -> tuple[str, ...]:
        return self._streets.splits()

    def split(self, name: str) -> Split:
        return replace(
            self._streets.split(name),
            dataset=self.name,
            classes=CLASSES,
            ignore_index=IGNORE_INDEX,
            read_label=self._read,
            task="instance",
        )


def _things(seed: int, size: Size, identity: str) -> Instances:
    frame = drawn(seed, size, identity)
    things = things_of_ids(frame.instances)
    masks = masks_of(things)
    # A thing has one class, that of any of its pixels.
    first = masks.reshape(len(masks), -1).argmax(axis=1)
    labels = frame.label.reshape(-1)[first].astype(np.int32) - FIRST
    crowd = masks.sum(axis=(1, 2)) < SMALL
    return things._replace(labels=labels, crowd=crowd)
