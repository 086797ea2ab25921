"""Masks from files: numbers as they are stored, never turned, scaled or guessed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, TiffImagePlugin

from edgeseg.core.files import require_file
from edgeseg.datasets.decode import is_deep, opened, pages, raw_layout, tell, to_rgb
from edgeseg.datasets.split import Pixels
from edgeseg.errors import DataError

MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".pgm", ".npy")
"""Lossless only: in a JPEG mask new ids appear along every border."""

Color = tuple[int, int, int]

_ONE_CHANNEL = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")
_EQUAL_CHANNELS = ("LA", "PA", "RGB", "RGBA")
_OPAQUE = 255
_ORIENTATION, _PHOTOMETRIC, _WHITE_IS_ZERO = 274, 262, 0
_BACK = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""What undoes each TIFF orientation, which Pillow follows while it loads."""


def read_ids(
    path: Path, palette: Mapping[Color, frozenset[int]] | None = None, *, most: int = 255
) -> NDArray[Any]:
    """The ids of a mask with one channel of any depth, or palette indices, or `.npy`: uint8 [H,W],
    int32 where ids above 255 are allowed.

    Channels that are equal count as one. EXIF is not followed.

    Args:
        palette: which indices may show a colour. Warns when a palette shows only such colours and
            elsewhere, as after a tool has sorted it.
        most: the largest id.

    Raises:
        DataError: missing, broken, several channels or pages, or values that are no ids from 0 to `most`.
    """
    values = _array(path) if path.suffix.lower() == ".npy" else _stored(path, palette or {})
    dtype = np.uint8 if most <= 255 else np.int32
    if values.dtype == np.bool_ or values.dtype == np.uint8:
        return values.astype(dtype)
    fits = (values >= 0) & (values <= most) & (values == np.rint(values))
    if not fits.all():
        row, column = (int(v) for v in np.argwhere(~fits)[0])
        raise DataError(
            f"{path} holds the value {values[row, column]} at row {row}, column {column}",
            expected=f"class ids 0-{most}",
        )
    return values.astype(dtype)


def read_binary(path: Path) -> NDArray[np.bool_]:
    """A mask of one class: 0, and 255 or 1, bool [H,W]. Raises DataError for other values."""
    values = read_ids(path)
    foreign = (values > 1) & (values < 255)
    if foreign.any():
        row, column = (int(v) for v in np.argwhere(foreign)[0])
        raise DataError(
            f"{path} holds the value {int(values[row, column])} at row {row}, column {column}",
            expected="a binary mask: 0 and 255 (or 1)",
            hint="save the mask without smoothing",
        )
    return np.asarray(values > 0)


def read_planes(path: Path) -> Pixels:
    """Bit planes of a mask of 8 or 16 bits, or of a `.npy` that holds such, or bytes uint8 [H,W,B]: uint8
    [H,W,B], low byte first. Raises DataError as `read_ids`."""
    if path.suffix.lower() == ".npy":
        values = _array(path, ranks=(2, 3))
        if values.ndim == 3:
            if values.dtype != np.uint8:
                raise DataError(f"{path} holds {values.dtype}", expected="uint8 [H,W,B]")
            return np.asarray(values)
    whole = read_ids(path, most=(1 << 16) - 1)
    return np.stack([whole & 255, whole >> 8], axis=-1).astype(np.uint8)


def read_colors(path: Path) -> Pixels:
    """RGB pixels of a mask that shows classes as colours, uint8 [H,W,3]. EXIF is not followed."""
    with opened(path) as image:
        _require_one_page(path, image)
        _require_8_bit_colors(path, image)
        return np.array(to_rgb(_as_stored(image)))


def _array(path: Path, ranks: tuple[int, ...] = (2,)) -> NDArray[Any]:
    require_file(path, expected="an array of class ids [H,W]", error=DataError)
    try:
        with path.open("rb") as file:
            values: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    except Exception as fault:  # the header is Python text, which NumPy parses
        raise DataError(
            f"{path} cannot be read as an array: {str(fault)[:200] or type(fault).__name__}",
            expected="an array of class ids [H,W]",
        ) from None
    if values.ndim not in ranks or values.dtype.kind not in "buif":
        raise DataError(
            f"{path} holds {values.dtype} {list(values.shape)}", expected="an array of class ids [H,W]"
        )
    return values


def _stored(path: Path, expected: Mapping[Color, frozenset[int]]) -> NDArray[Any]:
    with opened(path) as image:
        _require_one_page(path, image)
        _require_8_bit_colors(path, image)
        if image.mode not in (*_ONE_CHANNEL, *_EQUAL_CHANNELS):
            raise _kind(path, image.mode)
        if image.mode == "L" and _is_inverted(image):
            raise _kind(path, "L, inverted (white is zero)")
        scale = _scale(image)
        stored = _as_stored(image)
        values: NDArray[Any] = np.array(stored)
        mode, colors = stored.mode, stored.getpalette("RGB") if stored.mode == "P" else None
    if values.ndim == 3:
        opaque = mode == "RGB" or (values[..., -1] == _OPAQUE).all()
        channels = values[..., : len(mode.rstrip("A"))]
        if not opaque or (channels != channels[..., :1]).any():
            raise _kind(path, mode)
        values = channels[..., 0]
    if colors is not None:
        _check_palette(path, values, colors, expected)
    return values if scale is None else np.rint(values * scale)


def _scale(image: ImageFile.ImageFile) -> float | None:
    """Stored over decoded values where Pillow stretches few levels over its own range."""
    layout = (*raw_layout(image), None, None)
    if image.format == "PPM" and image.mode in ("L", "I") and isinstance(layout[1], int):
        return float(layout[1] / (255 if image.mode == "L" else 65535))
    few = re.match(r"L;([24])", str(layout[0]))
    return (2 ** int(few[1]) - 1) / 255 if few else None


def _is_inverted(image: ImageFile.ImageFile) -> bool:
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return False
    return bool(image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO)


def _as_stored(image: ImageFile.ImageFile) -> Image.Image:
    tiff = isinstance(image, TiffImagePlugin.TiffImageFile)
    back = _BACK.get(image.getexif().get(_ORIENTATION, 1)) if tiff else None
    image.load()
    return image if back is None else image.transpose(back)


def _require_one_page(path: Path, image: ImageFile.ImageFile) -> None:
    if (count := pages(image)) > 1:
        raise DataError(f"{path} is a mask of {count} pages", expected="one page of class ids")


def _require_8_bit_colors(path: Path, image: ImageFile.ImageFile) -> None:
    if is_deep(image):
        raise _kind(path, f"{image.mode}, more than 8 bits per channel")


def _check_palette(
    path: Path, values: NDArray[Any], colors: list[int], expected: Mapping[Color, frozenset[int]]
) -> None:
    used = np.flatnonzero(np.bincount(values.reshape(-1))).tolist()
    shown = list(zip(colors[::3], colors[1::3], colors[2::3]))
    meant = [expected.get(shown[i], frozenset()) if i < len(shown) else frozenset() for i in used]
    if all(meant) and any(index not in ids for index, ids in zip(used, meant)):
        tell(
            path,
            "has a palette that shows its indices in the colours of other ids, as if a tool had sorted it; "
            "the indices are used: if the colours are right, save the masks as grey ids",
        )


def _kind(path: Path, mode: str) -> DataError:
    return DataError(
        f"{path} is a mask with pixels of mode {mode}",
        expected="one channel of class ids (or several that are equal, fully opaque), or a palette",
        hint='if the colours stand for classes, write `encoding = "colors"` in dataset.toml',
    )
