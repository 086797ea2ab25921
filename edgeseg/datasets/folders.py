"""`folders`: images and masks in folders, paired by name, with a `dataset.toml` beside them.

    root/dataset.toml
    root/images/train/a.jpg  root/masks/train/a.png      one folder per split
    root/train/a.jpg         root/trainannot/a.png       the same; also train_masks, train_labels
    root/images/a.jpg        root/masks/a.png            one split, `all`
    root/train/a.jpg         root/train/a.json           polygons, as LabelMe writes them
    root/a.jpg               root/a.json                 the same in one split, `all`

`labels` and `annotations` serve as `masks` do; a mask may end in `_mask`. How labels of classes that
overlap lie in such a folder, `overlapping` says. One split of things is parted: see `quarters`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from edgeseg.core.frame import Frame
from edgeseg.datasets._files import (
    Decode,
    file_split,
    folders_in,
    images_in,
    paired,
    require_any,
    require_root,
)
from edgeseg.datasets.classes import DATASET_FILE, THINGS, DatasetFile, read_dataset_file
from edgeseg.datasets.labelme import things_from_polygons
from edgeseg.datasets.masks import MASK_SUFFIXES, Color, read_colors, read_ids
from edgeseg.datasets.overlapping import IGNORED, from_bits, from_masks, from_polygons, mask_files
from edgeseg.datasets.quarters import ALL, quarter_names, quartered
from edgeseg.datasets.sequences import stated_sequences
from edgeseg.datasets.split import Pixels, Split, require_split
from edgeseg.datasets.tasks.multilabel import planes_of
from edgeseg.errors import DataError

NAMES = ("folders",)

_SHAPES: dict[str, Callable[[list[str], Path], Any]] = {
    "multilabel": from_polygons,
    "instance": things_from_polygons,
}
_MASK_FOLDERS = ("masks", "labels", "annotations")
_MASK_ENDINGS = ("annot", "_annot", "_masks", "_labels", "_mask", "_label")
_EXPECTED = (
    "images/<split> + masks/<split>, <split> + <split>annot, or images + masks; files of LabelMe may lie "
    "beside their images"
)


def dataset(name: str, root: Path | None = None) -> Folders:
    """Open a folder of images and masks. Raises DataError when the layout or `dataset.toml` is wrong."""
    return Folders(require_root(root, name, expected=f"a folder with {_EXPECTED} and {DATASET_FILE}"))


class Folders:
    name = NAMES[0]

    def __init__(self, root: Path) -> None:
        self.root = root
        file = read_dataset_file(root / DATASET_FILE)
        self.classes = file.class_infos()
        self.ignore_index = file.ignore_index
        self.task = file.label_task
        self._file = file
        self._sequences = file.sequences
        self._frame = Frame.parse(file.frame) if file.frame else None
        self._folders = _find_splits(root) or (_beside(root) if file.encoding == "polygons" else {})
        names = require_any(self._folders, root, expected=_EXPECTED)
        parted = names == (ALL,) and self.task in THINGS
        self._names = quarter_names(len(self._whole)) if parted else names

    def splits(self) -> tuple[str, ...]:
        return self._names

    def split(self, name: str) -> Split:
        require_split(name, self._names, where=str(self.root))
        if self._names == tuple(self._folders):
            return self._of_folder(name)
        return replace(self._whole, name=name, ids=quartered(self._whole.ids, name))

    @cached_property
    def _whole(self) -> Split:
        return self._of_folder(ALL)

    def _of_folder(self, name: str) -> Split:
        images, masks = self._folders[name]
        found, decode, expected = _labels(self._file, masks)
        pairs = paired(images_in(images), found, expected=f"in {masks}, {expected}")
        told = self._sequences
        sequence = stated_sequences(told, pairs, where=str(self.root / DATASET_FILE)) if told else None
        split = file_split(
            self.name, name, pairs, self.classes, self.ignore_index, decode, sequence, self.task
        )
        return replace(split, frame=self._frame)


def _find_splits(root: Path) -> dict[str, tuple[Path, Path]]:
    """Split -> folders of its images and masks."""
    for word in _MASK_FOLDERS:
        images, masks = root / "images", root / word
        if images.is_dir() and masks.is_dir():
            inner = [f.name for f in folders_in(images)]
            if not inner:
                return {ALL: (images, masks)}
            return {name: (images / name, masks / name) for name in inner}
    found = {}
    for folder in folders_in(root):
        beside = (root / f"{folder.name}{end}" for end in _MASK_ENDINGS)
        partner = next((f for f in beside if f.is_dir()), None)
        if partner is not None:
            found[folder.name] = (folder, partner)
    return found


def _beside(root: Path) -> dict[str, tuple[Path, Path]]:
    """The same where a file of shapes lies beside its image."""
    found = {folder.name: (folder, folder) for folder in folders_in(root) if any(folder.glob("[!.]*.json"))}
    return found or ({ALL: (root, root)} if any(root.glob("[!.]*.json")) else {})


def _labels(file: DatasetFile, folder: Path) -> tuple[dict[str, Path], Decode, str]:
    """Image -> the file of its label, what reads that, and what should be there, in words."""
    if file.encoding in ("masks", "polygons"):
        names = [entry.name for entry in file.classes]
        if file.ignore_index == len(names):
            names.append(IGNORED)
        if file.encoding == "polygons":
            found = images_in(folder, (".json",))
            decode = _SHAPES[file.label_task]
            return found, partial(decode, names), "a .json with the name of each image"
        files = mask_files(folder, names)
        places = {name: folder / name for name in files}
        return places, partial(from_masks, files, len(names)), "masks with the name of each image"
    found = images_in(folder, MASK_SUFFIXES, strip="_mask")
    return found, _decoder(file), f"a mask with the name of each image ({', '.join(MASK_SUFFIXES)})"


def _decoder(file: DatasetFile) -> Decode:
    """What turns the file of a mask into a label."""
    if file.encoding == "bits":
        return partial(from_bits, planes_of(len(file.classes), file.ignore_index))
    if file.encoding == "ids":
        most = max(len(file.classes) - 1, file.ignore_index or 0)
        return partial(read_ids, palette=_palette(file), most=max(255, most))
    if file.encoding == "binary":
        return partial(_from_binary, file.ignore_index)
    ids = {info.color: index for index, info in enumerate(file.class_infos())}
    if file.ignore_index is not None:
        ids.update(dict.fromkeys(file.ignore_colors, file.ignore_index))
    return partial(_from_colors, ids)


def _palette(file: DatasetFile) -> dict[Color, frozenset[int]]:
    """Which ids a colour in the palette of a mask may stand for: its class, or its grey value."""
    count, ignored = len(file.classes), file.ignore_index
    found = {(i, i, i): frozenset({i}) for i in (*range(count), *(() if ignored is None else (ignored,)))}
    for index, info in enumerate(file.class_infos()):
        found[info.color] = found.get(info.color, frozenset()) | {index}
    return found


_BINARY_PALETTE = {
    (0, 0, 0): frozenset({0}),
    (1, 1, 1): frozenset({1}),
    (255, 255, 255): frozenset({1, 255}),
}


def _from_binary(ignore_index: int | None, path: Path) -> Pixels:
    """0 is background, the other value (255 or 1) foreground; `ignore_index` is kept unless it is 255."""
    values = read_ids(path, palette=_BINARY_PALETTE)
    ignored = values == ignore_index if ignore_index not in (None, 255) else np.zeros(values.shape, bool)
    foreign = ~ignored & (values > 1) & (values < 255)
    if foreign.any():
        row, column = (int(v) for v in np.argwhere(foreign)[0])
        raise DataError(
            f"{path} holds the value {int(values[row, column])} at row {row}, column {column}",
            expected="a binary mask: 0 and 255 (or 1)",
            hint='save the mask without smoothing, or write `encoding = "ids"` in dataset.toml',
        )
    return np.where(ignored, values, values > 0).astype(np.uint8)


def _from_colors(ids: dict[tuple[int, int, int], int], path: Path) -> Pixels:
    rgb = read_colors(path).astype(np.int32)
    packed = (rgb[..., 0] << 16) | (rgb[..., 1] << 8) | rgb[..., 2]
    known = np.array([(r << 16) | (g << 8) | b for r, g, b in ids], np.int32)
    order = np.argsort(known)
    place = np.minimum(np.searchsorted(known[order], packed), len(known) - 1)
    found = order[place]
    foreign = known[found] != packed
    if foreign.any():
        row, column = (int(v) for v in np.argwhere(foreign)[0])
        raise DataError(
            f"{path} holds the color {rgb[row, column].tolist()} at row {row}, column {column}",
            expected="only colors of the classes in dataset.toml",
            hint="add the color to the classes, or to ignore_colors",
        )
    dtype: Any = np.uint8 if max(ids.values()) <= 255 else np.int32
    return np.asarray(np.array(list(ids.values()), dtype)[found])
