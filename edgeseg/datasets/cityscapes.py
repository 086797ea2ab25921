"""`cityscapes`: leftImg8bit and gtFine as delivered (Cordts et al., 2016), 19 classes, the rest ignored.

root/leftImg8bit/<split>/<city>/<frame>_leftImg8bit.png
root/gtFine/<split>/<city>/<frame>_gtFine_labelIds.png        or _gtFine_labelTrainIds.png
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeseg.core.model_spec import ClassInfo
from edgeseg.datasets._files import file_split, folders_in, images_in, paired, require_any, require_root
from edgeseg.datasets.masks import read_ids
from edgeseg.datasets.split import Pixels, Split, require_split
from edgeseg.datasets.tasks.semantic import check_ids
from edgeseg.errors import DataError

NAMES = ("cityscapes",)

IGNORE_INDEX = 255
CLASSES = (
    ClassInfo("road", (128, 64, 128)),
    ClassInfo("sidewalk", (244, 35, 232)),
    ClassInfo("building", (70, 70, 70)),
    ClassInfo("wall", (102, 102, 156)),
    ClassInfo("fence", (190, 153, 153)),
    ClassInfo("pole", (153, 153, 153)),
    ClassInfo("traffic light", (250, 170, 30)),
    ClassInfo("traffic sign", (220, 220, 0)),
    ClassInfo("vegetation", (107, 142, 35)),
    ClassInfo("terrain", (152, 251, 152)),
    ClassInfo("sky", (70, 130, 180)),
    ClassInfo("person", (220, 20, 60)),
    ClassInfo("rider", (255, 0, 0)),
    ClassInfo("car", (0, 0, 142)),
    ClassInfo("truck", (0, 0, 70)),
    ClassInfo("bus", (0, 60, 100)),
    ClassInfo("train", (0, 80, 100)),
    ClassInfo("motorcycle", (0, 0, 230)),
    ClassInfo("bicycle", (119, 11, 32)),
)

LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Cityscapes label id of each class (cityscapesScripts, helpers/labels.py)."""

_ALL_LABEL_IDS = 34
_IMAGE_END = "_leftImg8bit"
_LABEL_ENDS = ("_gtFine_labelTrainIds", "_gtFine_labelIds")
_EXPECTED = "a folder with leftImg8bit/<split>/<city> and gtFine/<split>/<city>"


def dataset(name: str, root: Path | None = None) -> Cityscapes:
    return Cityscapes(require_root(root, name, expected=_EXPECTED))


class Cityscapes:
    name = NAMES[0]
    classes = CLASSES
    ignore_index: int | None = IGNORE_INDEX

    def __init__(self, root: Path) -> None:
        self.root = root
        there = (
            s
            for s in ("train", "val")
            if (root / "leftImg8bit" / s).is_dir() and (root / "gtFine" / s).is_dir()
        )
        self._splits = require_any(there, root, expected=_EXPECTED)

    def splits(self) -> tuple[str, ...]:
        return self._splits

    def split(self, name: str) -> Split:
        require_split(name, self._splits, where=str(self.root))
        images: dict[str, Path] = {}
        masks: dict[str, Path] = {}
        for city in folders_in(self.root / "leftImg8bit" / name):
            images.update(images_in(city, (".png", ".jpg"), strip=_IMAGE_END))
            masks.update(_labels(self.root / "gtFine" / name / city.name))
        if not images:
            raise DataError(f"{self.root / 'leftImg8bit' / name} has no city with images", expected=_EXPECTED)
        pairs = paired(
            images, masks, expected="in gtFine, <frame>_gtFine_labelIds.png or ..._labelTrainIds.png"
        )
        return file_split(self.name, name, pairs, CLASSES, IGNORE_INDEX, _read_train_ids)


def _labels(folder: Path) -> dict[str, Path]:
    """Masks by frame; a mask with train ids wins over one with label ids."""
    found: dict[str, Path] = {}
    for end in _LABEL_ENDS:
        for path in sorted(folder.glob(f"*{end}.png")):
            found.setdefault(path.stem.removesuffix(end), path)
    return found


def _read_train_ids(path: Path) -> Pixels:
    ids = read_ids(path)
    if path.stem.endswith("_labelTrainIds"):
        return ids
    check_ids(ids, _ALL_LABEL_IDS, IGNORE_INDEX, where=str(path))
    table = np.full(256, IGNORE_INDEX, np.uint8)
    table[list(LABEL_IDS)] = np.arange(len(LABEL_IDS), dtype=np.uint8)
    return table[ids]
