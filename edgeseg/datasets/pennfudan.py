"""`pennfudan`: Penn-Fudan pedestrians as background and person, in one split, `all`.

root/PNGImages holds images, root/PedMasks a mask `<name>_mask.png` each, with one id per person.
Wang et al., "Object Detection Combining Recognition and Segmentation", 2007.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeseg.core.model_spec import ClassInfo
from edgeseg.datasets._files import Pair, file_split, images_in, paired, require_root
from edgeseg.datasets.masks import MASK_SUFFIXES, read_ids
from edgeseg.datasets.split import Pixels, Split, require_split

NAMES = ("pennfudan",)

IGNORE_INDEX: int | None = None
CLASSES = (ClassInfo("background", (0, 0, 0)), ClassInfo("person", (220, 20, 60)))


def dataset(name: str, root: Path | None = None) -> PennFudan:
    return PennFudan(root)


def pairs_of(root: Path | None, layout: str) -> dict[str, Pair]:
    """Image and mask by name. Raises DataError where the folder or a mask is missing."""
    root = require_root(root, layout, expected="a folder with PNGImages and PedMasks")
    return paired(
        images_in(root / "PNGImages"),
        images_in(root / "PedMasks", MASK_SUFFIXES, strip="_mask"),
        expected="in PedMasks, <name>_mask.png for each image",
    )


class PennFudan:
    name = NAMES[0]
    classes = CLASSES
    ignore_index: int | None = IGNORE_INDEX

    def __init__(self, root: Path | None) -> None:
        self.root = root
        self._pairs = pairs_of(root, self.name)

    def splits(self) -> tuple[str, ...]:
        return ("all",)

    def split(self, name: str) -> Split:
        require_split(name, self.splits(), where=str(self.root))
        return file_split(self.name, name, self._pairs, CLASSES, IGNORE_INDEX, _person)


def _person(path: Path) -> Pixels:
    return (read_ids(path) > 0).astype(np.uint8)
