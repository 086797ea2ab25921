"""Video files in and out, by OpenCV."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from edgeseg.core.ports import Array
from edgeseg.errors import DataError, InputError, MissingDependency

VIDEOS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")
USUAL_FPS = 25.0


class VideoReader:
    """Frames of a video, in order.

    Attributes:
        fps: frames per second; `USUAL_FPS` where the file does not tell.
        promised: number of frames by the file's own account; 0 where it does not tell.

    Raises:
        DataError: nothing there, or nothing that OpenCV can decode.
        MissingDependency: no OpenCV.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise DataError(f"{path} does not exist", expected="a video file")
        cv2 = _cv2()
        self._path = path
        self._capture = cv2.VideoCapture(str(path))
        self.fps: float = self._capture.get(cv2.CAP_PROP_FPS) or USUAL_FPS
        self.promised = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    def __iter__(self) -> Iterator[Array]:
        """uint8 [H,W,3] RGB."""
        good, frame = self._capture.read()
        if not good:
            raise DataError(
                f"{self._path} cannot be read as a video",
                expected="a complete video in a format OpenCV decodes",
                hint="convert it to H.264 in an .mp4 file",
            )
        while good:
            yield np.ascontiguousarray(frame[..., ::-1])
            good, frame = self._capture.read()

    def close(self) -> None:
        self._capture.release()


class VideoWriter:
    """An MPEG-4 file that takes frames of one size. Raises InputError when it cannot be written."""

    def __init__(self, path: Path, fps: float) -> None:
        self._path = path
        self._fps = fps
        self._writer: Any = None

    def write(self, frame: Array) -> None:
        """Add a frame, uint8 [H,W,3] RGB."""
        if self._writer is None:
            cv2 = _cv2()
            height, width = frame.shape[:2]
            code = cv2.VideoWriter_fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._path), code, self._fps, (width, height))
            if not self._writer.isOpened():
                raise InputError(f"{self._path} could not be written", hint="choose another --output")
        self._writer.write(np.ascontiguousarray(frame[..., ::-1]))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()


@contextmanager
def copying(source: Path, destination: Path) -> Iterator[tuple[VideoReader, VideoWriter]]:
    """A reader of `source` and a writer of `destination` at the same frame rate, closed at the end."""
    reader = VideoReader(source)
    writer = VideoWriter(destination, reader.fps)
    try:
        yield reader, writer
    finally:
        reader.close()
        writer.close()


def _cv2() -> Any:
    try:
        import cv2
    except ImportError:
        raise MissingDependency("opencv-python-headless", "video", needed_for="reading a video") from None
    return cv2
