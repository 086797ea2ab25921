"""Labels of classes that overlap, from files: a mask per class, bit planes, or polygons of LabelMe.

All become bit masks, uint8 [H,W,B]. The class IGNORED, which `ignore_index` puts behind the others, marks
pixels that do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgeseg.datasets._files import folders_in
from edgeseg.datasets.labelme import inside, read_labelme
from edgeseg.datasets.masks import MASK_SUFFIXES, read_binary, read_planes
from edgeseg.datasets.split import Pixels
from edgeseg.errors import DataError
from edgeseg.runtime.tasks.multilabel import BITS, bytes_of

IGNORED = "ignore"

Files = dict[str, dict[int, Path]]
"""Image -> plane -> its mask."""


def mask_files(folder: Path, names: Sequence[str]) -> Files:
    """The masks `<class>/<image>.png`, or `<image>_<class>.png`, of a folder. A class without a file for an
    image is not there.

    Raises:
        DataError: a folder or a file of a class that is not named, or no mask at all.
    """
    if not folder.is_dir():
        raise DataError(f"the folder {folder} does not exist", hint="give the folder that holds the data")
    plane = {name: index for index, name in enumerate(names)}
    inner = folders_in(folder)
    found: Files = {}
    for path in (p for one in (inner or [folder]) for p in sorted(one.iterdir())):
        if path.suffix.lower() not in MASK_SUFFIXES or path.name.startswith("."):
            continue
        image, name = (path.stem, path.parent.name) if inner else _parted(path.stem, names)
        if name not in plane:
            raise DataError(
                f"{path} is the mask of no class",
                expected=f"folders or endings named {', '.join(names)}",
                hint="correct the classes in dataset.toml, or move it elsewhere",
            )
        found.setdefault(image, {})[plane[name]] = path
    if not found:
        raise DataError(f"the folder {folder} has no mask", expected=f"files ending in {MASK_SUFFIXES[0]}")
    return found


def _parted(stem: str, names: Sequence[str]) -> tuple[str, str]:
    """`a_b_wall` -> (`a_b`, `wall`): the longest name of a class that fits."""
    ends = [name for name in names if stem.endswith(f"_{name}")]
    name = max(ends, key=len, default="")
    return stem.removesuffix(f"_{name}"), name


def from_masks(files: Files, planes: int, path: Path) -> Pixels:
    """Bit masks of an image, by its name at the end of `path`. Raises DataError where sizes differ."""
    label: Pixels | None = None
    for plane, file in files[path.name].items():
        mask = read_binary(file)
        label = np.zeros((*mask.shape, bytes_of(planes)), np.uint8) if label is None else label
        if mask.shape != label.shape[:2]:
            raise DataError(
                f"{file} has {mask.shape[0]}x{mask.shape[1]} pixels, other masks of its image "
                f"{label.shape[0]}x{label.shape[1]}",
                expected="masks of one size",
            )
        label[..., plane // BITS] |= mask.astype(np.uint8) << (plane % BITS)
    assert label is not None
    return label


def from_bits(planes: int, path: Path) -> Pixels:
    """Bit masks of a file whose bit k is class k."""
    found = read_planes(path)
    count = bytes_of(planes)
    if found[..., count:].any():
        raise DataError(
            f"{path} sets bits from {BITS * count} on",
            expected=f"bits 0-{planes - 1}, one for each class",
            hint="correct the classes in dataset.toml",
        )
    missing = max(0, count - found.shape[-1])
    return np.pad(found[..., :count], ((0, 0), (0, 0), (0, missing)))


def from_polygons(names: Sequence[str], path: Path) -> Pixels:
    """Bit masks of the shapes of a file of LabelMe. Raises DataError as `read_labelme` and `inside`."""
    file = read_labelme(path, names)
    label = np.zeros((file.height, file.width, bytes_of(len(names))), np.uint8)
    for shape in file.shapes:
        at = names.index(shape.label)
        label[..., at // BITS] |= inside(shape, file, path) << (at % BITS)
    return label
