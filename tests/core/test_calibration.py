"""What a calibration list file holds, and which files are refused."""

from __future__ import annotations

import pytest

from edgeseg.core.calibration import CalibrationList, Entry
from edgeseg.errors import DataError

HASH = "0123456789abcdef" * 4


def listed(*ids: str) -> CalibrationList:
    entries = tuple(Entry(name, HASH) for name in ids)
    return CalibrationList(
        dataset="roads", split="train", entries=entries, made_by="edgeseg calibrate select"
    )


def test_a_list_is_plain_text_and_comes_back_as_it_was(tmp_path):
    path = tmp_path / "roads" / "calib.txt"
    listed("a", "two  words.png").write(path)
    assert path.read_text().splitlines() == [
        "# dataset: roads",
        "# split: train",
        "# made by: edgeseg calibrate select",
        f"a  {HASH}",
        f"two  words.png  {HASH}",
    ]
    assert CalibrationList.read(path) == listed("a", "two  words.png")


def test_comments_and_empty_lines_are_allowed(tmp_path):
    path = tmp_path / "calib.txt"
    path.write_text(f"# by hand\n# dataset: roads\n# split: train\n\na  {HASH}\n\n")
    assert CalibrationList.read(path).ids == ("a",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "does not tell its dataset"),
        ("# dataset: roads\n", "does not tell its split"),
        ("# dataset: roads\n# split: train\n", "is empty"),
        (f"# dataset: roads\n# split: train\na  {HASH}\na  {HASH}\n", "names 'a' twice"),
        ("# dataset: roads\n# split: train\na.png\n", "line 3: 'a.png'"),
        (f"# dataset: roads\n# split: train\na {HASH}\n", "two spaces"),
    ],
)
def test_a_broken_list_is_refused_with_the_reason(tmp_path, text, says):
    path = tmp_path / "calib.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=r"calib\.txt") as refusal:
        CalibrationList.read(path)
    assert says in str(refusal.value)


def test_a_missing_list_names_the_command_that_makes_one(tmp_path):
    with pytest.raises(DataError, match="calibrate select"):
        CalibrationList.read(tmp_path / "calib.txt")


@pytest.mark.parametrize("name", ["# a", " a", "a\nb", ""])
def test_an_id_that_a_line_cannot_hold_is_refused_and_nothing_is_written(tmp_path, name):
    with pytest.raises(DataError, match="rename"):
        listed("good", name).write(tmp_path / "calib.txt")
    assert not list(tmp_path.iterdir())


def test_a_list_that_is_there_is_replaced_only_on_request(tmp_path):
    path = tmp_path / "calib.txt"
    listed("a").write(path)
    with pytest.raises(DataError, match="--overwrite"):
        listed("b").write(path)
    assert CalibrationList.read(path).ids == ("a",)
    listed("b").write(path, overwrite=True)
    assert CalibrationList.read(path).ids == ("b",)
    assert [p.name for p in tmp_path.iterdir()] == ["calib.txt"]


def test_a_place_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="could not be written"):
        listed("a").write(tmp_path / "file" / "calib.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_list_that_appeared_meanwhile_is_not_replaced(tmp_path, monkeypatch):
    text = CalibrationList.text

    def slow(self):
        (tmp_path / "calib.txt").write_text("theirs")
        return text(self)

    monkeypatch.setattr(CalibrationList, "text", slow)
    with pytest.raises(DataError, match="exists"):
        listed("a").write(tmp_path / "calib.txt")
    assert (tmp_path / "calib.txt").read_text() == "theirs"
    assert [p.name for p in tmp_path.iterdir()] == ["calib.txt"]
