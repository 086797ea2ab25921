from __future__ import annotations

import numpy as np
import pytest

from edgeseg.core.frame import Frame
from edgeseg.core.preprocess import Preprocess
from edgeseg.errors import InputError
from edgeseg.runtime.frame_layouts import packed_as, unpacked
from edgeseg.runtime.preprocess import preprocess

PATTERNS = ("rggb", "bggr", "grbg", "gbrg")
YUV = ("nv12", "nv12:bt601-full", "nv12:bt709", "nv12:bt709-full", "yuyv", "yuyv:bt709")


def smooth(height=24, width=36, full=255, dtype=np.uint8) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width] / 40.0
    waves = [np.sin(rows * 2 + 1) + np.cos(columns), np.cos(rows + columns * 2), np.sin(columns * 2 + rows)]
    image = np.stack([wave - wave.min() for wave in waves], axis=2)
    return np.rint((image / image.max() * 0.8 + 0.1) * full).astype(dtype)[None]


def noise(frame: Frame, height=16, width=20) -> np.ndarray:
    shape = frame.shape(2, height, width)
    return np.random.default_rng(5).integers(0, int(frame.full) + 1, shape).astype(frame.dtype)


@pytest.mark.parametrize("layout", ["nv12", "yuyv"])
def test_yuv_is_what_opencv_makes_of_it(layout):
    """OpenCV rounds to whole levels, its weights to 20 bits, and takes luma below black for black."""
    cv2 = pytest.importorskip("cv2")
    code = {"nv12": cv2.COLOR_YUV2RGB_NV12, "yuyv": cv2.COLOR_YUV2RGB_YUYV}[layout]
    frames = noise(Frame(layout=layout))
    luma = frames[:, :16] if layout == "nv12" else frames[..., 0]
    np.maximum(luma, 16, out=luma)
    expected = np.stack([cv2.cvtColor(frame, code) for frame in frames])
    found = unpacked(frames, Frame(layout=layout)).transpose(0, 2, 3, 1)
    assert found.dtype == np.float32 and found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1.0


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_mosaic_is_what_opencv_makes_of_it(pattern, dtype):
    """OpenCV rounds to whole levels and copies its borders from the inside."""
    cv2 = pytest.importorskip("cv2")
    frame = Frame(layout=f"bayer_{pattern}", dtype=dtype)
    frames = noise(frame)
    code = getattr(cv2, f"COLOR_Bayer{pattern.upper()}2RGB")
    expected = np.stack([cv2.cvtColor(one, code) for one in frames])
    found = unpacked(frames, frame).transpose(0, 2, 3, 1)
    assert np.abs(found - expected)[:, 1:-1, 1:-1].max() <= 0.5


@pytest.mark.parametrize("text", [*YUV, *(f"bayer_{p}" for p in PATTERNS), "bayer_grbg:uint16:4095"])
def test_a_smooth_picture_comes_back(text):
    frame = Frame.parse(text)
    images = smooth(full=int(frame.full), dtype=frame.dtype)
    frames = packed_as(images, frame)
    assert frames.dtype == frame.dtype and frames.shape == frame.shape(1, 24, 36)
    assert frame.picture_size(frames.shape) == (24, 36)
    back = unpacked(frames, frame).transpose(0, 2, 3, 1)
    apart = np.abs(back - images.astype(np.float32))
    step = sum(np.abs(np.diff(images.astype(int), axis=axis)).max() for axis in (1, 2))
    assert apart.max() <= step + 2


@pytest.mark.parametrize("text", YUV)
def test_black_white_and_gray_keep_their_values(text):
    frame = Frame.parse(text)
    images = np.repeat(np.array([0, 128, 255], np.uint8), 4 * 4 * 3).reshape(3, 4, 4, 3)
    back = unpacked(packed_as(images, frame), frame)
    assert np.abs(back - images.transpose(0, 3, 1, 2)).max() <= 0.6


def test_limited_range_is_that_of_the_standard():
    white, red = np.full((1, 2, 2, 3), 255, np.uint8), np.zeros((1, 2, 2, 3), np.uint8)
    red[..., 0] = 255
    assert packed_as(white, Frame(layout="yuyv"))[0, 0].tolist() == [[235, 128], [235, 128]]
    assert packed_as(red, Frame(layout="yuyv"))[0, 0].tolist() == [[81, 90], [81, 240]]
    assert packed_as(red, Frame.parse("yuyv:bt709"))[0, 0].tolist() == [[63, 102], [63, 240]]


def test_colours_out_of_range_are_cut():
    frames = np.full((1, 4, 4, 2), 255, np.uint8)
    assert unpacked(frames, Frame(layout="yuyv")).max() == 255


def test_the_contract_goes_on_from_there():
    frame, images = Frame.parse("bayer_rggb:uint16:1023"), smooth(full=1023, dtype=np.uint16)
    contract = Preprocess(frame=frame, color="bgr", mean=(0.2,), std=(1.0,))
    found = preprocess(packed_as(images, frame), contract, (24, 36))
    expected = images.transpose(0, 3, 1, 2)[:, ::-1] / 1023 - 0.2
    assert np.abs(found - expected).max() < 0.05


@pytest.mark.parametrize(
    ("text", "shape", "expected"),
    [
        ("nv12", (1, 24, 36, 3), r"\[N,H\*3/2,W\]"),
        ("nv12", (1, 25, 36), r"\[N,H\*3/2,W\]"),
        ("yuyv", (1, 24, 36, 3), r"\[N,H,W,2\]"),
        ("bayer_rggb", (24, 36), r"\[N,H,W\]"),
    ],
)
def test_other_arrays_are_refused(text, shape, expected):
    with pytest.raises(InputError, match=expected):
        preprocess(np.zeros(shape, np.uint8), Preprocess(frame=Frame.parse(text)), (64, 64))
