"""What was found as pictures: painted by its task, blended over the frame, with a legend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.core.whole import replacing
from edgeseg.datasets.tasks import labels_of
from edgeseg.errors import InputError
from edgeseg.metrics.tasks import metric_of

if TYPE_CHECKING:
    from PIL import Image

_ROW, _SWATCH, _GAP = 18, 12, 6
_WRONG, _IGNORED = (230, 30, 60), (0, 0, 0)


def blend(image: Array, found: Any, spec: ModelSpec, alpha: float = 0.5) -> Array:
    """Lay the colours of what was found over an image, and what words tell of it: uint8 [H,W,3] RGB.

    Where the colour is black (a background class, no bit set, nothing known) the image stays as it is.

    Args:
        image: uint8 [H,W,3] RGB; found: of an image of the same size.
        alpha: 0 shows the image, 1 the colours.

    Raises:
        InputError: alpha outside 0 to 1, or sizes that differ.
    """
    if not 0.0 <= alpha <= 1.0:
        raise InputError(f"alpha is {alpha}", expected="between 0 (image only) and 1 (colours only)")
    colors = labels_of(spec.task).paint(found, spec)
    if image.shape != colors.shape:
        raise InputError(
            f"an image of {list(image.shape[:2])} and a result of {list(colors.shape[:2])}",
            expected="the same height and width",
        )
    weight = np.where(colors.any(axis=-1, keepdims=True), np.float32(alpha), np.float32(0))
    mixed = np.asarray(np.rint(image + (colors.astype(np.float32) - image) * weight)).astype(np.uint8)
    return labels_of(spec.task).write(mixed, found, spec) if alpha else mixed


def fractions(found: Any, spec: ModelSpec) -> dict[str, float]:
    """Share of the pixels of each class, by name. Of classes that overlap they may add up to more than 1."""
    marks = labels_of(spec.task)
    shares = marks.shares(marks.working(found, spec), len(spec.classes))
    return dict(zip(spec.class_names, shares.tolist()))


def legend(spec: ModelSpec, width: int) -> Array:
    """Class names beside their colours, wrapped to `width`: uint8 [h,width,3]."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default()
    places, x, row = [], _GAP, 0
    for entry, color in zip(spec.classes, labels_of(spec.task).colors(spec).tolist()):
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


def difference(
    image: Array, expected: Any, given: Any, spec: ModelSpec, ignore_index: int | None = None
) -> Array:
    """The image in dim grey, red where two results differ, black where a label is ignored. Of results that do
    not speak of pixels red is where one shows something and the other nothing.

    Args:
        expected: the label, which has the value `ignore_index`, or a result.
    """
    grey = image.mean(axis=-1, keepdims=True) * 0.6
    picture = np.repeat(grey, 3, axis=-1).astype(np.uint8)
    marks, wrong = labels_of(spec.task), metric_of(spec).differs(expected, given)
    if wrong is None:
        shown, other = (marks.paint(one, spec).any(axis=-1) for one in (expected, given))
        wrong = shown != other
    picture[wrong] = _WRONG
    picture[marks.ignored(expected, ignore_index)] = _IGNORED
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


def write_mask(folder: Path, name: str, found: Any, spec: ModelSpec, source: str) -> str:
    """Write what was found in the image `source`, as its task does. Returns the name of the file."""
    with _disk_errors(folder / name):
        return labels_of(spec.task).save(folder, name, found, spec, source)


def gather_masks(folder: Path, files: Sequence[str], spec: ModelSpec) -> str:
    """Write one file of all that `write_mask` wrote. Returns its name; empty: the task has no such file."""
    with _disk_errors(folder):
        return labels_of(spec.task).gather(folder, files) if files else ""


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
