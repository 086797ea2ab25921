"""What tails share that decide pixel by pixel from scores [N,C,H,W]."""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import NDArray
from onnx import ModelProto, TensorProto

from edgeseg.core.bundle import TensorInfo
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.preprocess import Placement, Size
from edgeseg.errors import GraphError
from edgeseg.graph.cropping import crop
from edgeseg.graph.editor import shape_of
from edgeseg.graph.margins import Margins, margins, margins_as, stable_decisions
from edgeseg.graph.shapes import static_shapes
from edgeseg.graph.writer import Writer
from edgeseg.runtime.tasks import CONFIDENCE, SCORES, task_of
from edgeseg.runtime.tasks.maps import map_task


class Scores(NamedTuple):
    """
    Attributes:
        tensor: float32 of the shape (N, C, H, W).
        cropped: they are those of the frame alone.
    """

    tensor: str
    shape: tuple[int, int, int, int]
    cropped: bool

    @property
    def channels(self) -> int:
        return self.shape[1]

    @property
    def size(self) -> Size:
        return self.shape[2:]

    def at_frame(self, place: Placement) -> bool:
        """Whether they lie where the frame lies: they were cropped, or have the size of the input."""
        return self.cropped or self.size == place.input


class MapTail:
    trials = 1

    def write_tile(
        self, write: Writer, plain: ModelProto, spec: ModelSpec, place: Placement
    ) -> tuple[TensorInfo, ...]:
        """SCORES, float32 [N,C,h,w], at every pixel of a tile."""
        scores = read_scores(write, plain, spec, place)
        flat, size = flatten(write, scores, spec, place)
        if size != place.frame:
            raise GraphError(
                f"the scores have {size[0]}x{size[1]} pixels, tiles {place.frame[0]}x{place.frame[1]}",
                expected="upsample=scores, or tiles of the network's input size",
            )
        shape = (*scores.shape[:2], *size)
        write.op("Reshape", "tile", [flat, write.integers("tile_shape", shape)])
        write.nodes[-1].output[0] = SCORES
        return (TensorInfo(SCORES, "float32", shape),)

    def exact(self, scores: Any, spec: ModelSpec, place: Placement) -> Margins:
        task = map_task(spec)
        return margins(task.placed(scores, spec, place), task, spec)

    def unmoved(
        self, exact: Margins, scores: Any, spec: ModelSpec, place: Placement, step: float
    ) -> NDArray[Any]:
        task = map_task(spec)
        other = margins_as(exact, task.placed(scores, spec, place), task, spec)
        return task.compared(stable_decisions(exact.apart, other, step), place)


def read_scores(write: Writer, plain: ModelProto, spec: ModelSpec, place: Placement) -> Scores:
    """The network output that counts, float32. Where the frame is padded, layers that write only its part of
    the scores are made to.

    Raises:
        GraphError: no such output, another rank, or more classes than the task's outputs hold.
    """
    names = [o.name for o in plain.graph.output]
    wanted = spec.postprocess.output or (names[0] if len(names) == 1 else "")
    if wanted not in names:
        raise GraphError(
            f"the network has no output '{wanted}'" if wanted else f"the network has {len(names)} outputs",
            expected=f"the one that counts as postprocess.output: one of {', '.join(names)}",
        )
    output = plain.graph.output[names.index(wanted)]
    shape = shape_of(output)
    if len(shape) != 4 or not all(isinstance(d, int) for d in shape):
        raise GraphError(
            f"the output '{wanted}' has the shape {list(shape)}", expected="[N,C,H,W], all of them fixed"
        )
    batch, channels, height, width = (int(d) for d in shape)
    task_of(spec).require_classes(f"'{spec.name}'", channels, GraphError)
    inside = place.padded and (height, width) == place.input
    cropped = inside and crop(write.editor, wanted, place.window, static_shapes(plain))
    if cropped:
        height, width = place.scaled
    tensor = write.cast(wanted, TensorProto.FLOAT, only_from=output.type.tensor_type.elem_type)
    return Scores(tensor, (batch, channels, height, width), cropped)


def flatten(write: Writer, scores: Scores, spec: ModelSpec, place: Placement) -> tuple[str, Size]:
    """[N,C,h*w] where the class is decided, and (h, w): what `MapTask.placed` gives.

    Planar: ArgMax over [N,C,H,W] takes OpenVINO in float32 1.6 times as long with 11 classes and 2.8 times
    with 150, a 1x1 convolution before it included (benchmarks/argmax_forms.py).
    """
    tensor, shape, size = scores.tensor, scores.shape, scores.size
    if not scores.cropped and size != place.input:
        tensor, size = write.bilinear(tensor, shape, place.input, "upsample"), place.input
    if not scores.cropped and place.padded:
        (top, bottom), (left, right) = place.window
        bounds = {"crop_starts": (top, left), "crop_ends": (bottom, right), "crop_axes": (2, 3)}
        limits = [write.integers(name, bound) for name, bound in bounds.items()]
        tensor, size = write.op("Slice", "crop", [tensor, *limits]), place.scaled
    if place.resized and spec.postprocess.upsample == "scores":
        tensor, size = write.bilinear(tensor, shape, place.frame, "to_camera"), place.frame
    flat = write.integers("flat_shape", (*shape[:2], size[0] * size[1]))
    return write.op("Reshape", "flatten", [tensor, flat]), size


def finish(write: Writer, tensor: str, shape: tuple[int, ...], place: Placement, name: str, to: int) -> None:
    """Give the output `name` of the deploy graph: `tensor` as [N,h,w,...] at camera size.

    Args:
        to: element type; FLOAT: it has that already.
    """
    tensor = write.op("Reshape", f"shape_{name}", [tensor, write.integers(f"{name}_shape", shape)])
    tensor = write.nearest(tensor, (shape[1], shape[2]), place.frame)
    if to != TensorProto.FLOAT:
        tensor = write.op("Cast", f"cast_{name}", [tensor], to=to)
    write.nodes[-1].output[0] = name


def finish_confidence(write: Writer, best: str, batch: int, size: Size, place: Placement) -> None:
    """The output CONFIDENCE from probabilities [N,h*w]."""
    finish(write, best, (batch, *size), place, CONFIDENCE, TensorProto.FLOAT)
