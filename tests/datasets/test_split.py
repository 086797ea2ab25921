from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from edgeseg.core.samples import require_disjoint
from edgeseg.datasets import open_dataset
from edgeseg.errors import DataError


def test_limit(flat):
    split = open_dataset("folders", flat).split("all")
    assert split.limit(1).ids == ("a",)
    assert split.limit(0).ids == split.limit(9).ids == ("a", "b")
    with pytest.raises(DataError, match="-1"):
        split.limit(-1)


def test_what_is_held_out_is_at_the_end_at_most_a_quarter_and_not_learnt_from(flat):
    split = replace(open_dataset("folders", flat).split("all"), ids=tuple("abcdefgh"))
    parts = [(learnt.ids, held_out.ids) for learnt, held_out in map(split.hold_out, (1, 40))]
    assert parts == [(tuple("abcdefg"), ("h",)), (tuple("abcdef"), ("g", "h"))]
    assert split.hold_out(1)[1].name == "all (held out)"
    with pytest.raises(DataError, match="has 1 image"):
        split.limit(1).hold_out(1)


def test_sample_list_is_made_once_and_reports(flat):
    split = open_dataset("folders", flat).split("all")
    calls = []
    first = split.sample_list(lambda message, done=0, total=0: calls.append((message, done, total)))
    assert calls == [("hashing folders/all", 0, 2), ("hashing folders/all", 1, 2)]
    assert (first.dataset, first.split, first.ids) == ("folders", "all", ("a", "b"))
    assert split.sample_list(lambda *a, **k: pytest.fail("hashed again")) == first
    assert (
        split.limit(1).sample_list(lambda *a, **k: pytest.fail("hashed again")).samples == first.samples[:1]
    )


def test_images_are_hashed_once_per_dataset(flat, monkeypatch):
    data = open_dataset("folders", flat)
    first = data.split("all")
    before = first.fingerprint(), first.sample_list()
    monkeypatch.setattr("edgeseg.datasets.split.difference_hash", lambda pixels: pytest.fail("hashed again"))
    again = data.split("all")
    assert (again.fingerprint(), again.sample_list()) == before


def test_other_pixels_behind_the_same_ids_are_hashed_anew(flat):
    split = open_dataset("folders", flat).split("all")
    dark = replace(split, read_image=lambda name: split.read_image(name) // 2)
    assert split.sample_list() != dark.sample_list() and split.fingerprint() != dark.fingerprint()


def test_one_image_in_two_lists_under_another_name(flat, save, photo, tmp_path_factory, toml, mask):
    other = tmp_path_factory.mktemp("other")
    save(other / "images" / "renamed.bmp", photo(1))
    save(other / "masks" / "renamed.png", mask)
    (other / "dataset.toml").write_text(toml())
    ours = open_dataset("folders", flat).split("all").sample_list()
    theirs = open_dataset("folders", other).split("all").sample_list()
    with pytest.raises(DataError, match="b = renamed"):
        require_disjoint(ours, theirs)


@pytest.mark.parametrize("threads", [1, 3])
def test_images_are_hashed_by_as_many_threads_as_a_split_bears(flat, threads):
    whole = open_dataset("folders", flat).split("all")
    used = []

    def read(name):
        used.append((threading.get_ident(), name))
        return whole.read_image(name)

    split = replace(whole, read_image=read, threads=threads)
    assert split.sample_list() == whole.sample_list()
    assert sorted(name for _, name in used) == sorted(split.ids)
    if threads == 1:
        assert [name for _, name in used] == list(split.ids) and len({ident for ident, _ in used}) == 1
