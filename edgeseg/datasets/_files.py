"""Images and masks of folders, paired by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from edgeseg.core.model_spec import DEFAULT_TASK, ClassInfo
from edgeseg.datasets.decode import read_image
from edgeseg.datasets.sequences import NameOf, known_sequences
from edgeseg.datasets.split import Pixels, Split
from edgeseg.datasets.tasks import labels_of
from edgeseg.errors import DataError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".npy")
Pair = tuple[Path, Path]
Decode = Callable[[Path], Any]
"""What turns the file of a mask into a label of its task."""


def images_in(
    folder: Path, suffixes: tuple[str, ...] = IMAGE_SUFFIXES, *, strip: str = ""
) -> dict[str, Path]:
    """Images of a folder by stem, sorted; `strip` is removed from the end of a stem.

    Raises:
        DataError: the folder is missing or has no image, or two files share a stem.
    """
    if not folder.is_dir():
        raise DataError(f"the folder {folder} does not exist", hint="give the folder that holds the data")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in suffixes or path.name.startswith("."):
            continue
        stem = path.stem.removesuffix(strip)
        if stem in found:
            raise DataError(
                f"{found[stem]} and {path} have the same name",
                expected="one file per name, because images and masks are paired by name",
                hint="rename one of them",
            )
        found[stem] = path
    if not found:
        raise DataError(
            f"the folder {folder} has no image", expected=f"files ending in {', '.join(suffixes)}"
        )
    return found


def paired(images: Mapping[str, Path], masks: Mapping[str, Path], *, expected: str) -> dict[str, Pair]:
    """Image and mask by stem. Raises DataError naming the images without a mask."""
    missing = [str(path) for stem, path in images.items() if stem not in masks]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(images)} images have no mask: {', '.join(missing[:5])}",
            expected=expected,
            hint="add the masks, or move these images elsewhere",
        )
    return {stem: (path, masks[stem]) for stem, path in images.items()}


def require_root(root: Path | None, layout: str, *, expected: str) -> Path:
    """Raise DataError when no folder was given or it does not exist."""
    if root is None:
        raise DataError(
            f"the layout '{layout}' needs a folder", expected=expected, hint="give the folder of the data"
        )
    if not root.is_dir():
        raise DataError(f"the folder {root} does not exist", expected=expected)
    return root


def require_any(splits: Iterable[str], root: Path, *, expected: str) -> tuple[str, ...]:
    """The splits as a tuple. Raises DataError when there are none."""
    found = tuple(splits)
    if not found:
        raise DataError(f"{root} holds no images and masks in this layout", expected=expected)
    return found


def folders_in(root: Path) -> list[Path]:
    """The folders right inside `root`, sorted, without hidden ones such as `.ipynb_checkpoints`."""
    return sorted(f for f in root.iterdir() if f.is_dir() and not f.name.startswith("."))


def file_split(
    dataset: str,
    name: str,
    pairs: Mapping[str, Pair],
    classes: tuple[ClassInfo, ...],
    ignore_index: int | None,
    decode: Decode,
    sequence: NameOf | None = None,
    task: str = DEFAULT_TASK,
) -> Split:
    """A split of files.

    Args:
        decode: into labels of the `task`, as in uint8 [H,W].
        sequence: the video an image comes from; None: where the file names tell.
    """
    files = _Files(pairs, decode, task)
    return Split(
        dataset=dataset,
        name=name,
        ids=tuple(pairs),
        classes=classes,
        ignore_index=ignore_index,
        read_image=files.image,
        read_label=files.label,
        where=files.mask_name,
        sequence=sequence or known_sequences(pairs),
        threads=os.cpu_count() or 1,
        task=task,
    )


class _Files:
    """Images and their masks. Sizes of images are kept: a header does not always tell how one is turned."""

    def __init__(self, pairs: Mapping[str, Pair], decode: Decode, task: str) -> None:
        self._pairs = pairs
        self._decode = decode
        self._marks = labels_of(task)
        self._sizes: dict[str, tuple[int, ...]] = {}

    def image(self, identity: str) -> Pixels:
        pixels = read_image(self._pairs[identity][0])
        self._sizes[identity] = pixels.shape[:2]
        return pixels

    def label(self, identity: str) -> Any:
        image, mask = self._pairs[identity]
        label = self._decode(mask)
        size = self._sizes.get(identity) or self.image(identity).shape[:2]
        given = self._marks.size(label)
        if given != size:
            raise DataError(
                f"{mask} has {given[0]}x{given[1]} pixels, its image {image} has {size[0]}x{size[1]}",
                expected="a mask of the same height and width as its image, turned as its EXIF tells",
                hint="export the mask again at the size of the image",
            )
        return label

    def mask_name(self, identity: str) -> str:
        return str(self._pairs[identity][1])
