from __future__ import annotations

import numpy as np
import pytest

from edgeseg.runtime.frames import copy_frames


@pytest.mark.parametrize("shape", [(5, 7, 3), (2, 5, 7, 3)])
@pytest.mark.parametrize("swap", [False, True])
def test_frames_are_copied_with_their_channels_swapped_if_asked(shape, swap):
    whole = np.random.default_rng(0).integers(0, 256, (*shape[:-1], 4), dtype=np.uint8)
    frames = whole[..., :3]
    to = np.empty(shape, np.uint8)
    copy_frames(frames, to, swap=swap)
    np.testing.assert_array_equal(to, frames[..., ::-1] if swap else frames)
