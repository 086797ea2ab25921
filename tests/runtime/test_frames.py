from __future__ import annotations

import numpy as np
import pytest

from edgeseg.core.bundle import TensorInfo
from edgeseg.core.frame import Frame
from edgeseg.errors import InputError
from edgeseg.runtime.frames import copy_frames, engine_inputs, for_engine, given_frame


@pytest.mark.parametrize("shape", [(5, 7, 3), (2, 5, 7, 3)])
@pytest.mark.parametrize("swap", [False, True])
def test_frames_are_copied_with_their_channels_swapped_if_asked(shape, swap):
    whole = np.random.default_rng(0).integers(0, 256, (*shape[:-1], 4), dtype=np.uint8)
    frames = whole[..., :3]
    to = np.empty(shape, np.uint8)
    copy_frames(frames, to, positions=(2, 1, 0) if swap else (0, 1, 2))
    np.testing.assert_array_equal(to, frames[..., ::-1] if swap else frames)


def test_an_engine_without_16_bit_integers_takes_the_bytes_low_one_first():
    frames = np.array([[[[1, 0x1234]]]], np.uint16)
    wide = TensorInfo("frames", "uint8", (1, 1, 1, 4))
    assert for_engine(frames, wide).tolist() == [[[[1, 0, 0x34, 0x12]]]]
    assert for_engine(frames, TensorInfo("frames", "uint16", (1, 1, 1, 2))) is frames
    assert engine_inputs(Frame(order="2", dtype="uint16"), 1, (1, 1)) == [
        ("uint16", (1, 1, 1, 2)),
        ("uint8", (1, 1, 1, 4)),
    ]
    assert engine_inputs(Frame(order="gray"), 2, (4, 6)) == [("uint8", (2, 4, 6, 1))]


def test_a_program_may_name_the_order_of_colours_where_there_are_some():
    assert given_frame(Frame(), "bgr") == Frame(order="bgr")
    assert given_frame(Frame(order="r,g,b,depth"), "bgr").order == "b,g,r,depth"
    assert given_frame(Frame(order="gray"), None) == Frame(order="gray")
    with pytest.raises(InputError, match="color is 'rgb' for frames of gray"):
        given_frame(Frame(order="gray"), "rgb")
