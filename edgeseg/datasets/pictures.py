"""Images between the size they were taken in and the camera of an engine, as inputs of a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Preprocess, Size
from edgeseg.datasets.split import Read, Split
from edgeseg.datasets.tasks import labels_of
from edgeseg.runtime.preprocess import preprocess


def seen_by(split: Split, camera: Size) -> Split:
    """The images as the camera delivers them, (height, width), with labels of that size: the one rule by
    which images of any size become frames, to calibrate, to train and to decide between plans.

    `verify` makes the same frames, and scores the class maps at the size of each label.
    """
    return replace(
        split,
        read_image=_Resized(split.read_image, camera),
        read_label=_Resized(split.read_label, camera, split.task),
    )


@dataclass(frozen=True)
class _Resized:
    """Equal for an equal split, so that hashes of images are found again.

    Attributes:
        labels_of: the task of what is read; empty: it is images.
    """

    read: Read
    size: Size
    labels_of: str = ""

    def __call__(self, name: str) -> Any:
        read = self.read(name)
        if self.labels_of:
            return labels_of(self.labels_of).resized(read, self.size)
        return resize_frame(read, self.size)


class Inputs:
    """The images of a split as a network reads them, batch after batch, anew whenever it is iterated.

    Yields the input's name -> float32 [batch,3,h,w]. The last batch is filled up with its first images.

    Args:
        camera: see `seen_by`.
    """

    def __init__(self, split: Split, spec: ModelSpec, camera: Size, *, name: str, batch: int = 1) -> None:
        self.split = seen_by(split, camera)
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
            yield {self._name: preprocess(to_frame_color(images, contract), contract, self._spec.input_size)}


def to_frame_color(rgb: Sequence[Array], contract: Preprocess) -> Array:
    """RGB images [H,W,3] as one uint8 [N,H,W,3] in the channel order of the camera."""
    frames = np.stack(rgb)
    return frames if contract.frame_color == "rgb" else np.ascontiguousarray(frames[..., ::-1])


def resize_frame(image: Array, size: Size) -> Array:
    """uint8 [H,W,3] to (height, width), bilinear with antialias; the same array when it fits."""
    if image.shape[:2] == size:
        return image
    from PIL import Image

    return np.array(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR))
