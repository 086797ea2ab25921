"""Reading images and masks from files, and pairing them by name."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgeseg.core.model_spec import ClassInfo
from edgeseg.datasets.sequences import NameOf, known_sequences
from edgeseg.datasets.split import Pixels, Split
from edgeseg.errors import DataError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm")
MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".pgm")
"""Lossless only: in a JPEG mask new ids appear along every border."""

MAX_PIXELS = 100_000_000

Pair = tuple[Path, Path]

_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    MemoryError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def read_image(path: Path) -> Pixels:
    """RGB pixels, uint8 [H,W,3]. Raises DataError for what is missing, broken, huge or not 8 bits deep."""
    image = _decoded(path)
    if image.mode.startswith(("I", "F")):
        raise DataError(
            f"{path} has pixels of mode {image.mode}",
            expected="8 bits per channel",
            hint="convert the image to 8 bits",
        )
    return np.array(image.convert("RGB"))


def read_ids(path: Path) -> Pixels:
    """The ids of a one-channel mask (8 or 16 bits, 1 bit, or palette indices), uint8 [H,W]."""
    image = _decoded(path)
    if image.mode not in ("L", "P", "1", "I", "I;16", "I;16B"):
        raise DataError(
            f"{path} is a mask with pixels of mode {image.mode}",
            expected="one channel of class ids, or a palette",
            hint='if the colours stand for classes, write `encoding = "colors"` in dataset.toml',
        )
    values: NDArray[Any] = np.array(image)
    if values.dtype != np.uint8 and values.dtype != np.bool_:
        worst = int(values.max() if values.max() > 255 else values.min())
        if not 0 <= worst <= 255:
            row, column = (int(v) for v in np.argwhere(values == worst)[0])
            raise DataError(
                f"{path} holds the value {worst} at row {row}, column {column}", expected="class ids 0-255"
            )
    return values.astype(np.uint8)


def read_colors(path: Path) -> Pixels:
    """RGB pixels of a mask that shows classes as colours, uint8 [H,W,3]."""
    return np.array(_decoded(path).convert("RGB"))


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) from the header."""
    with _opened(path) as image:
        return image.height, image.width


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


def file_split(
    dataset: str,
    name: str,
    pairs: Mapping[str, Pair],
    classes: tuple[ClassInfo, ...],
    ignore_index: int | None,
    decode: Callable[[Path], Pixels],
    sequence: NameOf | None = None,
) -> Split:
    """A split of files.

    Args:
        decode: turns the file of a mask into class ids, uint8 [H,W].
        sequence: the video an image comes from; None: where the file names tell.
    """
    return Split(
        dataset=dataset,
        name=name,
        ids=tuple(pairs),
        classes=classes,
        ignore_index=ignore_index,
        read_image=partial(_read_image, pairs),
        read_label=partial(_read_label, pairs, decode),
        where=partial(_mask_name, pairs),
        sequence=sequence or known_sequences(pairs),
        threads=os.cpu_count() or 1,
    )


def _read_image(pairs: Mapping[str, Pair], identity: str) -> Pixels:
    return read_image(pairs[identity][0])


def _read_label(pairs: Mapping[str, Pair], decode: Callable[[Path], Pixels], identity: str) -> Pixels:
    image, mask = pairs[identity]
    label = decode(mask)
    size = image_size(image)
    if label.shape != size:
        raise DataError(
            f"{mask} has {label.shape[0]}x{label.shape[1]} pixels, its image {image} has {size[0]}x{size[1]}",
            expected="a mask of the same height and width as its image",
            hint="export the mask again at the size of the image",
        )
    return label


def _mask_name(pairs: Mapping[str, Pair], identity: str) -> str:
    return str(pairs[identity][1])


def _opened(path: Path) -> Image.Image:
    try:
        image = Image.open(path)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except _BROKEN as fault:
        raise _unreadable(path, fault) from None
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise DataError(
            f"{path} claims {image.height}x{image.width} pixels", expected=f"at most {MAX_PIXELS} pixels"
        )
    return image


def _decoded(path: Path) -> Image.Image:
    with _opened(path) as image:
        try:
            image.load()
        except _BROKEN as fault:
            raise _unreadable(path, fault) from None
        return image


def _unreadable(path: Path, fault: BaseException) -> DataError:
    return DataError(
        f"{path} cannot be read as an image: {fault}",
        expected="a whole image file",
        hint="copy or export the file again, or remove it from the folder",
    )
