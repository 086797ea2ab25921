"""Boxes to pixels of the camera's frame; masks as they are, or pasted into masks of the frame's size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from edgeseg.core.bundle import TensorInfo
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.preprocess import Placement
from edgeseg.core.quantization import ScoreGrid
from edgeseg.errors import GraphError
from edgeseg.graph.editor import shape_of
from edgeseg.graph.pasting import paste
from edgeseg.graph.tasks import GraphTask
from edgeseg.graph.writer import Writer
from edgeseg.runtime.tasks import Outputs, task_of
from edgeseg.runtime.tasks.instance import BOXES, COUNT, MASKS, OUTPUTS, InstanceTask, to_camera, told_by

NAMES = ("instance",)


class InstanceTail:
    trials = 4

    def write(
        self,
        write: Writer,
        plain: ModelProto,
        spec: ModelSpec,
        place: Placement,
        *,
        confidence: bool,
        score_grid: ScoreGrid | None,
    ) -> None:
        batch = _require_outputs(plain, spec)
        wanted = {info.name: info for info in task_of(spec).outputs(spec, batch, place.camera)}
        inner = {name: write.editor.rename(name, f"{name}/network") for name in OUTPUTS}
        boxes = _to_camera(write, inner[BOXES], inner[COUNT], told_by(spec).kept, place)
        made = {**inner, BOXES: boxes}
        if spec.postprocess.paste == "engine":
            made[MASKS] = paste(write, inner[MASKS], boxes, inner[COUNT], wanted[MASKS].shape, spec, place)
        for name in (MASKS, *(other for other in OUTPUTS if other != MASKS)):
            if (
                made[name] not in write.nodes[-1].output
            ):  # no copy of the masks: TensorRT has uint8 in outputs alone
                write.op("Identity", f"return_{name}", [made[name]])
            write.nodes[-1].output[0] = name

    def write_tile(
        self, write: Writer, plain: ModelProto, spec: ModelSpec, place: Placement
    ) -> tuple[TensorInfo, ...]:
        raise GraphError(
            f"'{spec.name}' finds things, and those of tiles are not joined", expected="whole frames"
        )

    def exact(self, scores: Any, spec: ModelSpec, place: Placement) -> Outputs:
        return task_of(spec).decode(scores, spec, place)

    def unmoved(
        self, exact: Outputs, scores: Any, spec: ModelSpec, place: Placement, step: float
    ) -> NDArray[Any]:
        return InstanceTask().unmoved(exact, task_of(spec).decode(scores, spec, place))


def _to_camera(write: Writer, boxes: str, count: str, kept: int, place: Placement) -> str:
    """As `InstanceTask.decode`."""
    factor, offset, limit = to_camera(place)
    boxes = write.op("Mul", "to_camera", [boxes, write.constant("box_factor", factor)])
    boxes = write.op("Add", "from_corner", [boxes, write.constant("box_offset", offset)])
    boxes = write.op("Max", "not_before", [boxes, write.constant("box_zero", np.zeros(4, np.float32))])
    boxes = write.op("Min", "not_beyond", [boxes, write.constant("box_limit", limit)])
    rows = write.constant("rows", np.arange(kept, dtype=np.int32)[None, :, None])
    counted = write.op("Reshape", "counted", [count, write.integers("count_shape", (-1, 1, 1))])
    there = write.op("Less", "there", [rows, counted])
    return write.op("Where", "boxes", [there, boxes, write.constant("no_box", np.array(0, np.float32))])


def _require_outputs(plain: ModelProto, spec: ModelSpec) -> int:
    """The batch. Raises GraphError for a network that does not return what its contract says."""
    found = {o.name: shape_of(o) for o in plain.graph.output}
    told = told_by(spec)
    batch = shape_of(plain.graph.input[0])[0]
    shapes: dict[str, tuple[int, ...]] = {
        BOXES: (told.kept, 4),
        "scores": (told.kept,),
        "labels": (told.kept,),
        MASKS: (told.kept, *told.mask_size),
        COUNT: (),
        "unsettled": (),
    }
    wrong = [name for name, shape in shapes.items() if found.get(name) != (batch, *shape)]
    if wrong:
        raise GraphError(
            f"the network returns {', '.join(f'{n} {list(s)}' for n, s in found.items())}",
            expected=", ".join(f"{n} {[batch, *s]}" for n, s in shapes.items()),
        )
    return int(batch)


def task(name: str) -> GraphTask:
    return InstanceTail()
