from __future__ import annotations

import numpy as np
import pytest

from edgeseg.datasets.patterns import colour_bars, colours, texture


@pytest.mark.parametrize("size", [(32, 48), (33, 40), (240, 320)])
def test_patterns_are_frames_that_follow_from_their_seed(size):
    for make in (texture, colours):
        frame = make(size, 3)
        assert frame.dtype == np.uint8 and frame.shape == (*size, 3)
        np.testing.assert_array_equal(frame, make(size, 3))
        assert (frame != make(size, 4)).mean() > 0.5
        assert frame.std() > 30


def test_the_card_has_black_white_and_grey():
    card = colour_bars((60, 90))
    colours_seen = {tuple(p) for p in card[:20].reshape(-1, 3).tolist()}
    assert {(0, 0, 0), (255, 255, 255), (128, 128, 128), (255, 0, 0)} <= colours_seen
