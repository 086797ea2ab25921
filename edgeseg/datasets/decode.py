"""The one place that opens image files: training, calibration, `verify` and `predict` see the same pixels."""

from __future__ import annotations

import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile, ImageOps, TiffImagePlugin

from edgeseg.core.files import require_file
from edgeseg.datasets.deep import ARRAY, read_array, read_deep
from edgeseg.datasets.split import Pixels
from edgeseg.errors import DataError, EdgesegWarning

MAX_PIXELS = 100_000_000

_GRAY = ("1", "L", "LA", "La")
ORIENTATION = 0x0112
"""Of EXIF: how the camera was held."""

_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, OverflowError)
_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)

_TIFF_BITS, _TIFF_SUBFILE = 258, 254
_NOT_A_PAGE = 0b101
"""Bits of a TIFF's subfile type: a smaller version of another page, a transparency mask."""

_told: set[tuple[Path, str]] = set()


def read_image(path: Path) -> Pixels:
    """Pixels as the file holds them: [H,W,1] grey or [H,W,3] RGB in uint8, uint16 or float32, turned as the
    EXIF orientation says, without transparency; of a `.npy` [H,W] or [H,W,C] with any number of channels.

    Warns once per folder of images of more than one page, of which the first is used.

    Raises:
        DataError: missing, broken, huge, or integers of more than 16 bits.
        MissingDependency: colours of 16 bits, without OpenCV.
    """
    if path.suffix.lower() == ARRAY:
        return read_array(path)
    with opened(path) as image:
        if (count := pages(image)) > 1:
            tell(path, f"holds {count} pages, of which the first is used")
        if is_deep(image):
            return read_deep(path, image.getexif().get(ORIENTATION, 1))
        mode = image.mode
        turned = ImageOps.exif_transpose(image)
        if mode in _GRAY:
            turned.info.pop("transparency", None)
            return np.array(turned.convert("L"))[..., None]
        if mode.startswith("I"):
            return _of_16_bits(np.array(turned), path)[..., None]
        return np.array(turned)[..., None] if mode == "F" else np.array(to_rgb(turned))


def _of_16_bits(values: Pixels, path: Path) -> Pixels:
    if values.size and (values.min() < 0 or values.max() > np.iinfo(np.uint16).max):
        raise DataError(
            f"{path} holds values from {values.min()} to {values.max()}",
            expected="integers of 8 or 16 bits without a sign, or float32",
            hint="convert the image",
        )
    return values.astype(np.uint16)


@contextmanager
def opened(path: Path) -> Iterator[ImageFile.ImageFile]:
    """An image file, its pixels not yet read. What cannot be decoded within the block is a DataError."""
    require_file(path, expected="an image file", error=DataError)
    try:
        # Not by path: Pillow 13 maps a file that it opened itself with the sides of a turned TIFF swapped.
        with path.open("rb") as file, Image.open(file) as image:
            if image.width * image.height > MAX_PIXELS:
                raise _too_large(path, image.width * image.height)
            yield image
    except _BOMB as fault:
        told = re.search(r"(\d+) pixels", str(fault))
        raise _too_large(path, int(told[1]) if told else 0) from None
    except MemoryError:
        raise _too_large(path) from None
    except _BROKEN as fault:
        raise DataError(
            f"{path} cannot be read as an image: {fault}",
            expected="a whole image file",
            hint="copy or export the file again, or remove it from the folder",
        ) from None


def to_rgb(image: Image.Image) -> Image.Image:
    """The colours of an image, without its transparency."""
    image.info.pop("transparency", None)
    return image.convert("RGB")


def raw_layout(image: ImageFile.ImageFile) -> tuple[Any, ...]:
    """How the pixels of an image, not yet loaded, will be unpacked: Pillow's raw mode and what follows it."""
    args = image.tile[0][3] if image.tile else ()
    return args if isinstance(args, tuple) else (args,)


def is_deep(image: ImageFile.ImageFile) -> bool:
    """Whether an image, not yet loaded, has several channels of over 8 bits: Pillow keeps the upper 8."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        bits = image.tag_v2.get(_TIFF_BITS, (1,))
        return len(bits) > 1 and max(bits) > 8
    raw, *rest = *raw_layout(image), ""
    if image.format == "PPM":
        return raw == "RGB" and bool(rest[0]) and int(rest[0]) > 255
    return re.match(r"(LA|RGB[AX]?);16", str(raw)) is not None


def pages(image: ImageFile.ImageFile) -> int:
    """How many pictures a file holds, without previews and smaller versions of them."""
    count: int = getattr(image, "n_frames", 1)
    if count == 1 or image.format == "MPO":
        return 1
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return count
    found = 0
    for page in range(count):
        image.seek(page)
        found += not image.tag_v2.get(_TIFF_SUBFILE, 0) & _NOT_A_PAGE
    image.seek(0)
    return found


def tell(path: Path, what: str) -> None:
    """Warn of the first file of a folder of which this is true."""
    if (path.parent, what) not in _told:
        _told.add((path.parent, what))
        warnings.warn(f"{path} {what} (told once per folder)", EdgesegWarning, stacklevel=3)


def _too_large(path: Path, pixels: int = 0) -> DataError:
    """`pixels`: as the file states them; 0: the memory does not hold them."""
    return DataError(
        f"{path} has {pixels / 1e6:.0f} megapixels" if pixels else f"{path} is larger than the free memory",
        expected=f"an image of at most {MAX_PIXELS // 10**6} megapixels",
        hint="scale the image down, or cut it into tiles",
    )
