"""Temporal flicker: pixels that change their class from frame to frame where the picture stands still."""

from __future__ import annotations

import numpy as np

from edgeseg.core.ports import Array
from edgeseg.evaluation.verification import Flicker

STILL = 3
"""Levels of 255 by which every channel of a still pixel may differ: the noise of a camera and of JPEG."""
LEAST = 0.02
"""Share of still pixels from which on flicker tells something."""


class FlickerCounts:
    """Of an engine and its reference, over the frames in their order."""

    def __init__(self, full: float = 255.0) -> None:
        """`full`: the largest value of a pixel."""
        self._still_levels = STILL * full / 255.0
        self._before: tuple[str, Array, Array, Array] | None = None
        self._pixels = 0
        self._still = 0
        self._changed = np.zeros(2, np.int64)

    def add(self, sequence: str, image: Array, engine: Array, reference: Array) -> None:
        """The next frame, [H,W,C], and its class maps, uint8 [H,W].

        Args:
            sequence: the video that it is of; a frame of another one follows none.
        """
        before, self._before = self._before, (sequence, image, engine, reference)
        if before is None or before[0] != sequence or before[1].shape != image.shape:
            return
        difference = np.abs(image.astype(np.float32) - before[1])
        still = difference.max(axis=-1) <= self._still_levels
        self._pixels += still.size
        self._still += int(still.sum())
        for number, (then, now) in enumerate(((before[2], engine), (before[3], reference))):
            self._changed[number] += int(((then != now) & still).sum())

    def result(self) -> Flicker | None:
        """None where hardly anything stands still: no video, or one whose camera moves."""
        if not self._still or self._still < LEAST * self._pixels:
            return None
        engine, reference = (float(share) for share in self._changed / self._still)
        return Flicker(still=self._still / self._pixels, engine=engine, reference=reference)
