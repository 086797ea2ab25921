"""Class maps and bit masks as pictures: coloured, blended over the frame, with a legend.

A uint8 pixel is coloured by a table of 256 colours, one per value, so class ids and multi-label bit
masks take the same road and the table is also the palette of a mask PNG.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeseg.core.model_spec import ModelSpec, default_classes
from edgeseg.core.ports import Array
from edgeseg.core.whole import replacing
from edgeseg.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

VALUES = 256
_ROW, _SWATCH, _GAP = 18, 12, 6
_WRONG, _IGNORED = (230, 30, 60), (0, 0, 0)


def color_table(spec: ModelSpec) -> Array:
    """uint8 [256,3] RGB: the colour of every value a pixel of the class map may have.

    A class id has the colour of its class; a bit mask the mean of the colours of its set bits; values
    that mean nothing (the ignore index too) are black.
    """
    colors = class_colors(spec)
    if spec.task == "multilabel":
        bits = bits_of(np.arange(VALUES, dtype=np.uint8), len(colors))
        return np.asarray(bits @ colors / np.maximum(bits.sum(axis=1, keepdims=True), 1)).astype(np.uint8)
    table = np.zeros((VALUES, 3), np.uint8)
    table[: len(colors)] = colors[:VALUES]
    return table


def class_colors(spec: ModelSpec) -> Array:
    """uint8 [C,3] RGB. A multi-label network has no background class: a class that is black, or has the
    colour of one before it, gets a colour of its own."""
    colors = np.array([c.color for c in spec.classes], np.uint8).reshape(-1, 3)
    if spec.task != "multilabel":
        return colors
    stated = [c.color for c in spec.classes]
    spare = (c.color for c in default_classes(VALUES)[1:] if c.color not in stated)
    for index, color in enumerate(stated):
        if not any(color) or color in stated[:index]:
            colors[index] = next(spare)
    return colors


def colorize(class_map: Array, spec: ModelSpec) -> Array:
    """uint8 [H,W] class ids or bit masks to uint8 [H,W,3] RGB."""
    table: Array = color_table(spec)
    return np.asarray(table[class_map])


def blend(image: Array, class_map: Array, spec: ModelSpec, alpha: float = 0.5) -> Array:
    """Lay the colours of a class map over an image: uint8 [H,W,3] RGB.

    Where the colour is black (a background class, no bit set, nothing known) the image stays as it is.

    Args:
        image: uint8 [H,W,3] RGB; class_map: uint8 [H,W] of the same size.
        alpha: 0 shows the image, 1 the colours.

    Raises:
        InputError: alpha outside 0 to 1, or sizes that differ.
    """
    if not 0.0 <= alpha <= 1.0:
        raise InputError(f"alpha is {alpha}", expected="between 0 (image only) and 1 (colours only)")
    if image.shape[:2] != class_map.shape:
        raise InputError(
            f"an image of {list(image.shape[:2])} and a class map of {list(class_map.shape)}",
            expected="the same height and width",
        )
    colors = colorize(class_map, spec)
    weight = np.where(colors.any(axis=-1, keepdims=True), np.float32(alpha), np.float32(0))
    return np.asarray(np.rint(image + (colors.astype(np.float32) - image) * weight)).astype(np.uint8)


def fractions(class_map: Array, spec: ModelSpec) -> dict[str, float]:
    """Share of the pixels of each class, by name. Shares of a bit mask may add up to more than 1."""
    counts = np.bincount(class_map.reshape(-1), minlength=VALUES)
    if spec.task == "multilabel":
        counts = counts @ bits_of(np.arange(VALUES, dtype=np.uint8), len(spec.classes))
    return {name: float(counts[i] / class_map.size) for i, name in enumerate(spec.class_names)}


def legend(spec: ModelSpec, width: int) -> Array:
    """Class names beside their colours, wrapped to `width`: uint8 [h,width,3]."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default()
    places, x, row = [], _GAP, 0
    for entry, color in zip(spec.classes, class_colors(spec).tolist()):
        length = _SWATCH + _GAP + int(font.getlength(entry.name)) + 2 * _GAP
        if x > _GAP and x + length > width:
            x, row = _GAP, row + 1
        places.append((entry.name, tuple(color), x, row * _ROW + (_ROW - _SWATCH) // 2))
        x += length
    strip = Image.new("RGB", (width, (row + 1) * _ROW), "white")
    draw = ImageDraw.Draw(strip)
    for name, fill, left, top in places:
        draw.rectangle((left, top, left + _SWATCH, top + _SWATCH), fill=fill, outline="black")
        draw.text((left + _SWATCH + _GAP, top), name, fill="black", font=font)
    return np.asarray(strip)


def difference(image: Array, expected: Array, given: Array, ignore_index: int | None = None) -> Array:
    """The image in dim grey, red where two class maps differ, black where the expected one is ignored."""
    grey = image.mean(axis=-1, keepdims=True) * 0.6
    picture = np.repeat(grey, 3, axis=-1).astype(np.uint8)
    picture[expected != given] = _WRONG
    if ignore_index is not None:
        picture[expected == ignore_index] = _IGNORED
    return picture


def side_by_side(panels: tuple[Array, ...], spec: ModelSpec) -> Array:
    """Panels of one size in a row, over the legend."""
    row = np.concatenate(panels, axis=1)
    return np.concatenate([row, legend(spec, row.shape[1])], axis=0)


def write_picture(path: Path, picture: Array) -> None:
    """Write a uint8 [H,W,3] RGB picture. Raises InputError when the file cannot be written."""
    from PIL import Image

    _save(Image.fromarray(picture), path)


def replace_picture(path: Path, picture: Array) -> None:
    """`write_picture` where a picture may be: the new one is there whole or not at all."""
    with _disk_errors(path), replacing(path) as new:
        write_picture(new, picture)


def write_mask(path: Path, class_map: Array, spec: ModelSpec) -> None:
    """Write a class map as a palette PNG: pixels are the ids (or bit masks), the palette their colours."""
    from PIL import Image

    mask = Image.fromarray(class_map)
    mask.putpalette(color_table(spec).tobytes())
    _save(mask, path)


def _save(picture: Image.Image, path: Path) -> None:
    with _disk_errors(path):
        picture.save(path, format="PNG")


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        raise InputError(
            f"{path} could not be written: {fault.strerror or fault}",
            hint="free space or choose another --output",
        ) from fault


def bits_of(values: Array, count: int) -> Array:
    """Values to [len(values), count] of 0 and 1, lowest bit first."""
    return np.asarray(values[:, None] >> np.arange(count, dtype=np.uint8) & 1).astype(np.int64)
