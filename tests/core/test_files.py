from __future__ import annotations

import os

import pytest

from edgeseg.core.files import read_whole, require_file
from edgeseg.errors import DataError


def make(path, kind):
    if kind == "is a named pipe":
        os.mkfifo(path)
    elif kind == "is a device":
        path.symlink_to("/dev/zero")
    elif kind == "is a folder":
        path.mkdir()
    elif kind == "cannot be read":
        path.symlink_to(path.name)
    return path


@pytest.mark.parametrize(
    "kind", ["is a named pipe", "is a device", "is a folder", "cannot be read", "does not exist"]
)
def test_what_is_no_file_is_told_and_never_opened(tmp_path, kind):
    path = make(tmp_path / "x", kind)
    with pytest.raises(DataError, match=f"^the list {path} {kind}") as refusal:
        require_file(path, "the list", expected="a list", error=DataError)
    assert refusal.value.expected == "a list"
    with pytest.raises(DataError, match=f"^{path} {kind}"):
        read_whole(path, most=10, error=DataError)


def test_a_name_with_a_null_character_does_not_exist(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        require_file(tmp_path / "a\0b", error=DataError)


def test_a_file_is_measured_and_read_up_to_a_size(tmp_path):
    (tmp_path / "x").write_bytes(b"12345")
    assert require_file(tmp_path / "x") == 5 and read_whole(tmp_path / "x", most=5) == b"12345"
    with pytest.raises(DataError, match=r"x has 5 bytes\nexpected: at most 4"):
        read_whole(tmp_path / "x", most=4, error=DataError)
