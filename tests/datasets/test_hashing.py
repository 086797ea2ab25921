from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from edgeseg.core.samples import Sample, SampleList
from edgeseg.datasets.hashing import Fingerprint, difference_hash, pixel_sha256
from edgeseg.datasets.synthetic import SyntheticStreets


def as_list(*frames):
    samples = (Sample(str(i), pixel_sha256(f), difference_hash(f)) for i, f in enumerate(frames))
    return SampleList(dataset="d", split="s", samples=tuple(samples))


def jpeg(pixels, quality):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def resized(pixels, factor):
    height, width = pixels.shape[:2]
    return np.asarray(Image.fromarray(pixels).resize((int(width * factor), int(height * factor))))


@pytest.fixture(scope="module")
def frames():
    split = SyntheticStreets(counts={"val": 30}).split("val")
    return [split.image(i) for i in range(len(split))]


@pytest.mark.parametrize(
    "change",
    [
        lambda p: jpeg(p, 75),
        lambda p: np.clip(p * 1.1, 0, 255).astype(np.uint8),
        lambda p: (p * 0.85).astype(np.uint8),
        lambda p: resized(p, 1.5),
    ],
    ids=["jpeg", "brighter", "darker", "larger"],
)
def test_a_changed_copy_is_found(frames, change):
    copies = as_list(*(change(f) for f in frames))
    assert as_list(*frames).overlap(copies) == tuple((str(i), str(i)) for i in range(len(frames)))


def test_other_streets_are_not_taken_for_copies():
    split = SyntheticStreets(counts={"train": 120, "val": 60}).split
    assert split("train").sample_list().overlap(split("val").sample_list()) == ()


def test_sha256_depends_on_values_and_shape():
    pixels = np.arange(48, dtype=np.uint8)
    assert pixel_sha256(pixels.reshape(4, 4, 3)) != pixel_sha256(pixels.reshape(2, 8, 3))
    assert pixel_sha256(pixels.reshape(4, 4, 3)[:, ::-1]) == pixel_sha256(
        pixels.reshape(4, 4, 3)[:, ::-1].copy()
    )


def test_real_frames_saved_again_are_found(real_data):
    paths = sorted((real_data / "camvid" / "val").iterdir())[::12]
    frames = [np.asarray(Image.open(p).convert("RGB")) for p in paths]
    for change in (lambda p: jpeg(p, 75), lambda p: (p * 0.85).astype(np.uint8), lambda p: resized(p, 1.5)):
        found = as_list(*frames).overlap(as_list(*(change(f) for f in frames)))
        assert found == tuple((str(i), str(i)) for i in range(len(frames)))


def test_a_picture_without_structure():
    assert int(difference_hash(np.full((20, 30, 3), 90, np.uint8)), 16) == 0


def test_a_fingerprint_tells_every_pixel_label_id_and_the_order():
    def of(*samples, meaning=""):
        found = Fingerprint(meaning)
        for name, image, label in samples:
            found.add(name, pixel_sha256(np.full((2, 2, 3), image, np.uint8)), bytes([label] * 4))
        return found.hexdigest()

    base = (("a", 1, 0), ("b", 2, 0))
    assert of(*base) == of(*base)
    others = [(("a", 1, 0), ("b", 3, 0)), (("a", 1, 0), ("b", 2, 1)), (("a", 1, 0), ("c", 2, 0)), base[::-1]]
    assert len({of(*base), of(*base, meaning="0 is ignored"), *(of(*other) for other in others)}) == 6
