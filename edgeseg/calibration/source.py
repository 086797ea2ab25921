"""Where calibration images come from: a labelled split, a folder of images, or the frames of a video."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec

from edgeseg.core.calibration import CalibrationList
from edgeseg.core.ports import Array, Progress, silent
from edgeseg.core.recipe import DataChoice
from edgeseg.core.samples import SampleList
from edgeseg.datasets import Dataset, Split, open_dataset
from edgeseg.datasets.calibration import listed_images, require_dataset
from edgeseg.datasets.choice import parse_data
from edgeseg.datasets.images import ImageFolder, image_files, unlabelled
from edgeseg.errors import DataError, InputError
from edgeseg.prediction.video import VIDEOS, VideoReader

FOLDER, VIDEO = "images", "frames"
"""Names of the one split of a folder without labels and of a video."""

VALIDATION = DataChoice().validation


def open_source(data: str, images: str, split: str, *, every: int = 1) -> Split:
    """The images to choose from or to check. `classes` is empty where there are no labels.

    Args:
        data: labelled images in the words of `--data`; or
        images: a folder of images, or a video.
        split: of the data; empty: `train`, or the only one.
        every: only each Nth image or frame, from the first on.

    Raises:
        InputError: not exactly one of `data` and `images`.
        DataError: nothing there, or nothing that can be read.
        MissingDependency: a video without OpenCV.
    """
    if bool(data) == bool(images):
        raise InputError(
            "calibrate got both --data and --images" if data else "calibrate got neither --data nor --images",
            expected="--data NAME[=ROOT] for labelled images, or --images FOLDER or VIDEO",
        )
    found = _labelled(data, split) if data else _unlabelled(Path(images))
    if every > 1:
        found = replace(found, ids=found.ids[::every])
    return found


def open_listed(listed: CalibrationList, data: str, images: str, progress: Progress) -> tuple[Split, Split]:
    """The images a list was made from, and those of the list (of a video in the order of the frames).

    Raises:
        DataError: a list of other data, or images that are missing or changed.
    """
    if data and not images:
        dataset = _dataset(data)
        require_dataset(listed, dataset.name)
        source = dataset.split(listed.split)
    else:
        source = open_source(data, images, "")
    if is_video(source):
        require_dataset(listed, source.dataset)
        listed = msgspec.structs.replace(listed, entries=tuple(sorted(listed.entries, key=lambda e: e.id)))
    return source, listed_images(listed, source, progress)


def forbidden(
    data: str, images: str, names: list[str], *, chosen: str = "", progress: Progress
) -> tuple[SampleList, ...]:
    """The images that may not calibrate: the validation split of the data, and those of `--not-in`.

    Args:
        data, images: where the calibration images come from.
        names: each `NAME[=ROOT][:SPLIT]` (without a split: `val`), a folder of images, a video, or a list
            (`.txt`) of images of the same source.
        chosen: the split that calibrates.

    Raises:
        DataError: `chosen` is the validation split.
    """
    found = [_forbidden(name, data, images, progress) for name in names]
    dataset = _dataset(data) if data else None
    if dataset is None or VALIDATION not in dataset.splits():
        return tuple(found)
    if chosen == VALIDATION:
        raise DataError(
            f"the calibration images are of the split '{VALIDATION}', which validates",
            expected=f"another split of {', '.join(dataset.splits())}",
            hint="choose it with --split; what scores a network must not have shaped it",
        )
    return (dataset.split(VALIDATION).sample_list(progress), *found)


def _forbidden(name: str, data: str, images: str, progress: Progress) -> SampleList:
    if is_list(name):
        return samples_of(name, data, images, progress)
    return _named(name).sample_list(progress)


def is_list(name: str) -> bool:
    return name.endswith(".txt")


def samples_of(name: str, data: str, images: str, progress: Progress) -> SampleList:
    """The images of the calibration list `name`, which come from the same data or images."""
    _, chosen = open_listed(CalibrationList.read(Path(name)), data, images, progress)
    return msgspec.structs.replace(chosen.sample_list(), split=name)


def held_out_images(chosen: Split, source: Split, data: str, named: str, limit: int) -> Split | None:
    """Images to compare a list with, evenly spread; None when there are none.

    Args:
        named: in the words of `--not-in`; empty: the images of `source` that are not in `chosen`, else
            the split `train` of the data.
        limit: at most so many; 0: all.
    """
    other = _named(named) if named else source
    if other.dataset == chosen.dataset and other.name == chosen.name:
        taken = set(chosen.ids)
        other = replace(other, ids=tuple(name for name in other.ids if name not in taken))
    if not other.ids and not named and data:
        dataset = _dataset(data)
        if "train" in dataset.splits() and chosen.name != "train":
            other = dataset.split("train")
    step = max(1, -(-len(other) // limit)) if limit else 1
    return replace(other, ids=other.ids[::step]) if other.ids else None


def labelled(split: Split) -> bool:
    return bool(split.classes)


def is_video(split: Split) -> bool:
    return not split.classes and split.name == VIDEO


def _dataset(data: str) -> Dataset:
    choice = parse_data(data)
    return open_dataset(choice.name, Path(choice.root) if choice.root else None)


def _labelled(data: str, name: str) -> Split:
    dataset = _dataset(data)
    splits = dataset.splits()
    return dataset.split(name or ("train" if "train" in splits else splits[0]))


def _named(text: str) -> Split:
    """`camvid=PATH:val`, `camvid=PATH`, a folder of images or a video."""
    path = Path(text)
    if path.exists() and not (path / "dataset.toml").is_file():
        return _unlabelled(path)
    data, colon, split = text.rpartition(":")
    if not colon or "/" in split:
        data, split = text, ""
    return _labelled(data, split or VALIDATION)


def _unlabelled(path: Path) -> Split:
    if path.suffix.lower() in VIDEOS:
        video = _VideoFrames(path)
        count = video.count()
        ids = tuple(f"{index:06d}" for index in range(count))
        return unlabelled(path.stem, VIDEO, ids, lambda name: video.frame(int(name)), lambda _: path.stem)
    if path.is_dir():
        return ImageFolder(path).split(FOLDER)
    file = image_files(path)
    return unlabelled(path.resolve().parent.name, FOLDER, file.ids, lambda name: file.image(0))


class _VideoFrames:
    """Frames by number. Going forward decodes each frame once; going back starts the video again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._frames: Iterator[Array] = iter(())
        self._last = -1
        self._frame: Array | None = None

    def count(self) -> int:
        """By decoding: what a file says about itself may be wrong."""
        reader = VideoReader(self._path)
        try:
            return sum(1 for _ in reader)
        finally:
            reader.close()

    def frame(self, number: int) -> Array:
        if number < self._last or self._frame is None:
            self._frames, self._last = self._read(), -1
        while self._last < number:
            self._frame = next(self._frames)
            self._last += 1
        assert self._frame is not None
        return self._frame

    def _read(self) -> Iterator[Array]:
        reader = VideoReader(self._path)
        try:
            yield from reader
        finally:
            reader.close()


def hashed(split: Split, progress: Progress = silent) -> None:
    """Hash a video in its order, so that looking up a frame later needs no decoding."""
    if is_video(split):
        split.sample_list(progress)


def single(split: Split, index: int) -> Split:
    """The split of one image."""
    return replace(split, ids=(split.ids[index],))


def is_constant(one: Split) -> bool:
    """Whether the only image of a split is a single colour. Only a flat or steady picture has the hash 0."""
    if int(one.sample_list().samples[0].dhash, 16):
        return False
    image = one.image(0)
    return bool((image == image[0, 0]).all())
