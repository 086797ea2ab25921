"""Files appear whole, written by one process under a name that nobody else has."""

from __future__ import annotations

import threading

import pytest

from edgeseg.core.whole import hidden_beside, replacing, write_whole


def leftover(folder, *files: str):
    """What a killed process left for `folder/net`."""
    place = folder / ".net.partial-abcd_123"
    place.mkdir()
    for name in files:
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text("half")
    return place


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_at_the_end(tmp_path):
    with replacing(tmp_path / "file") as new:
        new.write_text("content")
        assert not (tmp_path / "file").exists()
    assert (tmp_path / "file").read_text() == "content"
    assert names(tmp_path) == ["file"]


def test_an_error_leaves_the_old_file(tmp_path):
    write_whole(tmp_path / "file", b"old")
    with pytest.raises(RuntimeError), replacing(tmp_path / "file") as new:
        new.write_text("ha")
        raise RuntimeError
    assert (tmp_path / "file").read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_new_file_has_the_permissions_of_any_other(tmp_path):
    write_whole(tmp_path / "file", b"")
    (tmp_path / "usual").write_bytes(b"")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_file_that_appeared_meanwhile_stays(tmp_path):
    with pytest.raises(FileExistsError), replacing(tmp_path / "file", overwrite=False) as new:
        new.write_text("mine")
        (tmp_path / "file").write_text("theirs")
    assert (tmp_path / "file").read_text() == "theirs"
    assert names(tmp_path) == ["file"]


def test_without_links_a_file_that_appeared_stays_too(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr("os.link", refuse)
    with replacing(tmp_path / "file", overwrite=False) as new:
        new.write_text("mine")
    with pytest.raises(FileExistsError), replacing(tmp_path / "file", overwrite=False) as new:
        new.write_text("other")
    assert (tmp_path / "file").read_text() == "mine"


def test_threads_that_write_one_file_do_not_meet(tmp_path):
    failures = []

    def write(number: int) -> None:
        try:
            for _ in range(20):
                write_whole(tmp_path / "file", bytes([number]) * 1000)
                assert len(set((tmp_path / "file").read_bytes())) == 1
        except Exception as fault:
            failures.append(fault)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("files", [("lock",), ("lock", "new/graph.onnx"), (), ("new/graph.onnx",)])
def test_what_a_killed_process_left_is_removed(tmp_path, files):
    """At whatever moment it died: before its lock, at work, or while it removed its folder."""
    leftover(tmp_path, *files)
    with hidden_beside(tmp_path / "net"):
        assert len(names(tmp_path)) == 1
    assert names(tmp_path) == []


def test_the_folder_of_a_living_owner_and_of_other_files_is_left_alone(tmp_path):
    others = [tmp_path / ".net2.partial-abcd_123", tmp_path / ".net.partial-x.partial-abcd_123"]
    for other in others:
        other.mkdir()
    with hidden_beside(tmp_path / "net") as first, hidden_beside(tmp_path / "net") as second:
        assert first != second and first.is_dir()
    assert sorted(tmp_path.iterdir()) == sorted(others)


def test_a_planted_link_is_not_taken_for_a_leftover(tmp_path):
    treasure = tmp_path / "elsewhere"
    treasure.mkdir()
    (treasure / "lock").write_text("mine")
    (tmp_path / ".net.partial-abcd_123").symlink_to(treasure)
    write_whole(tmp_path / "net", b"")
    assert (treasure / "lock").read_text() == "mine"


def test_a_long_name_and_one_with_brackets(tmp_path):
    for name in ("x" * 250, "net[1]"):
        write_whole(tmp_path / name, b"content")
        assert (tmp_path / name).read_bytes() == b"content"
