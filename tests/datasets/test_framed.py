from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgeseg.core.frame import Frame
from edgeseg.datasets.framed import (
    as_frame,
    as_picture,
    frame_of_pixels,
    framed_split,
    imitated,
    look,
    to_gray,
)
from edgeseg.datasets.images import unlabelled
from edgeseg.datasets.pictures import resize_frame, seen_by, to_camera
from edgeseg.errors import DataError

GRAY = np.zeros((2, 3, 1), np.uint8)
RED = np.full((2, 3, 3), (250, 10, 20), np.uint8)


def split_of(*images):
    known = dict(zip(map(str, range(len(images))), images))
    return unlabelled("data", "images", tuple(known), known.__getitem__)


def test_grey_becomes_colours_and_colours_become_grey():
    gray = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    assert np.array_equal(as_frame(gray, Frame(), "a"), np.repeat(gray, 3, axis=2))
    assert as_frame(RED, Frame(order="gray"), "a").tolist() == [[[83]] * 3] * 2
    deep = RED.astype(np.uint16) * 257
    assert as_frame(deep, Frame(order="gray", dtype="uint16"), "a")[0, 0, 0] == 21305
    assert to_gray(RED.astype(np.float32))[0, 0, 0] == pytest.approx(82.9, abs=0.01)


@pytest.mark.parametrize(
    ("pixels", "frame", "told"),
    [
        (RED, "rgb:uint16", "a holds uint8"),
        (RED.astype(np.uint16), "rgb", "--set frame=rgb:uint16"),
        (
            RED.astype(np.uint16) * 20,
            "rgb:uint16:4095",
            "holds the value 5000, the largest of a frame is 4095",
        ),
        (RED, "r,g,b,depth", "3 channel"),
        (np.zeros((2, 3, 5), np.uint8), "gray", "5 channel"),
        (np.full((2, 3, 1), np.nan, np.float32), "gray:float32", "no finite numbers"),
    ],
)
def test_other_images_are_refused(pixels, frame, told):
    with pytest.raises(DataError) as fault:
        as_frame(pixels, Frame.parse(frame), "a")
    assert told in str(fault.value)


def test_images_tell_what_the_frames_are():
    gray = GRAY
    assert look(split_of(gray, gray)) == (Frame(order="gray"), (2, 3))
    assert look(split_of(gray, RED, gray)) == (Frame(), (2, 3))
    assert look(split_of(np.zeros((4, 3, 4), np.float32))) == (Frame(order="4", dtype="float32"), (4, 3))
    assert frame_of_pixels(gray.astype(np.uint16)).full == 65535


@pytest.mark.parametrize(
    ("images", "decoded"), [([GRAY] * 20, 8), ([RED] * 20, 1), ([GRAY, GRAY, RED], 3), ([GRAY], 1)]
)
def test_images_are_decoded_once_to_tell(images, decoded):
    split, read = split_of(*images), []
    counted = replace(split, read_image=lambda name: (read.append(name), split.read_image(name))[1])
    look(counted)
    assert len(read) == len(set(read)) == decoded
    read.clear()
    assert look(replace(counted, frame=Frame(order="gray")))[0] == Frame(order="gray") and len(read) == 1


def test_a_framed_split_is_identified_by_what_is_stored():
    gray = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    split = split_of(gray)
    seen = framed_split(split, Frame())
    assert seen.image(0).shape == (2, 3, 3) and seen.frame == Frame()
    assert seen.sample_list() == split.sample_list()
    assert framed_split(seen, Frame()).sample_list() == split.sample_list()


def test_the_fingerprint_of_a_framed_split_tells_what_is_seen():
    gray = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    split, repeated = split_of(gray), split_of(np.repeat(gray, 3, axis=2))
    seen = framed_split(split, Frame())
    assert seen.fingerprint() == framed_split(seen, Frame()).fingerprint() == repeated.fingerprint()
    assert seen.fingerprint() != split.fingerprint()


@pytest.mark.parametrize(
    "text", ["gray", "gray:uint16", "rgb:uint16:4095", "5", "r,g,b,depth:float32:10", "bgr"]
)
def test_generated_images_imitate_any_camera(text):
    frame = Frame.parse(text)
    rgb = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
    found = imitated(rgb, frame)
    assert found.dtype == frame.dtype and found.shape == (8, 9, frame.channels)
    assert 0.5 * frame.full < found.max() <= frame.full
    if frame.dtype == "uint16":
        assert len(np.unique(found & 255)) > 50
    camera = to_camera([found], frame)
    assert camera.shape == (1, 8, 9, frame.channels)
    assert as_picture(found, frame).shape == (8, 9, 3) and as_picture(found, frame).dtype == np.uint8


def test_colours_reach_the_camera_in_its_order():
    frame = Frame.parse("b,g,r,depth")
    assert to_camera([np.array([[[1, 2, 3, 4]]], np.uint8)], frame).tolist() == [[[[3, 2, 1, 4]]]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_every_kind_of_image_is_resized_alike(dtype, channels):
    ramp = np.rint(np.linspace(0, 250, 40 * 60)).reshape(40, 60, 1)
    image = np.repeat(ramp, channels, axis=2).astype(dtype)
    found = resize_frame(image, (20, 30))
    assert found.shape == (20, 30, channels) and found.dtype == dtype
    expected = resize_frame(np.repeat(ramp, 3, axis=2).astype(np.uint8), (20, 30))[..., :1]
    assert np.abs(found.astype(np.float64) - expected).max() <= 1.0
    assert seen_by(split_of(image), (20, 30)).image(0).shape == (20, 30, channels)


def test_channels_that_the_data_names_are_put_in_order():
    split = replace(split_of(np.array([[[200, 1, 2, 3]]], np.uint8)), frame=Frame(order="depth,r,g,b"))
    seen = framed_split(split, Frame(order="r,g,b,depth"))
    assert seen.image(0).tolist() == [[[1, 2, 3, 200]]]
    with pytest.raises(DataError, match="the same channels"):
        framed_split(split, Frame(order="r,g,b,nir"))


def test_generated_images_are_frames_of_any_camera():
    split = replace(split_of(RED), generated=True)
    seen = framed_split(split, Frame(order="gray", dtype="uint16"))
    assert seen.image(0).dtype == np.uint16 and framed_split(seen, seen.frame).image(0).shape == (2, 3, 1)
