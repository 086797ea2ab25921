from __future__ import annotations

import pytest

from edgeseg.datasets import camvid
from edgeseg.datasets.classes import classes_of, read_classes
from edgeseg.errors import DataError

TWO = 'classes = [{name = "a", color = [0, 0, 0]}, {name = "b"}]\n'


def write(path, text):
    file = path / "dataset.toml"
    file.write_text(text)
    return file


def test_classes_of_a_layout_a_file_and_a_folder(tmp_path):
    file = write(tmp_path, "schema_version = 1\nignore_index = 9\n" + TWO)
    assert classes_of("camvid") == (camvid.CLASSES, 11)
    assert classes_of(file) == classes_of(tmp_path) == classes_of(str(file)) == read_classes(file)
    classes, ignored = read_classes(file)
    assert [c.name for c in classes] == ["a", "b"]
    assert classes[0].color != classes[1].color
    assert ignored == 9


def test_a_layout_whose_classes_stand_beside_the_data():
    with pytest.raises(DataError, match="stand beside the data"):
        classes_of("folders")


def test_the_ignored_value_may_be_a_class(tmp_path):
    """The usual void class, that the network has and nobody scores."""
    classes, ignored = read_classes(write(tmp_path, "schema_version = 1\nignore_index = 1\n" + TWO))
    assert (len(classes), ignored) == (2, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TWO, "schema_version is missing"),
        ("schema_version = 1\nclasses = []\n", "0 classes"),
        ('schema_version = 1\nclasses = [{name = "a"}, {name = "a"}]\n', "name 'a'"),
        (
            'schema_version = 1\nclasses = [{name = "a", color = [1,1,1]}, {name = "b", color = [1,1,1]}]\n',
            "color",
        ),
        ('schema_version = 1\nclasses = [{name = "a", color = [1,1,300]}, {name = "b"}]\n', "300"),
        ("schema_version = 1\nignore_index = -1\n" + TWO, "ignore_index is -1"),
        ("schema_version = 1\nignore_index = 256\n" + TWO, "ignore_index is 256"),
        ('schema_version = 1\nencoding = "rle"\n' + TWO, "rle"),
        (
            'schema_version = 1\nencoding = "binary"\nclasses = [{name="a"},{name="b"},{name="c"}]\n',
            "3 classes",
        ),
        ("schema_version = 1\nignore_colors = [[1,2,3]]\n" + TWO, "ignore_colors"),
        ("schema_version = 1\ncolour = 3\n" + TWO, "colour"),
        ("schema_version = ", "not TOML"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path, text, message):
    with pytest.raises(DataError) as error:
        read_classes(write(tmp_path, text))
    assert message in str(error.value)
    assert "dataset.toml" in str(error.value)
