"""The shipped lists name images that exist and still look the same, and say how they were made."""

from __future__ import annotations

from edgeseg.core.calibration import CalibrationList
from edgeseg.datasets import open_dataset
from edgeseg.datasets.calibration import open_list


def test_lists_of_generated_data_match_what_is_generated(clone):
    dataset = open_dataset("synthetic-streets")
    chosen = open_list(clone / "calibration" / "synthetic-streets" / "calib.txt", dataset)
    assert sorted(chosen.ids) == list(dataset.split("calib").ids)


def test_every_list_is_described_with_the_command_that_made_it(clone):
    text = (clone / "calibration" / "README.md").read_text()
    for path in (clone / "calibration").rglob("*.txt"):
        assert f"`{path.parent.name}/{path.name}`" in text
        assert f"`{CalibrationList.read(path).made_by}`" in text
