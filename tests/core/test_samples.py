from __future__ import annotations

import pytest

from edgeseg.core.samples import NEAR_DUPLICATE_BITS, Sample, SampleList, require_disjoint
from edgeseg.errors import DataError

HASH = int("0123456789abcdef" * 8, 16)


def samples(split: str, *made: tuple[str, str, int]) -> SampleList:
    listed = tuple(Sample(id=i, sha256=sha, dhash=f"{bits:0128x}") for i, sha, bits in made)
    return SampleList(dataset="camvid", split=split, samples=listed)


def flipped(bits: int) -> int:
    return HASH ^ ((1 << bits) - 1)


FAR = HASH ^ (2**512 - 1)


def test_ids_and_length():
    both = samples("train", ("a", "1", 0), ("b", "2", 0))
    assert both.ids == ("a", "b") and len(both) == 2


def test_the_same_pixels_under_another_name():
    train = samples("train", ("a", "same", HASH), ("b", "other", HASH >> 100))
    val = samples("val", ("x", "same", FAR))
    assert train.overlap(val) == (("a", "x"),)
    assert val.overlap(train) == (("x", "a"),)


@pytest.mark.parametrize(
    ("bits", "near"), [(0, True), (NEAR_DUPLICATE_BITS, True), (NEAR_DUPLICATE_BITS + 1, False)]
)
def test_a_near_duplicate(bits, near):
    found = samples("train", ("a", "1", HASH)).overlap(samples("val", ("x", "2", flipped(bits))))
    assert found == ((("a", "x"),) if near else ())


def test_disjoint_lists_are_accepted():
    require_disjoint(samples("train", ("a", "1", HASH)), samples("val", ("x", "2", FAR)))
    require_disjoint(samples("train"), samples("val", ("x", "2", FAR)))


def test_shared_images_are_counted_and_named():
    names = [f"frame{i}" for i in range(7)]
    both = [samples(s, *((n, n, HASH) for n in names)) for s in ("train", "val")]
    with pytest.raises(DataError) as refusal:
        require_disjoint(*both)
    message = refusal.value.message
    assert "7 image(s) of camvid/train are also in camvid/val" in message
    assert "frame0 = frame0" in message and "frame6" not in message
