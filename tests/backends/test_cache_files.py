from edgeseg.backends._cache_files import keep, read_if_whole, writable


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


def test_keep_and_read(tmp_path):
    file = tmp_path / "x.cache"
    assert read_if_whole(file) == b""
    keep(file, b"one")
    keep(file, b"two")
    assert read_if_whole(file) == b"two"
    assert [f.name for f in tmp_path.iterdir()] == ["x.cache"]


def test_what_was_changed_is_not_read(tmp_path):
    file = tmp_path / "x.cache"
    keep(file, b"kernels")
    whole = file.read_bytes()
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert read_if_whole(file) == b""
    file.write_bytes(whole[:-1])
    assert read_if_whole(file) == b""


def test_a_link_at_the_place_of_the_cache_is_replaced_not_followed(tmp_path):
    (tmp_path / "other").write_bytes(b"mine")
    (tmp_path / "x.cache").symlink_to(tmp_path / "other")
    keep(tmp_path / "x.cache", b"kernels")
    assert (tmp_path / "other").read_bytes() == b"mine"


def test_keep_in_a_folder_that_is_gone_says_nothing(tmp_path):
    keep(tmp_path / "gone" / "x.cache", b"one")
    assert not (tmp_path / "gone").exists()
