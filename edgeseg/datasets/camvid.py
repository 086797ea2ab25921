"""`camvid`: CamVid as in the SegNet tutorial (Badrinarayanan et al., 2017): 11 classes, 480x360.

root/{train,val,test} hold images, root/{train,val,test}annot masks with 8-bit ids of the same names.
Brostow et al., "Semantic object classes in video", 2009.
"""

from __future__ import annotations

from pathlib import Path

from edgeseg.core.model_spec import ClassInfo
from edgeseg.datasets._files import (
    file_split,
    images_in,
    paired,
    require_any,
    require_root,
)
from edgeseg.datasets.masks import MASK_SUFFIXES, read_ids
from edgeseg.datasets.split import Split, require_split

NAMES = ("camvid",)

IGNORE_INDEX = 11
CLASSES = (
    ClassInfo("sky", (128, 128, 128)),
    ClassInfo("building", (128, 0, 0)),
    ClassInfo("pole", (192, 192, 128)),
    ClassInfo("road", (128, 64, 128)),
    ClassInfo("pavement", (60, 40, 222)),
    ClassInfo("tree", (128, 128, 0)),
    ClassInfo("sign", (192, 128, 128)),
    ClassInfo("fence", (64, 64, 128)),
    ClassInfo("car", (64, 0, 128)),
    ClassInfo("pedestrian", (64, 64, 0)),
    ClassInfo("bicyclist", (0, 128, 192)),
)

_EXPECTED = "a folder with train, trainannot, val and valannot"


def dataset(name: str, root: Path | None = None) -> CamVid:
    return CamVid(require_root(root, name, expected=_EXPECTED))


class CamVid:
    name = NAMES[0]
    classes = CLASSES
    ignore_index: int | None = IGNORE_INDEX

    def __init__(self, root: Path) -> None:
        self.root = root
        there = (s for s in ("train", "val", "test") if (root / s).is_dir() and (root / f"{s}annot").is_dir())
        self._splits = require_any(there, root, expected=_EXPECTED)

    def splits(self) -> tuple[str, ...]:
        return self._splits

    def split(self, name: str) -> Split:
        require_split(name, self._splits, where=str(self.root))
        masks = self.root / f"{name}annot"
        pairs = paired(
            images_in(self.root / name),
            images_in(masks, MASK_SUFFIXES),
            expected=f"in {masks}, a mask with the name of each image",
        )
        return file_split(self.name, name, pairs, CLASSES, IGNORE_INDEX, read_ids)
