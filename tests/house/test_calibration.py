"""The shipped lists name images that exist and still look the same."""

from __future__ import annotations

from edgeseg.datasets import open_dataset


def read(path):
    return [tuple(line.split("  ")) for line in path.read_text().splitlines()]


def test_lists_of_generated_data_match_what_is_generated(clone):
    folder = clone / "calibration" / "synthetic-streets"
    split = open_dataset("synthetic-streets").split("calib")
    assert read(folder / "calib.txt") == [(s.id, s.sha256) for s in split.sample_list().samples]


def test_every_list_is_described(clone):
    text = (clone / "calibration" / "README.md").read_text()
    for path in (clone / "calibration").rglob("*.txt"):
        assert f"`{path.parent.name}/{path.name}`" in text
