"""The pictures that decide between graphs, and what a graph loses on them against the FP32 network."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

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
from edgeseg.datasets.tasks import labels_of
from edgeseg.datasets.zoomed_crops import picture_of
from edgeseg.errors import DataError
from edgeseg.graph.deploy import compose
from edgeseg.graph.typed import MAXIMA_FRAMES, frame_maxima
from edgeseg.metrics.tasks import metric_of
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


class _Reference(NamedTuple):
    """Of an image: what the FP32 network says at its working point, and what is kept of all that it finds."""

    said: Any
    kept: Any


class _Seen(NamedTuple):
    """Images that were scored: what is kept of the FP32 network, and of the graph, against what is expected;
    and of the graph against the FP32 network."""

    images: list[int]
    before: list[Any]
    after: list[Any]
    same: list[Any]


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
        self._network = reference
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
            quick: on a few of the images, if they show anything.
            within: on as many of the images as show that it is within these limits: scoring ends once every
                limited drop is, with CERTAINTY.

        Raises:
            DataError: neither labels nor the FP32 network show anything in all these images.
        """
        seen = _Seen([], [], [], [])
        for portion in self._portions(quick, within):
            for index in portion:
                self._add(seen, index, find(self.frames[index]))
            if within is not None and self._keeps(seen, within):
                return msgspec.structs.replace(self._lost(seen), kept=True)
        if quick and len(seen.images) < len(self.frames) and self._nothing(seen):
            return self.loss(find)
        return self._lost(seen)

    def _portions(self, quick: bool, within: Budget | None) -> Sequence[Sequence[int]]:
        """The images in the order they are scored; each portion is spread over all of them."""
        count = len(self.frames)
        if quick:
            return (self._quick,)
        looks = 1 if within is None else max(1, min(LOOKS, count // FEWEST))
        return [range(first, count, looks) for first in range(looks)]

    def _add(self, seen: _Seen, index: int, found: Any) -> None:
        reference = self._reference[index]
        same = self._between.keep(reference.said, found)
        seen.images.append(index)
        seen.before.append(reference.kept)
        seen.after.append(self._metric.keep(self._labels[index], found) if self.labelled else same)
        seen.same.append(same)

    def _keeps(self, seen: _Seen, budget: Budget) -> bool:
        """Whether all limited drops are within the limits, with CERTAINTY. Not a drop that no image, a single
        one or a single sequence shows: it has no interval."""
        if len(seen.images) < FEWEST or self._nothing(seen):
            return False
        observed = [self._observations[i] for i in seen.images]
        drop = self._metric.drop(seen.before, seen.after, observed, confidence=2 * CERTAINTY - 1)
        shown = zip(self.spec.class_names, drop.class_drop, drop.class_high)
        highest = {name: high for name, lost, high in shown if not math.isnan(lost)}
        limits = budget.class_limits(highest)
        if not highest.keys() >= limits.keys():
            return False
        classes = ((highest[name], most) for name, most in limits.items())
        overall = () if budget.max_drop is None else ((drop.high, budget.max_drop),)
        return all(high <= most for high, most in (*overall, *classes))

    def _nothing(self, seen: _Seen) -> str:
        """Whose labels or results are empty on these images, so that nothing can be lost; empty: nobody's."""
        sides = {"the FP32 network finds": seen.same, "the labels show": seen.before}
        empty = (told for told, kept in sides.items() if math.isnan(self._metric.figures(kept).value))
        return next(empty, "")

    def _lost(self, seen: _Seen) -> Loss:
        """Raises DataError where there is nothing to lose."""
        if told := self._nothing(seen):
            raise DataError(
                f"{told} nothing in the {len(seen.images)} held-out images of {self._images.name}",
                expected="images that tell what a plan loses",
                hint="choose others; of a network of instances, state a lower threshold: --set threshold=0.3",
            )
        before, after = (self._metric.figures(kept) for kept in (seen.before, seen.after))
        same = self._between.figures(seen.same)
        return Loss(
            metric=self._metric.metric,
            drop=100 * (before.value - after.value),
            class_drop=self._named(before.classes - after.classes),
            changed=100 * (1.0 - same.value),
            class_changed=self._named(1.0 - same.classes),
            images=len(seen.images),
        )

    def _named(self, values: NDArray[np.float64]) -> dict[str, float]:
        """Of each class in points; not of one that is nowhere expected."""
        return {n: 100 * float(v) for n, v in zip(self.spec.class_names, values) if not np.isnan(v)}

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
    def _reference(self) -> Remembered:
        """`_Reference` of each image."""
        deploy = compose(self._network, self.spec, self.camera)
        network, marks = (
            Simulated(deploy, self.spec, self.camera, self._open_probe),
            labels_of(self.spec.task),
        )

        def reference(index: int) -> _Reference:
            self._progress("the FP32 network on the held-out images", index, len(self.frames))
            found = network.found(self.frames[index])
            said = marks.working(found, self.spec)
            return _Reference(said, self._metric.keep(self._labels[index] if self.labelled else said, found))

        return Remembered(len(self._images), reference)

    def _frame(self, index: int) -> Array:
        self._progress("reading the held-out images", index, len(self._images))
        return to_camera([self._images.image(index)], self.spec.preprocess.frame)[0]

    @property
    def _quick(self) -> Sequence[int]:
        step = max(1, len(self.frames) // QUICK_IMAGES)
        return range(0, len(self.frames), step)[:QUICK_IMAGES]
