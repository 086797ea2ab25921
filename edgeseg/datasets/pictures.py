"""Images between the size they were taken in and the camera of an engine, as inputs of a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Preprocess, Size
from edgeseg.datasets.split import Split
from edgeseg.runtime.preprocess import preprocess


class Inputs:
    """The images of a split as a network reads them, batch after batch, anew whenever it is iterated.

    Yields the input's name -> float32 [batch,3,h,w]. The last batch is filled up with its first images.

    Args:
        camera: (height, width) to which images are resized first, as frames are.
    """

    def __init__(self, split: Split, spec: ModelSpec, camera: Size, *, name: str, batch: int = 1) -> None:
        self.split = split
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
            images = [resize_frame(self.split.image(i), self._camera) for i in chosen]
            images = [images[i % len(images)] for i in range(self._batch)]
            yield {self._name: preprocess(to_frame_color(images, contract), contract, self._spec.input_size)}


def to_frame_color(rgb: Sequence[Array], contract: Preprocess) -> Array:
    """RGB images [H,W,3] as one uint8 [N,H,W,3] in the channel order of the camera."""
    frames = np.stack(rgb)
    return frames if contract.frame_color == "rgb" else np.ascontiguousarray(frames[..., ::-1])


def resize_frame(image: Array, size: Size) -> Array:
    """uint8 [H,W,3] to (height, width), bilinear with antialias; the same array when it fits."""
    return _resize(image, size, nearest=False)


def resize_class_map(class_map: Array, size: Size) -> Array:
    """uint8 [H,W] to (height, width), nearest neighbour; the same array when it fits."""
    return _resize(class_map, size, nearest=True)


def _resize(array: Array, size: Size, *, nearest: bool) -> Array:
    if array.shape[:2] == size:
        return array
    from PIL import Image

    method = Image.Resampling.NEAREST if nearest else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(array).resize((size[1], size[0]), method))
