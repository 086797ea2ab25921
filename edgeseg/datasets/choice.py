"""Data as it was named -> the dataset and the split a work uses."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgeseg.core.plugins import unknown
from edgeseg.core.recipe import DataChoice
from edgeseg.datasets import DATASETS, Dataset, Split
from edgeseg.errors import DataError


def parse_data(text: str) -> DataChoice:
    """`camvid=PATH`, `synthetic-streets`, or a PATH (a folder with a `dataset.toml`); empty: no data."""

    if not text or text in DATASETS.names():
        return DataChoice(name=text)
    if Path(text).exists():
        return DataChoice(name="folders", root=text)
    name, equals, root = text.partition("=")
    if equals and name in DATASETS.names():
        return DataChoice(name=name, root=root)
    raise unknown(
        name or text,
        DATASETS.names(),
        noun="dataset layout or folder",
        listing=DATASETS.listing,
        error=DataError,
    )


def is_generated(choice: DataChoice) -> bool:
    """Whether no camera took the images: the file of such a layout states GENERATED."""
    return bool(choice.name) and getattr(DATASETS.load(choice.name), "GENERATED", False)


def split_of(dataset: Dataset, choice: DataChoice) -> Split:
    """The validation split, cut to `limit`."""
    names = dataset.splits()
    name = choice.validation if choice.validation in names or len(names) > 1 else names[0]
    split = dataset.split(name)
    return split.limit(choice.limit) if choice.limit else split


def pictures_of(dataset: Dataset, choice: DataChoice) -> Split:
    """Images that need no labels: of the validation split, else of the first one there is."""
    names = dataset.splits()
    if names and choice.validation not in names:
        choice = msgspec.structs.replace(choice, validation=names[0])
    return split_of(dataset, choice)
