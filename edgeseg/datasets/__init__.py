"""Labelled images. One on-disk layout per file; it registers `NAMES` and has `dataset(name, root)`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Protocol

from edgeseg.core.model_spec import ClassInfo
from edgeseg.core.plugins import PluginFolder
from edgeseg.datasets.split import Split
from edgeseg.errors import DataError

__all__ = ["DATASETS", "Dataset", "Split", "open_dataset"]

DATASETS = PluginFolder(
    "edgeseg.datasets", "dataset layout", listing="edgeseg schema datasets", error=DataError
)


class Dataset(Protocol):
    """Images with one class id per pixel, or without labels, in named splits.

    Attributes:
        name: the registered name of the layout.
        classes: in the order of the ids in the labels; none where there are no labels.
        ignore_index: label value that is not scored, or None.
    """

    name: str
    classes: tuple[ClassInfo, ...]
    ignore_index: int | None

    def splits(self) -> tuple[str, ...]: ...

    def split(self, name: str) -> Split:
        """Raises DataError for a split that is not there, listing those that are."""
        ...


def open_dataset(name: str, root: Path | str | None = None) -> Dataset:
    """The dataset of a registered layout.

    Args:
        name: `synthetic-streets`, `folders`, `camvid`, ...: see `DATASETS.names()`.
        root: its folder; None for generated data.

    Raises:
        DataError: an unknown layout, a folder that is missing, empty or of another layout.
    """
    return _Opened(DATASETS.load(name).dataset(name, None if root is None else Path(root)))


class _Opened:
    """A dataset that gives the same Split each time: images that were hashed are not hashed again."""

    def __init__(self, layout: Dataset) -> None:
        self.name, self.classes, self.ignore_index = layout.name, layout.classes, layout.ignore_index
        self.splits = layout.splits
        self.split = cache(layout.split)
