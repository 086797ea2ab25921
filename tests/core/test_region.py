"""The part of a frame that a network sees."""

from __future__ import annotations

import msgspec
import pytest

from edgeseg.cli.options import pairs
from edgeseg.core.frame import Frame
from edgeseg.core.preprocess import Preprocess, stated_preprocess
from edgeseg.core.region import part_of
from edgeseg.errors import InputError

REGION = (120, 0, 240, 480)


def test_the_network_sees_the_region_alone():
    contract = Preprocess(region=REGION)
    assert contract.seen((360, 480)) == (240, 480) and Preprocess().seen((360, 480)) == (360, 480)
    place = contract.place((360, 480), (256, 480))
    assert (place.camera, place.frame, place.scaled) == ((360, 480), (240, 480), (240, 480))
    assert place.part == (slice(120, 360), slice(0, 480)) and place.padding == (0, 0, 16, 0)
    assert Preprocess().place((240, 480), (256, 480)).part is None


def test_the_resize_rule_is_that_of_the_region():
    stretched = Preprocess(region=(10, 20, 30, 60), resize="stretch").place((100, 100), (64, 64))
    assert stretched.scaled == (64, 64) and stretched.resized
    boxed = Preprocess(region=(10, 20, 30, 60), resize="letterbox").place((100, 100), (64, 64))
    assert boxed.scaled == (32, 64)


def test_the_command_line_and_recipes_state_it():
    stated = stated_preprocess(pairs(["region=120,0,240,480"], "--set"))
    assert stated.region == REGION == stated_preprocess({"region": [120, 0, 240, 480]}).region
    assert msgspec.json.decode(msgspec.json.encode(stated), type=Preprocess) == stated
    assert stated_preprocess({}, stated).region == REGION
    assert stated_preprocess(pairs(["region=none"], "--set"), stated).region is None


@pytest.mark.parametrize(
    "text", ["120", "1,2,3", "1,2,3,4,5", "a,b,c,d", "0,0,0,4", "-2,0,4,4", "0,0,4.5,4", "true,0,4,4"]
)
def test_other_values_are_refused(text):
    with pytest.raises(InputError, match="region"):
        stated_preprocess(pairs([f"region={text}"], "--set"))


@pytest.mark.parametrize("camera", [(359, 480), (360, 479), (240, 480)])
def test_a_region_outside_the_frame_names_both(camera):
    with pytest.raises(InputError) as refusal:
        Preprocess(region=REGION).place(camera, (512, 512))
    told = str(refusal.value)
    assert "120,0,240,480" in told and f"{camera[0]}x{camera[1]}" in told
    assert "--camera-size" in told and "region=none" in told


@pytest.mark.parametrize(
    ("text", "region", "refused"),
    [
        ("nv12", (2, 4, 6, 8), False),
        *(("nv12", region, True) for region in ((1, 4, 6, 8), (2, 3, 6, 8), (2, 4, 5, 8), (2, 4, 6, 7))),
        ("yuyv", (1, 4, 5, 8), False),
        *(("yuyv", region, True) for region in ((2, 3, 6, 8), (2, 4, 6, 7))),
        ("bayer_rggb", (1, 4, 6, 8), True),
        ("gray:uint16", (1, 3, 5, 7), False),
    ],
)
def test_edges_do_not_part_pixels_that_share_colours(text, region, refused):
    contract = Preprocess(frame=Frame.parse(text), region=region)
    if not refused:
        assert contract.place((20, 20), (32, 32)).frame == region[2:]
        return
    with pytest.raises(InputError, match=f"share colours: the frames are {contract.frame.layout}.*\n.*even"):
        contract.place((20, 20), (32, 32))


def test_a_region_too_large_for_the_input_is_called_so():
    with pytest.raises(InputError, match="a region of 240x480"):
        Preprocess(region=REGION).place((360, 480), (128, 480))


def test_the_part_of_a_picture_of_another_size():
    assert part_of(REGION, (360, 480), (360, 480)) == (slice(120, 360), slice(0, 480))
    assert part_of(REGION, (360, 480), (720, 240)) == (slice(240, 720), slice(0, 240))
    assert part_of((3, 3, 1, 1), (4, 4), (2, 2)) == (slice(1, 2), slice(1, 2))
    assert part_of((0, 0, 4, 4), (4, 4), (7, 3)) == (slice(0, 7), slice(0, 3))
