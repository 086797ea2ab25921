"""`pennfudan-instances`: each pedestrian of Penn-Fudan as a thing; the files are those of `pennfudan`.

Splits: `val` is every fourth image, `train` the others, `all` both.
"""

from __future__ import annotations

from pathlib import Path

from edgeseg.core.instances import Instances
from edgeseg.core.model_spec import ClassInfo
from edgeseg.datasets._files import file_split
from edgeseg.datasets.masks import read_ids
from edgeseg.datasets.pennfudan import pairs_of
from edgeseg.datasets.quarters import quarter_names, quartered
from edgeseg.datasets.split import Split, require_split
from edgeseg.datasets.things import things_of_ids

NAMES = ("pennfudan-instances",)

IGNORE_INDEX: int | None = None
CLASSES = (ClassInfo("person", (220, 20, 60)),)


def dataset(name: str, root: Path | None = None) -> PennFudanInstances:
    return PennFudanInstances(root)


class PennFudanInstances:
    name = NAMES[0]
    classes = CLASSES
    ignore_index: int | None = IGNORE_INDEX

    def __init__(self, root: Path | None) -> None:
        self._pairs = pairs_of(root, self.name)
        self._where = str(root)

    def splits(self) -> tuple[str, ...]:
        return quarter_names(len(self._pairs))

    def split(self, name: str) -> Split:
        require_split(name, self.splits(), where=self._where)
        chosen = {identity: self._pairs[identity] for identity in quartered(self._pairs, name)}
        return file_split(self.name, name, chosen, CLASSES, IGNORE_INDEX, _people, task="instance")


def _people(path: Path) -> Instances:
    return things_of_ids(read_ids(path), where=str(path))
