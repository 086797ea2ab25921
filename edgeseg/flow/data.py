"""Which classes, frames and camera a run works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.core.frame import Frame
from edgeseg.core.model_spec import ClassInfo
from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Preprocess, Size
from edgeseg.core.recipe import DataChoice, ModelChoice
from edgeseg.core.tiles import Tiles
from edgeseg.datasets.choice import is_generated, pictures_of, split_of
from edgeseg.datasets.framed import framed, imitated, look
from edgeseg.datasets.pictures import resize_frame, to_camera
from edgeseg.datasets.tiles import tiles_of
from edgeseg.errors import DataError
from edgeseg.steps import Frames

if TYPE_CHECKING:
    from edgeseg.datasets import Dataset, Split


@dataclass(frozen=True)
class Data:
    """
    Attributes:
        dataset: None when no data was given.
        classes, ignore_index: of `--classes`, else of the dataset; None where neither tells.
        frame_size: (height, width) of the dataset's first frame, or None.
        frame: what its images are, or None.
    """

    dataset: Dataset | None
    classes: tuple[ClassInfo, ...] | None
    ignore_index: int | None
    frame_size: Size | None
    frame: Frame | None = None

    def seen_as(self, frame: Frame) -> Data:
        """The same data, its images as frames of a camera."""
        return replace(self, dataset=framed(self.dataset, frame)) if self.dataset else self


def open_data(choice: DataChoice, model: ModelChoice) -> Data:
    """Open the dataset and settle the classes: those of the labels, and what a network has behind them.

    Raises:
        DataError: the dataset has more classes than the model.
    """
    from edgeseg.core.model_spec import default_classes, with_unlabelled
    from edgeseg.datasets import open_dataset
    from edgeseg.datasets.classes import classes_of

    dataset = open_dataset(choice.name, Path(choice.root) if choice.root else None) if choice.name else None
    classes = (dataset.classes or None) if dataset else None
    ignore = dataset.ignore_index if dataset else None
    if isinstance(model.classes, str):
        classes, ignore = classes_of(model.classes)
    elif model.classes is not None and classes is not None:
        if len(classes) > model.classes:
            raise DataError(
                f"--classes is {model.classes}, {choice.name} has {len(classes)} classes",
                expected="a class in the network for each one in the data",
                hint="leave --classes out, or use the data the network was trained for",
            )
        classes = with_unlabelled(classes, model.classes)
    elif model.classes is not None:
        classes = default_classes(model.classes)
    size = frame = None
    if dataset is not None:
        frame, size = look(pictures_of(dataset, choice))
    return Data(dataset=dataset, classes=classes, ignore_index=ignore, frame_size=size, frame=frame)


def frames_for(
    data: Data, choice: DataChoice, contract: Preprocess, window: Size, tiles: Tiles | None = None
) -> Frames:
    """What the network sees at `window`: frames, or tiles of them. Of the data, spread over it, if there is
    any; else of several generators."""
    real = data.dataset is not None and not is_generated(choice)
    frame = contract.frame
    seen = data.seen_as(frame).dataset
    make = _spread(pictures_of(seen, choice), window, tiles) if seen else partial(_generated, window, frame)
    return Frames(kind="real" if real else "synthetic", take=lambda count: to_camera(make(count), frame))


def _spread(split: Split, window: Size, tiles: Tiles | None) -> Callable[[int], list[Array]]:
    def take(count: int) -> list[Array]:
        chosen = replace(split, ids=tuple(split.ids[i] for i in split.spread(count)))
        if tiles is None:
            return [resize_frame(chosen.image(i), window) for i in range(count)]
        first = chosen.image(0)
        parts = tiles_of(chosen, tiles, first.shape[:2])
        return [parts.image(i) for i in parts.spread(count)]

    return take


def _generated(camera: Size, frame: Frame, count: int) -> list[Array]:
    """Streets, textures and colours in turn: a network that was trained on something else is sure of some."""
    from edgeseg.datasets import open_dataset
    from edgeseg.datasets.patterns import colours, texture

    streets = split_of(open_dataset("synthetic-streets"), DataChoice())
    kinds = (
        lambda number: resize_frame(streets.image(number % len(streets)), camera),
        lambda number: texture(camera, number),
        lambda number: colours(camera, number),
    )
    return [imitated(kinds[i % len(kinds)](i // len(kinds)), frame) for i in range(count)]
