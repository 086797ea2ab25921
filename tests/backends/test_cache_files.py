from edgeseg.backends._cache_files import read_if_present, replace, writable


def test_folder_is_made(tmp_path):
    assert writable(tmp_path / "a" / "b") == (tmp_path / "a" / "b", ())
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_no_cache_asked_for():
    assert writable(None) == (None, ())


def test_folder_that_cannot_be_made_gives_a_note(tmp_path):
    (tmp_path / "file").write_text("")
    folder, notes = writable(tmp_path / "file" / "cache")
    assert folder is None
    assert str(tmp_path / "file" / "cache") in notes[0]


def test_replace_and_read(tmp_path):
    file = tmp_path / "x.cache"
    assert read_if_present(file) == b""
    replace(file, b"one")
    replace(file, b"two")
    assert read_if_present(file) == b"two"
    assert [f.name for f in tmp_path.iterdir()] == ["x.cache"]


def test_replace_in_a_folder_that_is_gone_keeps_quiet(tmp_path):
    replace(tmp_path / "gone" / "x.cache", b"one")
    assert not (tmp_path / "gone").exists()
