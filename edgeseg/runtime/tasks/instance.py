"""The things of a frame, each with its box, class, score and mask: a fixed number of rows, and a count."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.bundle import TensorInfo
from edgeseg.core.instances import InstanceOutputs, Instances
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Placement, Size
from edgeseg.errors import EdgesegError, InputError, ModelError
from edgeseg.runtime.pasting import over_boxes, over_input
from edgeseg.runtime.tasks import Outputs, RuntimeTask
from edgeseg.runtime.things import IS, STEADY, distances, matched
from edgeseg.runtime.tiles import Grid

NAMES = ("instance",)

BOXES, SCORES, LABELS, MASKS = "boxes", "scores", "labels", "masks"
COUNT, UNSETTLED = "count", "unsettled"
OUTPUTS = (BOXES, SCORES, LABELS, MASKS, COUNT, UNSETTLED)
"""Of a network and of its engine."""


class InstanceTask:
    name = NAMES[0]
    decisions = "things"
    slips = 50.0  # of a handful of things one is many percents
    tiles = False

    def classes(self, channels: int) -> int:
        return channels

    def exclusive(self, channels: int) -> bool:
        return True

    def require_classes(self, who: str, count: int, error: type[EdgesegError] = ModelError) -> None:
        """Labels are int32: any number."""

    def outputs(
        self, spec: ModelSpec, batch: int, camera: Size, *, confidence: bool = False
    ) -> tuple[TensorInfo, ...]:
        """Scores are the confidence: there is no other."""
        told = told_by(spec)
        pasted = spec.postprocess.paste == "engine"
        mask = ("uint8", spec.preprocess.seen(camera)) if pasted else ("float32", told.mask_size)
        return (
            TensorInfo(BOXES, "float32", (batch, told.kept, 4)),
            TensorInfo(SCORES, "float32", (batch, told.kept)),
            TensorInfo(LABELS, "int32", (batch, told.kept)),
            TensorInfo(MASKS, mask[0], (batch, told.kept, *mask[1])),
            TensorInfo(COUNT, "int32", (batch,)),
            TensorInfo(UNSETTLED, "int32", (batch,)),
        )

    def merge(self, tiles: Iterable[Outputs], spec: ModelSpec, grid: Grid, whole: Outputs) -> None:
        raise InputError(
            f"'{spec.name}' finds things, and those of tiles are not joined", expected="whole frames"
        )

    def read(self, spec: ModelSpec, names: Sequence[str]) -> tuple[str, ...]:
        return OUTPUTS

    def scores(self, network: Outputs, spec: ModelSpec) -> Outputs:
        return {name: network[name] for name in OUTPUTS}

    def decode(self, scores: Outputs, spec: ModelSpec, placement: Placement) -> Outputs:
        """Boxes to pixels of what is seen of the camera's frame, and cut there."""
        found = {name: np.array(scores[name]) for name in OUTPUTS}
        factor, offset, limit = to_camera(placement)
        there = np.arange(found[SCORES].shape[1]) < found[COUNT][:, None]
        boxes = np.clip(found[BOXES] * factor + offset, 0, limit)
        found[BOXES] = np.where(there[..., None], boxes, np.float32(0))
        if spec.postprocess.paste == "engine":
            pasted = zip(found[MASKS], found[BOXES], found[COUNT])
            size = (*found[SCORES].shape, *placement.frame)
            found[MASKS] = np.zeros(size, np.uint8)
            for image, (masks, own, count) in enumerate(pasted):
                found[MASKS][image, :count] = _pasted(masks[:count], own[:count], spec, placement)
        return found

    def found(self, outputs: Outputs, spec: ModelSpec, camera: Size) -> Any:
        """Of N frames a list of `Instances`, of one frame its own; sorted by falling score."""
        if outputs[BOXES].ndim == 2:
            return self._of_frame(outputs, spec, spec.preprocess.place(camera, spec.input_size))
        place = spec.preprocess.place(camera, spec.input_size)
        each = range(len(outputs[BOXES]))
        return [self._of_frame({n: a[i] for n, a in outputs.items()}, spec, place) for i in each]

    def result(self, outputs: Outputs, spec: ModelSpec, camera: Size) -> Any:
        return self.found(outputs, spec, camera)

    def remark(self, outputs: Outputs) -> str:
        """Where suppression was not finished in the rounds that the network has."""
        open_boxes = int(np.asarray(outputs[UNSETTLED]).max(initial=0))
        if not open_boxes:
            return ""
        return (
            f"in some frames up to {open_boxes} boxes were left open: the network's rounds of suppression "
            "(or its candidates) were too few for them, and things may be missing or double there"
        )

    def fault(self, outputs: Outputs, spec: ModelSpec) -> str:
        labels, count = outputs[LABELS], outputs[COUNT]
        if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < len(spec.classes):
            return f"a label that is none of {len(spec.classes)} classes"
        if count.size and not 0 <= int(count.min()) <= int(count.max()) <= labels.shape[-1]:
            return f"a count of more than {labels.shape[-1]} things"
        return "" if np.isfinite(outputs[SCORES]).all() else "scores that are not finite"

    def same(self, a: Outputs, b: Outputs) -> NDArray[np.bool_]:
        """Of each row of the second bool [N,K]: it is no thing, or one that the first has too. Things that
        the first has alone count in the rows behind."""
        found = []
        for first, second in zip(_frames(a), _frames(b)):
            same = np.ones(second[SCORES].shape[0], bool)
            count, foreign = int(second[COUNT]), int((distances(second, first) > 1).sum())
            same[:count] = distances(first, second) <= 1
            same[count : count + foreign] = False
            found.append(same)
        return np.array(found)

    def unmoved(self, exact: Outputs, other: Outputs) -> NDArray[np.uint8]:
        """Marks of the things of `exact`, uint8 [N,K]: IS, and STEADY where the other outputs are nearly
        equal."""
        found = np.zeros(exact[SCORES].shape, np.uint8)
        for row, first, second in zip(found, _frames(exact), _frames(other)):
            row[: int(first[COUNT])] = np.where(matched(first, second), IS | STEADY, IS)
        return found

    def marks(self, outputs: Outputs) -> tuple[str, tuple[int, ...]]:
        return "uint8", outputs[SCORES].shape

    def agreeing(self, a: Outputs, b: Outputs, marks: NDArray[Any]) -> tuple[int, int]:
        """Things of the second that are marked and that the first has."""
        chosen = marks & STEADY > 0
        same = [np.pad(distances(x, y) <= 1, (0, chosen.shape[1] - int(y[COUNT])))
                for x, y in zip(_frames(a), _frames(b))]  # fmt: skip
        return int((np.array(same) & chosen).sum()), int(chosen.sum())

    def share(self, marks: NDArray[Any], spec: ModelSpec) -> float:
        return float((marks & STEADY > 0).sum() / max(1, (marks & IS > 0).sum()))

    def _of_frame(self, outputs: Outputs, spec: ModelSpec, place: Placement) -> Instances:
        count = int(outputs[COUNT])
        boxes, scores, labels = (np.array(outputs[name][:count]) for name in (BOXES, SCORES, LABELS))
        masks = outputs[MASKS][:count]
        if spec.postprocess.paste == "engine":
            return Instances(boxes, labels, scores, np.array(masks).view(bool))
        return Instances(boxes, labels, scores, _pasted(masks, boxes, spec, place))


def told_by(spec: ModelSpec) -> InstanceOutputs:
    """What a network of instances says about its outputs. Raises ModelError where it says nothing."""
    if spec.postprocess.instances is None:
        raise ModelError(
            f"'{spec.name}' has the task {NAMES[0]} and does not say what it returns",
            expected="postprocess.instances: how many things, and the size of their masks",
        )
    return spec.postprocess.instances


def to_camera(place: Placement) -> tuple[Array, Array, Array]:
    """Factor, offset and limit of x0, y0, x1, y1: from the network input to what is seen of a frame."""
    (high, wide), (rows, columns) = place.frame, place.scaled
    factor = np.array([wide / columns, high / rows] * 2, np.float32)
    offset = np.array([-place.left, -place.top] * 2, np.float32) * factor
    return factor, offset, np.array([wide, high] * 2, np.float32)


def _pasted(masks: Array, boxes: Array, spec: ModelSpec, place: Placement) -> NDArray[np.bool_]:
    over_box = told_by(spec).mask_over == "box"
    return over_boxes(masks, boxes, place.frame) if over_box else over_input(masks, boxes, place)


def _frames(outputs: Outputs) -> Iterable[Outputs]:
    return ({name: array[i] for name, array in outputs.items()} for i in range(len(outputs[COUNT])))


def task(name: str) -> RuntimeTask:
    return InstanceTask()
