"""The pictures that decide between graphs, and what a graph loses on them against the FP32 network."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array, Progress, silent
from edgeseg.core.preprocess import Size
from edgeseg.core.recipe import Budget
from edgeseg.datasets.pictures import to_camera
from edgeseg.datasets.split import Split
from edgeseg.datasets.zoomed_crops import picture_of
from edgeseg.graph.deploy import compose
from edgeseg.graph.typed import MAXIMA_FRAMES, frame_maxima
from edgeseg.metrics.tasks import Figures, MetricTask, metric_of
from edgeseg.quantization.planner.tables import Loss
from edgeseg.quantization.planner.trial_engine import Simulated
from edgeseg.quantization.ranges.probe import HERE, OpenProbe

QUICK_IMAGES = 12
LOOKS, FEWEST = 4, 16
"""A loss within limits is looked at so many times, and not on fewer images."""
CERTAINTY = 0.95
"""With which a drop is said to be within a limit: a question with one side."""


class Remembered(Sequence[Any]):
    """What is made when they are first asked for, and kept."""

    def __init__(self, count: int, make: Callable[[int], Any]) -> None:
        self._count = count
        self._make = make
        self._made: dict[int, Any] = {}

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Any:  # type: ignore[override]
        if not 0 <= index < self._count:
            raise IndexError(index)
        if index not in self._made:
            self._made[index] = self._make(index)
        return self._made[index]


class HeldOut:
    """Frames in memory, at camera size, with labels where they have them. Read when they are first asked for.

    Args:
        reference: the FP32 network, folded.
        images: neither calibration nor validation images, as `seen_by` gives them.
        open_probe: how `reference` is run, in float32.
    """

    def __init__(
        self,
        reference: ModelProto,
        spec: ModelSpec,
        camera: Size,
        images: Split,
        *,
        open_probe: OpenProbe = HERE,
        progress: Progress = silent,
    ) -> None:
        self.spec = spec
        self.camera = camera
        self.labelled = bool(images.classes) and images.task == spec.task
        ignore = images.ignore_index if self.labelled else None
        self._metric, self._between = metric_of(spec, ignore), metric_of(spec)
        self._reference = reference
        self._images = images
        self._open_probe = open_probe
        self._progress = progress

    @cached_property
    def frames(self) -> Remembered:
        """uint8 [H,W,3] each, in the camera's channel order."""
        return Remembered(len(self._images), self._frame)

    def loss(
        self, find: Callable[[Array], Any], *, quick: bool = False, within: Budget | None = None
    ) -> Loss:
        """
        Args:
            find: the graph that is judged, uint8 [H,W,3] to what the task finds in it.
            quick: on a few of the images.
            within: on as many of the images as show that it is within these limits: scoring ends once every
                limited drop is, with CERTAINTY.
        """
        chosen: list[int] = []
        found: list[Any] = []
        kept = False
        for portion in self._portions(quick, within):
            chosen += portion
            found += [find(self.frames[i]) for i in portion]
            kept = within is not None and self._keeps(chosen, found, within)
            if kept:
                break
        return msgspec.structs.replace(self._lost(chosen, found), images=len(chosen), kept=kept)

    def _portions(self, quick: bool, within: Budget | None) -> Sequence[Sequence[int]]:
        """The images in the order they are scored; each portion is spread over all of them."""
        count = len(self.frames)
        if quick:
            return (self._quick,)
        looks = 1 if within is None else max(1, min(LOOKS, count // FEWEST))
        return [range(first, count, looks) for first in range(looks)]

    def _keeps(self, chosen: Sequence[int], found: Sequence[Any], budget: Budget) -> bool:
        """Whether all limited drops are within the limits, with CERTAINTY. Not a drop that no image, a single
        one or a single sequence shows: it has no interval."""
        if len(chosen) < FEWEST:
            return False
        expected = self._labels if self.labelled else self._masks
        before, after = (
            [self._metric.keep(expected[i], maps[n]) for n, i in enumerate(chosen)]
            for maps in ([self._masks[i] for i in chosen], found)
        )
        observed = [self._observations[i] for i in chosen]
        drop = self._metric.drop(before, after, observed, confidence=2 * CERTAINTY - 1)
        shown = zip(self.spec.class_names, drop.class_drop, drop.class_high)
        highest = {name: high for name, lost, high in shown if not math.isnan(lost)}
        limits = budget.class_limits(highest)
        if not highest.keys() >= limits.keys():
            return False
        classes = ((highest[name], most) for name, most in limits.items())
        overall = () if budget.max_drop is None else ((drop.high, budget.max_drop),)
        return all(high <= most for high, most in (*overall, *classes))

    def _lost(self, chosen: Sequence[int], found: Sequence[Any]) -> Loss:
        masks = [self._masks[i] for i in chosen]
        same = _figures(self._between, masks, found)
        if not self.labelled:
            return _loss(self.spec, 1.0 - same.classes, 1.0 - same.value, same)
        labels = [self._labels[i] for i in chosen]
        before, after = (_figures(self._metric, labels, maps) for maps in (masks, found))
        return _loss(self.spec, before.classes - after.classes, before.value - after.value, same)

    def maxima(self, model: ModelProto) -> dict[str, float]:
        """Largest |value| of the tensors of a float graph, as `typed` wants them."""
        frames = np.stack([self.frames[i] for i in range(min(MAXIMA_FRAMES, len(self.frames)))])
        return frame_maxima(compose(model, self.spec, self.camera), frames, self.spec.preprocess.frame)

    @cached_property
    def _observations(self) -> tuple[str, ...]:
        """The sequence each image comes from; of a single one, the picture it is or is a part of."""
        names = self._images.sequences
        return names if len(set(names)) > 1 else tuple(picture_of(name) for name in self._images.ids)

    @cached_property
    def _labels(self) -> Remembered:
        """At camera size."""
        return Remembered(len(self._images), self._images.label)

    @cached_property
    def _masks(self) -> Remembered:
        """Class maps of the FP32 network."""
        deploy = compose(self._reference, self.spec, self.camera)
        reference = Simulated(deploy, self.spec, self.camera, self._open_probe)

        def mask(index: int) -> Any:
            self._progress("the FP32 network on the held-out images", index, len(self.frames))
            return reference.found(self.frames[index])

        return Remembered(len(self._images), mask)

    def _frame(self, index: int) -> Array:
        self._progress("reading the held-out images", index, len(self._images))
        return to_camera([self._images.image(index)], self.spec.preprocess.frame)[0]

    @property
    def _quick(self) -> Sequence[int]:
        step = max(1, len(self.frames) // QUICK_IMAGES)
        return range(0, len(self.frames), step)[:QUICK_IMAGES]


def _figures(metric: MetricTask, expected: Sequence[Any], found: Sequence[Any]) -> Figures:
    """Of all images together; NaN for a class that is nowhere expected."""
    return metric.figures([metric.keep(a, b) for a, b in zip(expected, found)])


def _loss(spec: ModelSpec, classes: NDArray[np.float64], drop: float, same: Figures) -> Loss:
    def named(values: NDArray[np.float64]) -> dict[str, float]:
        return {n: 100 * float(v) for n, v in zip(spec.class_names, values) if not np.isnan(v)}

    return Loss(
        metric=metric_of(spec).metric,
        drop=100 * drop,
        class_drop=named(classes),
        changed=100 * (1.0 - same.value),
        class_changed=named(1.0 - same.classes),
    )
