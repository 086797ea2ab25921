"""`coco`: images with a file of labels as COCO writes it, things with polygons or runs as masks.

    root/annotations/instances_train2017.json   root/train2017/a.jpg           the split `train`
    root/annotations/train.json                 root/images/train/a.jpg        the same; also root/images
    root/train/_annotations.coco.json           root/train/a.jpg               the same; `valid` is `val`
    root/annotations.json                       root/images/a.jpg              one split, parted by `quarters`

Lin et al., "Microsoft COCO: Common Objects in Context", 2014.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path, PureWindowsPath

from edgeseg.core.files import require_file
from edgeseg.core.instances import Instances
from edgeseg.core.model_spec import ClassInfo, default_classes
from edgeseg.datasets._coco import CocoFile
from edgeseg.datasets._files import file_split, folders_in, require_root
from edgeseg.datasets.quarters import ALL, TRAIN, VALIDATION, quarter_names, quartered
from edgeseg.datasets.split import Split, require_split
from edgeseg.errors import DataError

NAMES = ("coco",)

_EXPECTED = "annotations/*.json, <split>/_annotations.coco.json, or one .json beside the images"
_OFFICIAL = "instances_"
_KNOWN = {
    "train": TRAIN,
    "training": TRAIN,
    "val": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "test": "test",
    "testing": "test",
}
_NO_NAME = {"", "instances", "annotations", "annotation", "coco", "default", "labels", "result", "data"}
_YEAR = re.compile(r"(?:19|20)\d\d$")
_LOOKED_AT = 20
"""So many images tell in which folder they are."""


def dataset(name: str, root: Path | None = None) -> Coco:
    """Open a folder of COCO. Raises DataError when it holds no labels, or such as do not fit."""
    return Coco(require_root(root, name, expected=f"a folder with {_EXPECTED}"))


class Coco:
    """
    Attributes:
        classes: the categories by their ids, which are the same in all files.
    """

    name = NAMES[0]
    ignore_index: int | None = None

    def __init__(self, root: Path) -> None:
        self.root = root
        self._paths = _named(_found(root))
        self._read = cache(CocoFile)
        self._smallest = min(self._paths.values(), key=lambda path: require_file(path, error=DataError))
        names = tuple(self._read(self._smallest).categories.values())
        colors = default_classes(len(names) + 1)[1:]
        self.classes = tuple(ClassInfo(name, info.color) for name, info in zip(names, colors))
        splits = tuple(self._paths)
        parted = splits in ((ALL,), (TRAIN,))
        self._names = quarter_names(len(self._whole)) if parted else splits

    def splits(self) -> tuple[str, ...]:
        return self._names

    def split(self, name: str) -> Split:
        require_split(name, self._names, where=str(self.root))
        if self._names == tuple(self._paths):
            return self._of_file(name)
        return replace(self._whole, name=name, ids=quartered(self._whole.ids, name))

    @cached_property
    def _whole(self) -> Split:
        """The images of the only file."""
        return replace(self._of_file(next(iter(self._paths))), name=ALL)

    def _of_file(self, name: str) -> Split:
        path = self._paths[name]
        file = self._read(path)
        if file.categories != self._read(self._smallest).categories:
            raise DataError(
                f"{path} and {self._smallest} have different categories",
                expected="the same ids and names in all files of a folder",
            )
        images = {image.file_name: image for image in file.images}
        stems = {named: Path(named).stem for named in images}
        ids = stems if len(set(stems.values())) == len(stems) else {named: named for named in stems}
        places = _places(file, _folders(self.root, path, name))
        pairs = {ids[named]: (places[named], Path(f"{path}, {named}")) for named in images}
        labels = {label: images[named] for named, (_, label) in zip(images, pairs.values())}

        def things(label: Path) -> Instances:
            return file.things(labels[label])

        return file_split(self.name, name, pairs, self.classes, None, things, task="instance")


def _found(root: Path) -> list[Path]:
    """Files of labels."""
    inner = _json_in(root / "annotations")
    official = [path for path in inner if path.name.startswith(_OFFICIAL)]
    each = [files[0] for files in map(_json_in, folders_in(root)) if len(files) == 1]
    found = official or inner or each or _json_in(root)
    if not found:
        raise DataError(f"{root} holds no labels of COCO", expected=_EXPECTED)
    return found


def _json_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("[!.]*.json")) if folder.is_dir() else []


def _named(paths: list[Path]) -> dict[str, Path]:
    """By the name of the split; where two have the same, by that of the file."""
    names = [_split_of(path) for path in paths]
    return {name if names.count(name) == 1 else _words(path): path for name, path in zip(names, paths)}


def _split_of(path: Path) -> str:
    """
    >>> [_split_of(Path(name)) for name in ("instances_val2017.json", "beets_train.json", "annotations.json")]
    ['val', 'train', 'all']
    >>> _split_of(Path("data/valid/_annotations.coco.json"))
    'val'
    """
    words = [_YEAR.sub("", word) for word in re.split(r"[_.\-]+", path.stem.lower())]
    known = [_KNOWN[word] for word in words if word in _KNOWN]
    if len(known) == 1:
        return known[0]
    rest = [word for word in words if word not in _NO_NAME]
    if rest:
        return "-".join(rest)
    return _KNOWN.get(path.parent.name.lower(), ALL)


def _words(path: Path) -> str:
    return path.stem.removeprefix(_OFFICIAL)


def _folders(root: Path, path: Path, split: str) -> Iterator[Path]:
    """Where the images of a file may be, the likeliest place first."""
    names = dict.fromkeys((_words(path), split))
    yield from (root / name for name in names)
    yield from (root / "images" / name for name in names)
    yield from (path.parent, path.parent / "images", root / "images", root / "data", root)


def _places(file: CocoFile, folders: Iterator[Path]) -> dict[str, Path]:
    """File name -> path, in the first folder that has some of the images.

    Raises:
        DataError: an image is nowhere.
    """
    tried = []
    for folder in folders:
        # Some tools write where the images lay on the machine of the labels.
        for short in (False, True):
            places = {
                image.file_name: folder / (_last(image.file_name) if short else image.file_name)
                for image in file.images
            }
            if any(_is_file(place) for place in list(places.values())[:_LOOKED_AT]):
                missing = [str(place) for place in places.values() if not _is_file(place)]
                if missing:
                    raise DataError(
                        f"{len(missing)} of {len(places)} images of {file.path} are missing: "
                        f"{', '.join(missing[:5])}",
                        expected="the image of each entry",
                        hint="add the images, or remove their entries and annotations",
                    )
                return places
        tried.append(str(folder))
    raise DataError(
        f"the images of {file.path} are missing, such as {file.images[0].file_name}",
        expected=f"them in one of {', '.join(dict.fromkeys(tried))}",
    )


def _last(name: str) -> str:
    """The name of a file without its folders, of whatever system."""
    return PureWindowsPath(name).name


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, a null character
        return False
