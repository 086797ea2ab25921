from __future__ import annotations

import math

import msgspec
import pytest

from edgeseg.core.documents import convert
from edgeseg.core.preprocess import Placement, Preprocess
from edgeseg.errors import InputError


def test_affine_is_scale_mean_and_std():
    contract = Preprocess(scale=1 / 255, mean=(0.5, 0.25, 0.0), std=(0.5, 0.1, 1.0))
    multiplier, offset = contract.affine()
    for pixel in (0, 100, 255):
        for channel in range(3):
            expected = (pixel / 255 - contract.mean[channel]) / contract.std[channel]
            assert math.isclose(pixel * multiplier[channel] + offset[channel], expected, abs_tol=1e-12)


def test_padding_in_network_units_and_in_pixels():
    contract = Preprocess(pad_value=0.0)
    assert contract.padding_values() == (0.0, 0.0, 0.0)
    gray = Preprocess(pad_value=114.0, pad_space="pixel", mean=(0.5,) * 3, std=(0.25,) * 3)
    assert gray.padding_values() == pytest.approx([(114 / 255 - 0.5) / 0.25] * 3)


def test_a_frame_is_padded_at_the_bottom_right():
    placement = Preprocess().place((360, 480), (384, 480))
    size = (360, 480)
    assert placement == Placement(camera=size, frame=size, input=(384, 480), scaled=size, top=0, left=0)
    assert placement.padding == (0, 0, 24, 0)
    assert placement.padded and not placement.resized


def test_an_exact_fit_needs_nothing():
    placement = Preprocess(anchor="center").place((64, 96), (64, 96))
    assert not placement.padded and not placement.resized


def test_a_centred_frame():
    assert Preprocess(anchor="center").place((361, 480), (384, 512)).padding == (11, 16, 12, 16)


@pytest.mark.parametrize("frame", [(385, 480), (384, 481), (1080, 1920)])
def test_a_frame_larger_than_the_input_names_both_sizes(frame):
    with pytest.raises(InputError) as refusal:
        Preprocess().place(frame, (384, 480))
    assert f"{frame[0]}x{frame[1]}" in refusal.value.message and "384x480" in refusal.value.message
    assert "resize=letterbox" in refusal.value.hint


def test_stretch_fills_the_input():
    placement = Preprocess(resize="stretch").place((1080, 1920), (384, 480))
    assert placement.scaled == (384, 480) and placement.resized and not placement.padded


@pytest.mark.parametrize(
    ("frame", "network", "scaled", "padding"),
    [
        ((1080, 1920), (512, 512), (288, 512), (112, 0, 112, 0)),
        ((1920, 1080), (512, 512), (512, 288), (0, 112, 0, 112)),
        ((100, 200), (512, 512), (256, 512), (128, 0, 128, 0)),
        ((1, 1000), (64, 64), (1, 64), (31, 0, 32, 0)),
    ],
)
def test_letterbox_keeps_the_aspect_ratio(frame, network, scaled, padding):
    placement = Preprocess(resize="letterbox", anchor="center").place(frame, network)
    assert placement.scaled == scaled and placement.padding == padding


def test_scaled_and_padding_always_fill_the_input():
    for height in (3, 37, 64, 199):
        for width in (5, 64, 101):
            placement = Preprocess(resize="letterbox", anchor="center").place((height, width), (64, 96))
            top, left, bottom, right = placement.padding
            assert min(placement.padding) >= 0
            assert (placement.scaled[0] + top + bottom, placement.scaled[1] + left + right) == (64, 96)


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("scale", 0.0, "scale is 0.0"),
        ("std", [0.2, 0.0, 0.2], "std is"),
        ("resize", "crop", "'crop'"),
        ("color", "grb", "'grb'"),
        ("mean", [0.5, 0.5], "mean has 2 numbers"),
    ],
)
def test_wrong_fields_are_shown(field, value, named):
    with pytest.raises(InputError, match=named):
        convert({field: value}, Preprocess, where="preprocess")


def test_it_survives_json():
    contract = Preprocess(color="bgr", pad_value=3.0, resize="letterbox")
    assert msgspec.json.decode(msgspec.json.encode(contract), type=Preprocess) == contract
