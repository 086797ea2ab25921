from __future__ import annotations

import numpy as np
import pytest

from edgeseg.datasets import open_dataset
from edgeseg.datasets.images import ImageFolder
from edgeseg.datasets.sequences import known_sequences, stated_sequences
from edgeseg.datasets.zoomed_crops import with_zoomed_crops
from edgeseg.errors import DataError


@pytest.mark.parametrize(
    ("name", "video"),
    [
        ("0006R0_f00930", "0006R0"),
        ("0001TP_006690", "0001TP"),
        ("0016E5_07959.png", "0016E5"),
        ("Seq05VD_f02400", "Seq05VD"),
        ("aachen_000000_000019", "aachen_000000"),
        ("frankfurt_000001_005898_leftImg8bit.png", "frankfurt_000001"),
    ],
)
def test_names_of_camvid_and_cityscapes_tell_the_video(name, video):
    sequence = known_sequences([name])
    assert sequence is not None and sequence(name) == video


@pytest.mark.parametrize(
    "names", [["FudanPed00001"], ["val-0000"], ["a", "0016E5_07959"], ["202401_0001"], []]
)
def test_other_names_tell_nothing(names):
    assert known_sequences(names) is None


def test_splits_know_the_video_of_each_image_in_any_choice_of_them(tmp_path, save, photo):
    ids = np.zeros((24, 32), np.uint8)
    for index, name in enumerate(("0001TP_006690", "0001TP_006720", "0016E5_07959")):
        save(tmp_path / "val" / f"{name}.png", photo(index))
        save(tmp_path / "valannot" / f"{name}.png", ids)
    split = open_dataset("camvid", tmp_path).split("val")
    assert split.sequences == ("0001TP", "0001TP", "0016E5")
    assert split.limit(2).sequences == ("0001TP", "0001TP")
    assert with_zoomed_crops(split).sequences == split.sequences * 2
    assert ImageFolder(tmp_path / "val").split("images").sequences == split.sequences


def test_an_enlarged_part_and_its_image_are_one_observation(flat_split):
    assert flat_split.sequences == ()
    assert with_zoomed_crops(flat_split).sequences == flat_split.ids * 2


@pytest.fixture
def flat_split(tmp_path, save, photo, toml):
    for index, name in enumerate(("drive_1", "drive_2", "walk_1")):
        save(tmp_path / "images" / f"{name}.png", photo(index))
        save(tmp_path / "masks" / f"{name}.png", np.zeros((24, 32), np.uint8))
    (tmp_path / "dataset.toml").write_text(toml())
    return open_dataset("folders", tmp_path).split("all")


def test_a_folder_states_its_videos_in_dataset_toml(tmp_path, flat_split, toml):
    (tmp_path / "dataset.toml").write_text(toml(extra='sequences = "(.+)_[0-9]+"'))
    split = open_dataset("folders", tmp_path).split("all")
    assert split.sequences == ("drive", "drive", "walk")
    assert split.meaning != flat_split.meaning


@pytest.mark.parametrize(
    ("pattern", "said"),
    [("(", "unterminated"), (".+", "0 groups"), ("(drive)_[0-9]+", "image 'walk_1' does not fit|'walk_1'")],
)
def test_a_pattern_that_cannot_be_used_is_refused(pattern, said):
    with pytest.raises(DataError, match=said):
        stated_sequences(pattern, ["drive_1", "walk_1"], where="dataset.toml")
