"""Images between the size they were taken in and the camera of an engine, as inputs of a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgeseg.core.frame import Frame
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Size
from edgeseg.core.region import Region, part_of
from edgeseg.datasets.split import Read, Split
from edgeseg.datasets.tasks import labels_of
from edgeseg.runtime.frame_layouts import packed_as
from edgeseg.runtime.preprocess import preprocess


def seen_by(split: Split, camera: Size, region: Region | None = None) -> Split:
    """The images as the camera delivers them, (height, width), with labels of what a network sees of them:
    the one rule by which images of any size become frames, to calibrate, to train and to decide between
    plans.

    `verify` makes the same frames, and scores the class maps at the size of each label.

    Args:
        region: of the frames; they stay whole, their labels are those of this part.
    """
    return replace(
        _frames_of(split, camera), read_label=_Resized(split.read_label, camera, split.task, region)
    )


def _frames_of(split: Split, camera: Size) -> Split:
    """The images as frames; labels as they are."""
    return replace(split, read_image=_Resized(split.read_image, camera), stored=None)


@dataclass(frozen=True)
class _Resized:
    """Equal for an equal split, so that hashes of images are found again.

    Attributes:
        labels_of: the task of what is read; empty: it is images.
        region: the part that labels are of.
    """

    read: Read
    size: Size
    labels_of: str = ""
    region: Region | None = None

    def __call__(self, name: str) -> Any:
        read = self.read(name)
        if self.labels_of:
            marks = labels_of(self.labels_of)
            whole = marks.resized(read, self.size)
            if self.region is None:
                return whole
            return marks.part(whole, *part_of(self.region, self.size, self.size))
        return resize_frame(read, self.size)


class Inputs:
    """The images of a split as a network reads them, batch after batch, anew whenever it is iterated.

    Yields the input's name -> float32 [batch,C,h,w]. The last batch is filled up with its first images.

    Args:
        camera: size of the frames that `seen_by` makes.
    """

    def __init__(self, split: Split, spec: ModelSpec, camera: Size, *, name: str, batch: int = 1) -> None:
        self.split = _frames_of(split, camera)
        self._spec = spec
        self._camera = camera
        self._name = name
        self._batch = batch

    def of(self, split: Split) -> Inputs:
        """Those of another split."""
        return Inputs(split, self._spec, self._camera, name=self._name, batch=self._batch)

    def __len__(self) -> int:
        return -(-len(self.split) // self._batch)

    def __iter__(self) -> Iterator[dict[str, Array]]:
        contract = self._spec.preprocess
        for start in range(0, len(self.split), self._batch):
            chosen = range(start, min(start + self._batch, len(self.split)))
            images = [self.split.image(i) for i in chosen]
            images = [images[i % len(images)] for i in range(self._batch)]
            frames = to_camera(images, contract.frame)
            yield {self._name: preprocess(frames, contract, self._spec.input_size)}


def to_camera(images: Sequence[Array], frame: Frame) -> Array:
    """Images [H,W,C], as `frame.shown` says, as frames [N,...] in the layout of the camera.

    Raises:
        InputError: images of a size that its layout cannot have.
    """
    frames, positions = np.stack(images), frame.shown.positions(frame)
    if frame.layout != "packed":
        frame.require_size((frames.shape[1], frames.shape[2]))
        return packed_as(frames, frame)
    return frames if frame == frame.shown else np.ascontiguousarray(frames[..., positions])


def resize_frame(image: Array, size: Size) -> Array:
    """[H,W,C] to (height, width), bilinear with antialias; the same array when it fits."""
    if image.shape[:2] == size:
        return image
    from PIL import Image

    shape = (size[1], size[0])
    if image.dtype == np.uint8 and image.shape[2] == 3:
        return np.array(Image.fromarray(image).resize(shape, Image.Resampling.BILINEAR))
    planes = [np.ascontiguousarray(plane) for plane in np.moveaxis(image, 2, 0)]
    if image.dtype != np.uint8:
        planes = [plane.astype(np.float32) for plane in planes]
    resized = [np.asarray(Image.fromarray(p).resize(shape, Image.Resampling.BILINEAR)) for p in planes]
    result = np.stack(resized, axis=2)
    return np.rint(result).astype(image.dtype) if image.dtype == np.uint16 else result
