"""Which images calibrate: a list, each image compared with its hash before it is used, or some of a split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgeseg.core.calibration import CalibrationList
from edgeseg.core.ports import Progress, silent
from edgeseg.core.samples import require_disjoint
from edgeseg.datasets import Dataset
from edgeseg.datasets.split import Split
from edgeseg.errors import DataError

SHOWN = 5


def calibration_images(
    dataset: Dataset,
    split: str,
    validation: Split | None,
    *,
    count: int,
    listed: Path | None = None,
    progress: Progress = silent,
) -> Split:
    """The images of a list, or `count` of a split (the only one of data without labels), evenly spread.

    Args:
        validation: must not share an image with them; None: nothing will be scored.

    Raises:
        DataError: no such split, a list that does not fit, or images that are also in `validation`.
    """
    if listed is not None:
        chosen = open_list(listed, dataset, progress)
    elif not dataset.classes:
        chosen = spread(dataset.split(dataset.splits()[0]), count)
    elif split not in dataset.splits():
        raise DataError(
            f"'{dataset.name}' has no split '{split}' to calibrate with",
            expected=f"a calibration list, or one of the splits {', '.join(dataset.splits())}",
            hint="make a list with `edgeseg calibrate select`",
        )
    else:
        chosen = spread(dataset.split(split), count)
    if validation is not None:
        require_disjoint(chosen.sample_list(progress), validation.sample_list(progress))
    return chosen


def spread(split: Split, count: int) -> Split:
    """`count` images at even distances; all when there are not more."""
    total, count = len(split), min(count, len(split))
    return replace(split, ids=tuple(split.ids[i * total // count] for i in range(count)))


def open_list(path: Path, dataset: Dataset, progress: Progress = silent) -> Split:
    """The images of the list `path`, in its order; `.sample_list()` of them is a SampleList.

    Raises:
        DataError: a broken list, a list of another dataset, or images that are missing or changed.
    """
    listed = CalibrationList.read(path)
    require_dataset(listed, dataset.name)
    return listed_images(listed, dataset.split(listed.split), progress)


def listed_images(listed: CalibrationList, split: Split, progress: Progress = silent) -> Split:
    """The listed images of `split`, in the order of the list.

    Raises:
        DataError: a list of another dataset or split, or images that are missing or changed.
    """
    require_dataset(listed, split.dataset)
    if listed.split != split.name:
        raise DataError(
            f"the calibration list is of the split '{listed.split}', the images are '{split.name}'",
            expected=f"the split '{listed.split}' of '{listed.dataset}'",
        )
    there = set(split.ids)
    missing = [name for name in listed.ids if name not in there]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(listed)} listed images are missing: {_some(missing)}",
            expected=f"all images of the list in {split.dataset}/{split.name}",
            hint="give the data the list was made from, or make a new list with `edgeseg calibrate select`",
        )
    chosen = replace(split, ids=listed.ids)
    found = chosen.sample_list(progress).samples
    changed = [e.id for e, sample in zip(listed.entries, found) if e.sha256 != sample.sha256]
    if changed:
        raise DataError(
            f"{len(changed)} of {len(listed)} listed images were changed after the list was made: "
            f"{_some(changed)}",
            expected="images whose decoded pixels have the sha256 of the list",
            hint="restore the images, or make a new list with `edgeseg calibrate select`",
        )
    return chosen


def require_dataset(listed: CalibrationList, name: str) -> None:
    """Raise DataError when a list is not of the dataset `name`."""
    if listed.dataset != name:
        raise DataError(
            f"the calibration list is of the dataset '{listed.dataset}', the images are of '{name}'",
            expected=f"images of '{listed.dataset}'",
            hint="name the data the list was made from",
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
