"""Images without labels: one file, or the layout `images`, a flat folder in natural order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from edgeseg.core.model_spec import ClassInfo
from edgeseg.core.ports import Array
from edgeseg.datasets._files import IMAGE_SUFFIXES, require_root
from edgeseg.datasets.decode import read_image
from edgeseg.datasets.sequences import NameOf, known_sequences
from edgeseg.datasets.split import Read, Split, require_split
from edgeseg.errors import DataError

NAMES = ("images",)


def dataset(name: str, root: Path | None = None) -> ImageFolder:
    return ImageFolder(require_root(root, name, expected="a folder of images"))


class ImageFolder:
    """Images to calibrate and to compare with, in one split `images`; the network tells the classes.

    Attributes:
        name: of the folder, as calibration lists note it.
    """

    classes: tuple[ClassInfo, ...] = ()
    ignore_index: int | None = None

    def __init__(self, root: Path) -> None:
        self._files = image_files(root)
        self.name = root.resolve().name

    def splits(self) -> tuple[str, ...]:
        return NAMES

    def split(self, name: str) -> Split:
        require_split(name, NAMES, where=self.name)
        return unlabelled(self.name, name, self._files.ids, self._files.read)


def unlabelled(
    dataset: str, name: str, ids: tuple[str, ...], read: Read, sequence: NameOf | None = None
) -> Split:
    """A split whose labels cannot be asked for; `sequence` as in `file_split`."""
    return Split(
        dataset=dataset,
        name=name,
        ids=ids,
        classes=(),
        ignore_index=None,
        read_image=read,
        read_label=_no_label,
        sequence=sequence or known_sequences(ids),
    )


def _no_label(name: str) -> Array:
    raise DataError(f"the image '{name}' has no label", expected="labelled images: --data NAME[=ROOT]")


@dataclass(frozen=True)
class ImageFiles:
    """Image files in the order they are worked on."""

    paths: tuple[Path, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(path.name for path in self.paths)

    @property
    def sequences(self) -> tuple[str, ...]:
        """The video each image comes from, as its name tells; empty where nothing tells."""
        name_of = known_sequences(self.ids)
        return () if name_of is None else tuple(map(name_of, self.ids))

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, name: str) -> Array:
        """The image of an id. See `image`."""
        return self.image(self._places[name])

    @cached_property
    def _places(self) -> dict[str, int]:
        return dict(zip(self.ids, range(len(self.paths))))

    def image(self, index: int) -> Array:
        """[H,W,C], see `read_image`. Raises DataError naming a file that is not a readable image."""
        return read_image(self.paths[index])


def image_files(source: Path, limit: int = 0) -> ImageFiles:
    """The image `source`, or the images right inside the folder `source` (`frame2` before `frame10`).

    Args:
        limit: only the first N images; 0: all.

    Raises:
        DataError: nothing is there, or the folder holds no image.
    """
    if limit < 0:
        raise DataError(f"a limit of {limit} images was given", expected="a number from 0 (all) up")
    if source.is_file():
        return ImageFiles((source,))
    if not source.is_dir():
        raise DataError(f"{source} does not exist", expected="an image or a folder of images")
    found = [p for p in source.iterdir() if _is_image(p)]
    if not found:
        raise DataError(
            f"{source} holds no images",
            expected=f"files ending in {', '.join(IMAGE_SUFFIXES)} right inside the folder",
            hint="folders inside it are not searched: name the one that holds the images",
        )
    found.sort(key=lambda path: (natural_key(path.name.lower()), path.name))
    return ImageFiles(tuple(found[:limit] if limit else found))


def _is_image(path: Path) -> bool:
    """Hidden files are none: beside `a.png`, macOS leaves notes called `._a.png`."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key by which `frame2` comes before `frame10`."""
    parts = re.findall(r"\d+|\D+", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
