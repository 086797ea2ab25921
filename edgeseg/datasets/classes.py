"""Class names, colours and the ignore index: of a built-in layout, or from `dataset.toml` beside the data.

schema_version = 1
encoding = "ids"            # or "colors" (masks show class colours), "binary" (0 and 255); for classes that
                            # overlap "masks" (one per class), "bits", "polygons" (of LabelMe)
task = "instance"           # only where polygons are things that are told apart
ignore_index = 255          # leave out when every pixel counts; may be a class, such as a void one
frame = "gray:uint16:4095"  # only where the images do not tell it: ORDER[:DTYPE[:MAXIMUM]]
sequences = "(.+)_[0-9]+"   # only for frames of videos: the group finds the video in the name of an image

[[classes]]                 # in the order of the ids
name = "road"
color = [128, 64, 128]
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import msgspec

from edgeseg.core.bounds import MOST_CLASSES
from edgeseg.core.documents import read_toml
from edgeseg.core.frame import Frame
from edgeseg.core.model_spec import DEFAULT_TASK, ClassInfo, default_classes
from edgeseg.datasets import DATASETS
from edgeseg.errors import DataError, InputError

DATASET_FILE = "dataset.toml"

Color = tuple[int, int, int]
Encoding = Literal["ids", "colors", "binary", "masks", "bits", "polygons"]
USES: dict[Encoding, tuple[str, ...]] = {
    "masks": ("multilabel",),
    "bits": ("multilabel",),
    "polygons": ("multilabel", "instance"),
}
"""What labels of an encoding may be for, the usual task first; others: DEFAULT_TASK."""
THINGS = ("instance",)
"""Tasks whose labels are things: no pixel is ignored."""


class ClassEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A class in `dataset.toml`. Without a colour it gets one of the PASCAL VOC colour map."""

    name: str
    color: Color | None = None


class DatasetFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`dataset.toml`.

    Attributes:
        encoding: what the masks hold. `ids`: class ids (8 or 16 bits, or palette indices);
            `colors`: the RGB colour of each class; `binary`: 0 and 255 (or 1), for two classes. Where classes
            overlap, `masks`: a binary mask per class, `<class>/<image>.png` or `<image>_<class>.png`; `bits`:
            bit k of a pixel is class k (8 or 16 bits, or `.npy`); `polygons`: shapes in `<image>.json` as
            LabelMe writes them.
        task: what the labels are for, where the encoding leaves a choice: `instance`, polygons as things.
            Empty: the usual task of the encoding.
        ignore_index: label value that is not scored; may be one of the classes. Where classes overlap, that
            or the number right behind them: its bit, or the masks and shapes of the class `ignore`.
        ignore_colors: colours that become `ignore_index`, with `encoding = "colors"`.
        sequences: for frames of videos: a regular expression of the names of images, without their ending,
            whose one group is the video. Empty: no videos, or names of CamVid or Cityscapes, which tell.
        frame: what the images hold, as `Frame.parse` reads it. Empty: what they tell themselves, which is
            never the largest value of a camera of 12 bits, nor the names of more than three channels.
    """

    SCHEMA_VERSION: ClassVar[int] = 1

    schema_version: int
    classes: tuple[ClassEntry, ...]
    ignore_index: int | None = None
    encoding: Encoding = "ids"
    ignore_colors: tuple[Color, ...] = ()
    sequences: str = ""
    frame: str = ""
    task: str = ""

    @property
    def uses(self) -> tuple[str, ...]:
        """What labels of this encoding may be for."""
        return USES.get(self.encoding, (DEFAULT_TASK,))

    @property
    def label_task(self) -> str:
        """What the labels are for."""
        return self.task or self.uses[0]

    def class_infos(self) -> tuple[ClassInfo, ...]:
        spare = default_classes(len(self.classes))
        return tuple(ClassInfo(c.name, c.color or s.color) for c, s in zip(self.classes, spare))


def read_dataset_file(path: Path) -> DatasetFile:
    """Read and check `dataset.toml`. Raises DataError naming the field and what it may be."""
    if not path.is_file():
        raise DataError(
            f"{path} does not exist",
            expected="a TOML file with the classes of the data",
            hint="a folder of COCO is given as coco=FOLDER; else write one: schema_version = 1, "
            'encoding = "ids", "colors" or "binary", ignore_index = 255 '
            'and for each class a table [[classes]] with name = "road" and color = [128, 64, 128]',
        )
    file = read_toml(path, DatasetFile, error=DataError)
    _check(path, file)
    return file


def read_classes(path: Path) -> tuple[tuple[ClassInfo, ...], int | None]:
    """(classes, ignore_index) of a `dataset.toml`."""
    file = read_dataset_file(path)
    return file.class_infos(), file.ignore_index


def classes_of(name_or_path: str | Path) -> tuple[tuple[ClassInfo, ...], int | None]:
    """(classes, ignore_index) of a layout that fixes them, of a TOML file, or of a folder with one.

    Raises:
        DataError: neither a layout nor a file, or a layout whose classes come with the data.
    """
    path = Path(name_or_path)
    if path.is_dir():
        return read_classes(path / DATASET_FILE)
    if path.suffix == ".toml":
        return read_classes(path)
    module = DATASETS.load(str(name_or_path))
    if not hasattr(module, "CLASSES"):
        raise DataError(
            f"the classes of the layout '{name_or_path}' stand beside the data",
            expected=f"its folder or {DATASET_FILE}",
        )
    return module.CLASSES, module.IGNORE_INDEX


def _check(path: Path, file: DatasetFile) -> None:
    count = len(file.classes)
    names = [c.name for c in file.classes]
    colors = [c.color for c in file.class_infos()]
    overlapping = file.encoding in USES
    if file.label_task not in file.uses:
        raise DataError(
            f"{path}: the task is {file.task!r}, with the encoding {file.encoding!r}",
            expected=f"one of {', '.join(file.uses)}",
        )
    if file.label_task in THINGS and file.ignore_index is not None:
        raise DataError(
            f"{path}: ignore_index is {file.ignore_index}, and the labels are things",
            expected="no ignore_index: pixels of no thing are background",
        )
    if not (1 if overlapping else 2) <= count <= MOST_CLASSES:
        least = "1" if overlapping else "2, with background if there is one,"
        raise DataError(f"{path}: there are {count} classes", expected=f"{least} to {MOST_CLASSES:,}")
    for what, values in (("name", names), ("color", colors)):
        twice = [v for i, v in enumerate(values) if v in values[:i]]
        if twice:
            raise DataError(
                f"{path}: two classes have the {what} {twice[0]!r}", expected="a different one for each"
            )
    outside = [c for c in (*colors, *file.ignore_colors) if not all(0 <= v <= 255 for v in c)]
    if outside:
        raise DataError(f"{path}: the color {list(outside[0])} is not RGB", expected="three values 0-255")
    highest = count if overlapping else max(255, count)
    if file.ignore_index is not None and not 0 <= file.ignore_index <= highest:
        raise DataError(
            f"{path}: ignore_index is {file.ignore_index}",
            expected=f"a label value, 0-{highest}: a class that is not scored, or a value outside their ids",
        )
    if file.encoding == "binary" and count != 2:
        raise DataError(f"{path}: binary masks with {count} classes", expected="2 classes, background first")
    stated = _frame(path, file.frame) if file.frame else Frame()
    if stated.order == "bgr" or stated.layout != "packed":
        raise DataError(
            f"{path}: the frame is {file.frame}",
            expected="rgb: that is how images are read, whatever their file holds",
            hint=f"state what the camera delivers with --set frame={file.frame}",
        )
    if file.ignore_colors and (file.ignore_index is None or file.encoding != "colors"):
        raise DataError(
            f"{path}: ignore_colors are given", expected='encoding = "colors" and an ignore_index'
        )


def _frame(path: Path, text: str) -> Frame:
    try:
        return Frame.parse(text)
    except InputError as fault:
        raise DataError(f"{path}: {fault.message}", expected=fault.expected) from None
