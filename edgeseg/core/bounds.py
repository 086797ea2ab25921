"""Numbers beyond which no machine follows: one message instead of a crash, or of a wait without an end."""

from __future__ import annotations

MOST_PIXELS = 1 << 26
"""Of all frames of one call: 8192x8192, or 32 frames of 1080p. With the 32 channels of a usual first layer a
tensor then has 2^31 elements, more than engines index."""
MOST_CLASSES = 1 << 14
"""Scores of so many classes take 1 GB at 128x128 pixels."""
MOST_THREADS = 1024
MOST_STREAMS = 256
"""Requests of one session: each has its own memory."""


def fits(size: tuple[int, int], batch: int = 1) -> bool:
    """Whether frames of (height, width) have pixels, and not more than an engine takes."""
    return min(*size, batch) >= 1 and size[0] * size[1] * batch <= MOST_PIXELS


FITTING = f"sides of 1 or more and at most {MOST_PIXELS:,} pixels in all frames of a call"
