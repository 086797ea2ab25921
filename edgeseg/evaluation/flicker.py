"""Temporal flicker: pixels that change what they say from frame to frame where the picture stands still."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.evaluation.verification import Flicker
from edgeseg.metrics.tasks import metric_of

STILL = 3
"""Levels of 255 by which every channel of a still pixel may differ: the noise of a camera and of JPEG."""
LEAST = 0.02
"""Share of still pixels from which on flicker tells something."""


class FlickerCounts:
    """Of an engine and its reference, over the frames in their order."""

    def __init__(self, spec: ModelSpec) -> None:
        self._task = metric_of(spec)
        self._still_levels = STILL * spec.preprocess.frame.full / 255.0
        self._before: tuple[str, Array, Any, Any] | None = None
        self._pixels = 0
        self._still = 0
        self._changed = np.zeros(2, np.int64)

    def add(self, sequence: str, image: Array, engine: Any, reference: Any) -> None:
        """The next frame, [H,W,C], and what is found in it.

        Args:
            sequence: the video that it is of; a frame of another one follows none.
        """
        before, self._before = self._before, (sequence, image, engine, reference)
        if before is None or before[0] != sequence or before[1].shape != image.shape:
            return
        difference = np.abs(image.astype(np.float32) - before[1])
        still = difference.max(axis=-1) <= self._still_levels
        pairs = ((before[2], engine), (before[3], reference))
        changed = [self._task.differs(*pair) for pair in pairs]
        self._pixels += still.size
        for number, pixels in enumerate(changed):
            if pixels is None:
                return
            self._changed[number] += int((pixels & still).sum())
        self._still += int(still.sum())

    def result(self) -> Flicker | None:
        """None where hardly anything stands still: no video, or one whose camera moves; and of a task that
        does not speak of pixels."""
        if not self._still or self._still < LEAST * self._pixels:
            return None
        engine, reference = (float(share) for share in self._changed / self._still)
        return Flicker(still=self._still / self._pixels, engine=engine, reference=reference)
