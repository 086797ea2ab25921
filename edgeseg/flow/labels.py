"""Labelled images that fit a network: the same classes, the same ignored value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.recipe import DataChoice
from edgeseg.errors import DataError, InputError
from edgeseg.flow.data import split_of
from edgeseg.flow.verification import has_random_weights

if TYPE_CHECKING:
    from edgeseg.datasets import Dataset, Split


def labelled_split(dataset: Dataset, split: str, limit: int, spec: ModelSpec) -> Split:
    """The split to score a network on, cut to `limit` frames (0: all).

    An ignore index that only one side states is taken as it is; class names may differ (`class0`), their
    number and order may not.

    Raises:
        DataError: other classes, another ignore index, or no such split.
        InputError: a multi-label network, which labels of one class per pixel cannot score.
    """
    if spec.task != "semantic":
        raise InputError(
            f"'{spec.name}' is a {spec.task} network, labels of '{dataset.name}' hold one class per pixel",
            hint="compare it with FP32 on images without labels: --images FOLDER",
        )
    ours, theirs = spec.class_names, tuple(c.name for c in dataset.classes)
    if len(ours) != len(theirs) or (ours != theirs and sorted(ours) == sorted(theirs)):
        raise DataError(
            f"'{dataset.name}' has the {len(theirs)} classes {', '.join(theirs)}; "
            f"the bundle has the {len(ours)} classes {', '.join(ours)}",
            expected="the same classes in the same order",
            hint="use the data the network was trained for, or export it again with --classes",
        )
    if None not in (spec.ignore_index, dataset.ignore_index) and spec.ignore_index != dataset.ignore_index:
        raise DataError(
            f"'{dataset.name}' ignores the label value {dataset.ignore_index}, "
            f"the bundle ignores {spec.ignore_index}",
            expected="the same ignore_index",
            hint="correct the dataset's ignore_index, or export the bundle again",
        )
    return split_of(dataset, DataChoice(name=dataset.name, validation=split, limit=limit))


def spec_notes(spec: ModelSpec, labelled: Split | None) -> tuple[str, ...]:
    """What a reader of scores should know about the network and the labels."""
    notes = []
    if has_random_weights(spec):
        notes.append("the network has random weights: its accuracy is meaningless, its latency is not")
    if labelled is not None and spec.class_names != (names := tuple(c.name for c in labelled.classes)):
        notes.append(
            f"classes are matched by position: {', '.join(spec.class_names)} of the bundle "
            f"with {', '.join(names)} of the data"
        )
    return tuple(notes)
