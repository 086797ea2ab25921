"""A function from camera frames to what is found in them, fitted to images of any size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Size
from edgeseg.core.region import Part
from edgeseg.datasets.pictures import resize_frame, to_camera
from edgeseg.datasets.tasks import labels_of
from edgeseg.runtime.frames import frame_size
from edgeseg.runtime.resize import nearest
from edgeseg.runtime.session import Session
from edgeseg.runtime.tasks import CONFIDENCE

Call = Callable[[Array], Any]
"""Frames [N,...] at camera size, in the camera's channel order, to N results, as in uint8 [N,H,W]."""
Predict = Callable[[Array], tuple[Any, Any]]
"""The same frames to N results and their confidence, float32 [N,H,W] or None."""

T = TypeVar("T")


def unsure(call: Call) -> Predict:
    """A function that tells no confidence."""
    return lambda frames: (call(frames), None)


def told_by(session: Session) -> Predict:
    def predict(frames: Array) -> tuple[Any, Any]:
        outputs = session.outputs(frames)
        size = frame_size(frames, session.frame)
        return session.task.found(outputs, session.spec, size), outputs.get(CONFIDENCE)

    return predict


class Resizing:
    """Images of any size in, results of the same sizes out, with their confidence if there is one.

    An image of another size than the camera is resized to it (bilinear), its result back, and its confidence
    (nearest neighbour). Where `predict` cuts tiles it takes them as they are. Where the network sees a region
    of the frame, results are those of this part of the image.

    Attributes:
        resized: how many images were resized so far; `seen`: how many there were.
    """

    def __init__(self, predict: Predict, spec: ModelSpec, camera_size: Size | None) -> None:
        """Args: camera_size: None: any that tiles are cut of."""
        self._predict = predict
        self._spec = spec
        self._camera = camera_size
        self.resized = 0
        self.seen = 0

    def __call__(self, images: Sequence[Array]) -> list[Any]:
        """Each [H,W,C], as `Frame.shown`, to a result, as in uint8 [H,W], or [h,w] of the part."""
        return [found for found, _ in self.predict(images)]

    def predict(self, images: Sequence[Array]) -> list[tuple[Any, Any]]:
        """Each to a result, and float32 [H,W] or None."""
        if self._camera is None:
            self.seen += len(images)
            return [self._as_it_is(image) for image in images]
        resized = [resize_frame(image, self._camera) for image in images]
        self.seen += len(images)
        self.resized += sum(image.shape[:2] != self._camera for image in images)
        results, sure = self._predict(to_camera(resized, self._spec.preprocess.frame))
        marks = labels_of(self._spec.task)
        found = []
        for index, image in enumerate(images):
            size = (self.image(image).shape[0], self.image(image).shape[1])
            confidence = None if sure is None else nearest(sure[index], size)
            found.append((marks.resized(results[index], size), confidence))
        return found

    def part(self, size: Size) -> Part | None:
        """What the network sees of an image of (height, width), in its pixels; None: all."""
        return None if self._camera is None else self._spec.preprocess.part_of(size, self._camera)

    def image(self, image: Array) -> Array:
        """The part of an image [H,W,C] that the network sees: a view."""
        part = self.part((image.shape[0], image.shape[1]))
        return image if part is None else image[part]

    def label(self, label: Any) -> Any:
        """The same of the label of an image, or of a result for all of it."""
        marks = labels_of(self._spec.task)
        part = self.part(marks.size(label))
        return label if part is None else marks.part(label, *part)

    def _as_it_is(self, image: Array) -> tuple[Any, Any]:
        results, sure = self._predict(to_camera([image], self._spec.preprocess.frame))
        return results[0], None if sure is None else sure[0]

    def notes(self) -> tuple[str, ...]:
        if not self.resized or self._camera is None:
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
