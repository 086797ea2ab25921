from __future__ import annotations

import pytest

from edgeseg.core.frame import Frame
from edgeseg.core.preprocess import Preprocess, stated_preprocess
from edgeseg.errors import InputError


@pytest.mark.parametrize(
    ("text", "channels", "dtype", "full"),
    [
        ("rgb", 3, "uint8", 255),
        ("gray", 1, "uint8", 255),
        ("gray:uint16", 1, "uint16", 65535),
        ("gray:uint16:4095", 1, "uint16", 4095),
        ("r,g,b,depth:float32", 4, "float32", 1),
        ("r,g,b,depth:float32:10", 4, "float32", 10),
        ("5", 5, "uint8", 255),
        ("gray:float32:0.3333333333333333", 1, "float32", 1 / 3),
        ("gray:float32:1234567", 1, "float32", 1234567),
        ("nv12", 3, "uint8", 255),
        ("yuyv:bt709-full", 3, "uint8", 255),
        ("bayer_rggb", 3, "uint8", 255),
        ("bayer_gbrg:uint16:1023", 3, "uint16", 1023),
    ],
)
def test_text_tells_a_frame_and_back(text, channels, dtype, full):
    frame = Frame.parse(text)
    assert (frame.channels, frame.dtype, frame.full) == (channels, dtype, full)
    assert str(frame) == text and Frame.parse(str(frame)) == frame


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rbg", "order is 'rbg'"),
        ("r,r", "different names"),
        ("r,,b", "different names"),
        ("0", "1 to 256"),
        ("257", "1 to 256"),
        ("rgb:int8", "dtype is 'int8'"),
        ("gray:uint8:300", "maximum is 300.0, expected a number above 0, at most 255"),
        ("gray:float32:-1", "maximum is -1.0"),
        ("gray:float32:nan", "maximum is nan"),
        ("gray:float32:inf", "maximum is inf"),
        ("gray:uint16:lots", "lots"),
        ("packed", "layout is 'packed', expected one of nv12, yuyv, bayer_rggb"),
        ("nv21", "layout is 'nv21'"),
        ("nv12:uint16", "followed by one of bt601, bt601-full"),
        ("nv12:bt709:255", "followed by one of"),
        ("bayer_rggb:float32", "expected uint8 or uint16"),
        ("bayer_rggb:raw10", r"unpack them to 16 bits, and say bayer_rggb:uint16:1023"),
        ("bayer_rggb:raw12", r"unpack them to 16 bits, and say bayer_rggb:uint16:4095"),
        ("bayer_rgbg", "layout is 'bayer_rgbg'"),
    ],
)
def test_other_text_is_refused(text, told):
    with pytest.raises(InputError, match=told):
        Frame.parse(text)


def test_colours_change_places_and_other_channels_stay():
    frame = Frame(order="b,g,r,depth")
    assert frame.shown.order == "r,g,b,depth"
    assert frame.positions(frame.shown) == (2, 1, 0, 3)
    assert Frame(order="bgr").shown == Frame() and Frame(order="gray").shown == Frame(order="gray")


def test_mean_and_std_follow_the_names_of_the_channels():
    assert Preprocess(color="bgr").mean == (0.406, 0.456, 0.485)
    gray = stated_preprocess({"frame": "gray:uint16:4095"})
    assert gray.mean == (0.449,) and gray.std == (0.226,) and gray.scale == pytest.approx(1 / 4095)
    four = stated_preprocess({"frame": "depth,b,g,r"})
    assert four.names == ("depth", "r", "g", "b") and four.permutation == (0, 3, 2, 1)
    assert four.mean == (0.449, 0.485, 0.456, 0.406)
    caffe = Preprocess(color="bgr", scale=1.0, mean=(104.0, 117.0, 123.0), std=(1.0,))
    changed = stated_preprocess({"frame": "gray:uint16"}, caffe)
    assert changed.scale == pytest.approx(255 / 65535)
    assert changed.mean == pytest.approx((114.666667,)) and changed.std == (1.0,)
    kept = stated_preprocess({"frame": "gray", "mean": [0.2]}, caffe)
    assert kept.mean == (0.2,) and kept.std == (1.0,) and kept.scale == 1.0


def test_one_number_stands_for_all_channels():
    assert Preprocess(mean=(0.5,), std=(0.25,)).mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("text", "shape", "odd"),
    [
        ("bgr", (2, 6, 8, 3), ()),
        ("nv12", (2, 9, 8), ((5, 8), (6, 7))),
        ("yuyv", (2, 6, 8, 2), ((6, 7),)),
        ("bayer_bggr", (2, 6, 8), ((5, 8), (6, 7))),
    ],
)
def test_a_layout_tells_the_array_of_a_picture(text, shape, odd):
    frame = Frame.parse(text)
    assert frame.shape(2, 6, 8) == shape and frame.shape(6, 8) == shape[1:]
    assert frame.picture_size(shape) == frame.picture_size(shape[1:]) == (6, 8)
    Preprocess(frame=frame).place((6, 8), (32, 32))
    for size in odd:
        with pytest.raises(InputError, match=rf"camera size is {size[0]}x{size[1]}.*\n.*even"):
            Preprocess(frame=frame).place(size, (32, 32))


def test_of_a_layout_the_network_sees_rgb():
    frame = Frame.parse("bayer_grbg:uint16:4095")
    assert frame.shown == Frame(dtype="uint16", maximum=4095)
    assert Frame.parse("nv12").shown == Frame()
    contract = Preprocess(frame=frame, color="bgr")
    assert contract.names == ("b", "g", "r") and contract.permutation == (2, 1, 0)
    assert contract.of_images.frame == frame.shown


@pytest.mark.parametrize(
    "fields",
    [
        {"layout": "nv12", "order": "bgr"},
        {"layout": "nv12", "dtype": "uint16"},
        {"layout": "bayer_rggb", "ycbcr": "bt709"},
        {"ycbcr": "bt601"},
    ],
)
def test_fields_that_contradict_each_other_are_refused(fields):
    with pytest.raises(InputError, match=r"expected|holds"):
        stated_preprocess({"frame": fields})
