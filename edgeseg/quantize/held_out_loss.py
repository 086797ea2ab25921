"""The pictures that decide between graphs, and what a graph loses on them against the FP32 network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array, Progress, silent
from edgeseg.core.preprocess import Size
from edgeseg.datasets.pictures import resize_class_map, resize_frame, to_frame_color
from edgeseg.datasets.split import Split
from edgeseg.graph.deploy import compose
from edgeseg.graph.typed import MAXIMA_FRAMES, frame_maxima
from edgeseg.metrics import confusion
from edgeseg.metrics.scores import mean_present
from edgeseg.quantize.planner_tables import Loss
from edgeseg.quantize.trial_engine import Simulated

QUICK_IMAGES = 12


class HeldOut:
    """Frames in memory, at camera size, with labels where they have them. Read when they are first asked for.

    Args:
        reference: the FP32 network, folded.
        images: neither calibration nor validation images.
    """

    def __init__(
        self,
        reference: ModelProto,
        spec: ModelSpec,
        camera: Size,
        images: Split,
        *,
        progress: Progress = silent,
    ) -> None:
        self.spec = spec
        self.camera = camera
        self.labelled = bool(images.classes) and spec.task == "semantic"
        self._reference = reference
        self._images = images
        self._progress = progress

    @cached_property
    def frames(self) -> list[Array]:
        """uint8 [H,W,3] each, in the camera's channel order."""
        found = []
        for index in range(len(self._images)):
            self._progress("reading the held-out images", index, len(self._images))
            image = resize_frame(self._images.image(index), self.camera)
            found.append(to_frame_color([image], self.spec.preprocess)[0])
        return found

    def loss(self, class_map: Callable[[Array], Array], *, quick: bool = False) -> Loss:
        """
        Args:
            class_map: of the graph that is judged, uint8 [H,W,3] to uint8 [H,W].
            quick: on a few of the images.
        """
        chosen = self._quick if quick else range(len(self.frames))
        found = [class_map(self.frames[i]) for i in chosen]
        masks = [self._masks[i] for i in chosen]
        changed = 1.0 - self._iou(masks, found, None)
        if not self.labelled:
            return _loss(self.spec, changed, float(mean_present(changed)), changed)
        labels, ignore = [self._labels[i] for i in chosen], self._images.ignore_index
        before, after = (self._iou(labels, maps, ignore) for maps in (masks, found))
        return _loss(self.spec, before - after, float(mean_present(before) - mean_present(after)), changed)

    def maxima(self, model: ModelProto) -> dict[str, float]:
        """Largest |value| of the tensors of a float graph, as `typed` wants them."""
        frames = np.stack(self.frames[:MAXIMA_FRAMES])
        return frame_maxima(compose(model, self.spec, self.camera), frames)

    @cached_property
    def _labels(self) -> list[Array]:
        """Class ids at camera size."""
        return [resize_class_map(self._images.label(i), self.camera) for i in range(len(self._images))]

    @cached_property
    def _masks(self) -> list[Array]:
        """Class maps of the FP32 network."""
        reference = Simulated(compose(self._reference, self.spec, self.camera))
        found = []
        for index, frame in enumerate(self.frames):
            self._progress("the FP32 network on the held-out images", index, len(self.frames))
            found.append(reference.class_map(frame))
        return found

    @property
    def _quick(self) -> Sequence[int]:
        step = max(1, len(self.frames) // QUICK_IMAGES)
        return range(0, len(self.frames), step)[:QUICK_IMAGES]

    def _iou(
        self, expected: Sequence[Array], found: Sequence[Array], ignore: int | None
    ) -> NDArray[np.float64]:
        """Per class over all images, 0-1; NaN for a class that is in neither."""
        count = len(self.spec.classes)
        if self.spec.task == "semantic":
            total = np.sum([confusion(a, b, count, ignore) for a, b in zip(expected, found)], axis=0)
            both = np.diagonal(total).astype(np.float64)
            union = total.sum(axis=0) + total.sum(axis=1) - both
        else:
            bits = 1 << np.arange(count, dtype=np.uint8)
            pairs = [((a[..., None] & bits) > 0, (b[..., None] & bits) > 0) for a, b in zip(expected, found)]
            both = np.sum([(a & b).sum(axis=(0, 1)) for a, b in pairs], axis=0).astype(np.float64)
            union = np.sum([(a | b).sum(axis=(0, 1)) for a, b in pairs], axis=0)
        return np.divide(both, union, out=np.full(count, np.nan), where=union > 0)


def _loss(spec: ModelSpec, classes: NDArray[np.float64], drop: float, changed: NDArray[np.float64]) -> Loss:
    def named(values: NDArray[np.float64]) -> dict[str, float]:
        return {n: 100 * float(v) for n, v in zip(spec.class_names, values) if not np.isnan(v)}

    return Loss(
        drop=100 * drop,
        class_drop=named(classes),
        changed=100 * float(mean_present(changed)),
        class_changed=named(changed),
    )
