"""A function from camera frames to what is found in them, fitted to images of any size and in RGB."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Size
from edgeseg.datasets.pictures import resize_frame, to_frame_color
from edgeseg.datasets.tasks import labels_of

Call = Callable[[Array], Any]
"""Frames uint8 [N,H,W,3] at camera size, in the camera's channel order, to N results, as in uint8 [N,H,W]."""

T = TypeVar("T")


class Resizing:
    """RGB images of any size in, results of the same sizes out.

    An image of another size than the camera is resized to it (bilinear), its result back.

    Attributes:
        resized: how many images were resized so far; `seen`: how many there were.
    """

    def __init__(self, call: Call, spec: ModelSpec, camera_size: Size) -> None:
        self._call = call
        self._spec = spec
        self._camera = camera_size
        self.resized = 0
        self.seen = 0

    def __call__(self, images: Sequence[Array]) -> list[Any]:
        """Each uint8 [H,W,3] RGB to a result, as in uint8 [H,W]."""
        resized = [resize_frame(image, self._camera) for image in images]
        self.seen += len(images)
        self.resized += sum(image.shape[:2] != self._camera for image in images)
        results = self._call(to_frame_color(resized, self._spec.preprocess))
        marks = labels_of(self._spec.task)
        return [marks.resized(found, image.shape[:2]) for found, image in zip(results, images)]

    def notes(self) -> tuple[str, ...]:
        if not self.resized:
            return ()
        height, width = self._camera
        return (
            f"{self.resized} of {self.seen} frame(s) were resized to the camera size {height}x{width} and "
            "their results back; build the bundle with --camera-size of the data to avoid it",
        )


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """`items` in lists of `size`, the last one maybe shorter."""
    left = iter(items)
    while chunk := list(islice(left, size)):
        yield chunk
