"""Labelled images that fit a network: its classes, or the first of them, and the same ignored value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edgeseg.core.model_spec import ModelSpec, default_classes
from edgeseg.core.recipe import DataChoice
from edgeseg.datasets.choice import split_of
from edgeseg.datasets.framed import framed
from edgeseg.datasets.split import require_task
from edgeseg.errors import DataError
from edgeseg.evaluation.verification import has_random_weights

if TYPE_CHECKING:
    from edgeseg.datasets import Dataset, Split


def labelled_split(dataset: Dataset, split: str, limit: int, spec: ModelSpec) -> Split:
    """The split to score a network on, cut to `limit` frames (0: all).

    An ignore index that only one side states is taken as it is; class names may differ (`class0`), their
    order may not. A network may have more classes than the labels: those come behind, under their own names.

    Raises:
        DataError: no labels, other classes, another ignore index, or no such split.
        InputError: a network of another task than the labels.
    """
    if not dataset.classes:
        raise DataError(
            f"'{dataset.name}' has no labels to score with",
            expected="labelled images: --data NAME[=ROOT]",
            hint="compare class maps with those of FP32 instead: --images FOLDER",
        )
    frames = framed(dataset, spec.preprocess.frame)
    found = split_of(frames, DataChoice(name=dataset.name, validation=split, limit=limit))
    require_task(found, spec)
    ours, theirs = spec.class_names, tuple(c.name for c in dataset.classes)
    if not _fit(ours, theirs):
        raise DataError(
            f"'{dataset.name}' has the {len(theirs)} classes {', '.join(theirs)}; "
            f"the bundle has the {len(ours)} classes {', '.join(ours)}",
            expected="the same classes in the same order; those that are never labelled come last",
            hint="use the data the network was trained for, or export it again with --classes",
        )
    if None not in (spec.ignore_index, dataset.ignore_index) and spec.ignore_index != dataset.ignore_index:
        raise DataError(
            f"'{dataset.name}' ignores the label value {dataset.ignore_index}, "
            f"the bundle ignores {spec.ignore_index}",
            expected="the same ignore_index",
            hint="correct the dataset's ignore_index, or export the bundle again",
        )
    if found.ignore_index is None and found.marks.spare:
        return replace(found, ignore_index=spec.ignore_index)
    return found


def _fit(ours: Sequence[str], theirs: Sequence[str]) -> bool:
    """Whether the first classes of the network may be those of the labels, in their order."""
    first, more = ours[: len(theirs)], ours[len(theirs) :]
    if first == theirs:
        return True
    if more or len(ours) < len(theirs):
        return first == tuple(c.name for c in default_classes(len(theirs)))
    return sorted(ours) != sorted(theirs)


def spec_notes(spec: ModelSpec, labelled: Split | None) -> tuple[str, ...]:
    """What a reader of scores should know about the network and the labels."""
    notes = []
    if has_random_weights(spec):
        notes.append("the network has random weights: its accuracy is meaningless, its latency is not")
    if labelled is None:
        return tuple(notes)
    names = tuple(c.name for c in labelled.classes)
    if (first := spec.class_names[: len(names)]) != names:
        notes.append(
            f"classes are matched by position: {', '.join(first)} of the bundle "
            f"with {', '.join(names)} of the data"
        )
    return tuple(notes)
