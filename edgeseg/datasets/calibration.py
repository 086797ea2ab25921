"""The images behind a calibration list, each compared with its hash before it is used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgeseg.core.calibration import CalibrationList
from edgeseg.core.ports import Progress, silent
from edgeseg.datasets import Dataset
from edgeseg.datasets.split import Split
from edgeseg.errors import DataError

SHOWN = 5


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
