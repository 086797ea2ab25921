"""What tasks share that decide pixel by pixel from scores [N,C,H,W]."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.bundle import TensorInfo
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Placement, Size
from edgeseg.errors import ModelError
from edgeseg.runtime.resize import bilinear_rows, nearest
from edgeseg.runtime.strips import strips
from edgeseg.runtime.tasks import CONFIDENCE, SCORES, Outputs, task_of
from edgeseg.runtime.tiles import Grid

Float = NDArray[np.float32]


class MapTask(ABC):
    """A task with one output of the size of the frame, [N,H,W,...].

    Attributes:
        output: its name.
    """

    name: str
    output: str
    decisions = "pixels"
    slips = 1.0
    tiles = True

    @abstractmethod
    def pixel(self, spec: ModelSpec) -> tuple[str, tuple[int, ...]]:
        """Dtype and shape of what the output holds for a pixel."""

    @abstractmethod
    def sureness(self, scores: Float, spec: ModelSpec) -> Float:
        """float32 [N,C,H,W] to the probability of what `decide` gives, float32 [N,H,W] in 0..1."""

    @abstractmethod
    def decide(self, scores: Float, spec: ModelSpec) -> Array:
        """float32 [N,C,H,W] to [N,...,H,W]."""

    def outputs(
        self, spec: ModelSpec, batch: int, camera: Size, *, confidence: bool = False
    ) -> tuple[TensorInfo, ...]:
        dtype, pixel = self.pixel(spec)
        shape = (batch, *spec.preprocess.seen(camera))
        found = (TensorInfo(self.output, dtype, (*shape, *pixel)),)
        return (*found, TensorInfo(CONFIDENCE, "float32", shape)) if confidence else found

    @abstractmethod
    def margins(
        self, scores: Array, spec: ModelSpec, rivals: Array | None = None
    ) -> tuple[Array, Array | None]:
        """How far placed scores lie from another decision, [N,M,rows,w], and which channels are rivals there,
        [N,2,rows,w]; None where each score has a threshold of its own.

        Args:
            rivals: of the same pixels, found before; None: those of these scores.
        """

    def read(self, spec: ModelSpec, names: Sequence[str]) -> tuple[str, ...]:
        return (spec.postprocess.output or names[0],)

    def scores(self, network: Outputs, spec: ModelSpec) -> Array:
        return network[self.read(spec, tuple(network))[0]]

    def decode(self, scores: Float, spec: ModelSpec, placement: Placement) -> Outputs:
        """Crop the padding, resize to the camera, decide; with `upsample="labels"` the decision comes before
        the last resize, which is then nearest.

        Raises:
            ModelError: more classes than the output holds, or scores of another rank.
        """
        parts = [self.decide(part, spec) for part in self.placed(scores, spec, placement)]
        return {self.output: self.finished(nearest(np.concatenate(parts, axis=-2), placement.frame))}

    def confidence(self, scores: Float, spec: ModelSpec, placement: Placement) -> Float:
        """Float32 [N,H,W], on the same road to the camera as the decision."""
        parts = [self.sureness(part, spec) for part in self.placed(scores, spec, placement)]
        return nearest(np.concatenate(parts, axis=-2), placement.frame)

    def merge(self, tiles: Iterable[Outputs], spec: ModelSpec, grid: Grid, whole: Outputs) -> None:
        """The engine gives SCORES, float32 [1,C,h,w] of a tile: they are averaged before the decision."""
        for start, scores in grid.blended(tile[SCORES] for tile in tiles):
            rows = slice(start, start + scores.shape[2])
            whole[self.output][:, rows] = self.finished(self.decide(scores, spec))
            if CONFIDENCE in whole:
                whole[CONFIDENCE][:, rows] = self.sureness(scores, spec)

    def finished(self, decided: Array) -> Array:
        """Decisions [N,...,H,W] as the output holds them."""
        return decided

    def found(self, outputs: Outputs, spec: ModelSpec, camera: Size) -> Array:
        return outputs[self.output]

    def remark(self, outputs: Outputs) -> str:
        return ""

    def same(self, a: Outputs, b: Outputs) -> NDArray[np.bool_]:
        return np.asarray(a[self.output] == b[self.output])

    def placed(self, scores: Float, spec: ModelSpec, placement: Placement) -> Iterator[Float]:
        """The scores where it is decided on them, float32 [N,K,rows,w], in strips of rows from the top.

        Without padding, at camera size where scores are resized first. Scores at another size than the
        network input (a stride-4 head) are resized to it before.

        Yields:
            It may be a view of `scores`, and holds STRIP numbers or one row.
        """
        if scores.ndim != 4:
            raise ModelError(f"scores have the shape {list(scores.shape)}", expected="[N,C,H,W]")
        (top, bottom), (left, right) = placement.window
        stretched = scores.shape[2:] != placement.input
        size = placement.frame if spec.postprocess.upsample == "scores" else (bottom - top, right - left)

        def given(start: int, stop: int) -> Float:
            return scores[:, :, start:stop]

        def inside(start: int, stop: int) -> Float:
            start, stop = start + top, stop + top
            rows = bilinear_rows(given, scores.shape[2], placement.input, start, stop) if stretched else None
            return (given(start, stop) if rows is None else rows)[..., left:right]

        for start, stop in strips((*scores.shape[:2], *size)):
            yield bilinear_rows(inside, bottom - top, size, start, stop)

    def above(self, scores: Float, spec: ModelSpec) -> Float:
        """Scores less the threshold of their channel."""
        thresholds = np.array(spec.postprocess.score_thresholds(scores.shape[1]), np.float32)
        return np.asarray(scores - thresholds[:, None, None])

    def compared(self, stable: NDArray[Any], placement: Placement) -> NDArray[Any]:
        """Marks of the decisions that golden frames compare, bool [N,H,W].

        Args:
            stable: bool [N,M,h,w], those of `margins` that rounding cannot move.
        """
        return nearest(np.asarray(stable.all(axis=1)), placement.frame)

    def marks(self, outputs: Outputs) -> tuple[str, tuple[int, ...]]:
        return "bool", outputs[self.output].shape

    def agreeing(self, a: Outputs, b: Outputs, marks: NDArray[Any]) -> tuple[int, int]:
        return int((self.same(a, b) & marks).sum()), int(marks.sum())

    def share(self, marks: NDArray[Any], spec: ModelSpec) -> float:
        return float(marks.mean())


def map_task(spec: ModelSpec) -> MapTask:
    """Raises ModelError for a network that decides about something else than pixels."""
    task = task_of(spec)
    if not isinstance(task, MapTask):
        raise ModelError(
            f"'{spec.name}' is a network of the task {spec.task}", expected="one that decides about pixels"
        )
    return task


def probability(scores: Float, spec: ModelSpec) -> Float:
    """Of scores that each have a threshold: the sigmoid of logits, others as they are."""
    if spec.postprocess.activation != "logits":
        return np.asarray(scores, np.float32)
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * scores), np.float32)  # without overflow
