"""A function from camera frames to class maps, fitted to images of any size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Size
from edgeseg.datasets.pictures import resize_class_map, resize_frame, to_camera
from edgeseg.runtime.session import Output

Call = Callable[[Array], Array]
"""Frames [N,H,W,C] at camera size, in the camera's channel order, to class maps uint8 [N,H,W]."""
Predict = Callable[[Array], Output]
"""The same frames to class maps and their confidence, as `Session.predict`."""

T = TypeVar("T")


def unsure(call: Call) -> Predict:
    """A function that tells no confidence."""
    return lambda frames: Output(call(frames), None)


class Resizing:
    """Images of any size in, class maps of the same sizes out, with their confidence if there is one.

    An image of another size than the camera is resized to it (bilinear), its maps back (nearest neighbour).

    Attributes:
        resized: how many images were resized so far; `seen`: how many there were.
    """

    def __init__(self, predict: Predict, spec: ModelSpec, camera_size: Size) -> None:
        self._predict = predict
        self._spec = spec
        self._camera = camera_size
        self.resized = 0
        self.seen = 0

    def __call__(self, images: Sequence[Array]) -> list[Array]:
        """Each [H,W,C], as `Frame.shown`, to uint8 [H,W]."""
        return [found.class_map for found in self.predict(images)]

    def predict(self, images: Sequence[Array]) -> list[Output]:
        """Each [H,W,C], as `Frame.shown`, to uint8 [H,W], and float32 [H,W] or None."""
        resized = [resize_frame(image, self._camera) for image in images]
        self.seen += len(images)
        self.resized += sum(image.shape[:2] != self._camera for image in images)
        maps, sure = self._predict(to_camera(resized, self._spec.preprocess.frame))
        found = []
        for index, image in enumerate(images):
            size = image.shape[:2]
            confidence = None if sure is None else resize_class_map(sure[index], size)
            found.append(Output(resize_class_map(maps[index], size), confidence))
        return found

    def notes(self) -> tuple[str, ...]:
        if not self.resized:
            return ()
        height, width = self._camera
        return (
            f"{self.resized} of {self.seen} frame(s) were resized to the camera size {height}x{width} and "
            "their class maps back; build the bundle with --camera-size of the data to avoid it",
        )


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """`items` in lists of `size`, the last one maybe shorter."""
    left = iter(items)
    while chunk := list(islice(left, size)):
        yield chunk
