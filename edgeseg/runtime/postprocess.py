"""Network scores to a class map at camera size: the NumPy reference the deploy graph is tested against."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.model_spec import ModelSpec, Task
from edgeseg.core.preprocess import Placement
from edgeseg.errors import EdgesegError, ModelError
from edgeseg.runtime.resize import bilinear_rows, nearest
from edgeseg.runtime.strips import strips

MAX_CLASSES = {"semantic": 256, "multilabel": 8}
"""What a uint8 holds: one index, or one bit per class."""


def require_classes(name: str, task: Task, count: int, error: type[EdgesegError] = ModelError) -> None:
    """Raise `error` for more classes than a class map holds."""
    if count > MAX_CLASSES[task]:
        raise error(
            f"{name} is a {task} network of {count} classes",
            expected=f"at most {MAX_CLASSES[task]}: class maps are uint8",
        )


def class_map(scores: NDArray[np.float32], spec: ModelSpec, placement: Placement) -> NDArray[np.uint8]:
    """Crop the padding, resize to the camera, decide.

    Scores at another size than the network input (a stride-4 head) are resized to it first.
    With `upsample="labels"` the decision comes before the last resize, which is then nearest.

    Args:
        scores: float32 [N,C,H,W], the network output that counts, as the network gives it.
        placement: where the frames lie in the network input.

    Returns:
        uint8 [N,*placement.frame]. C > 1: index of the largest score, the first one if equal.
        C = 1: 1 where score > threshold. Multi-label: bit c is set where score c > threshold.

    Raises:
        ModelError: more classes than a uint8 holds, or scores of another rank.
    """
    return _joined([decide(part, spec) for part in placed(scores, spec, placement)], placement)


def confidence_map(scores: NDArray[np.float32], spec: ModelSpec, placement: Placement) -> NDArray[np.float32]:
    """How sure the network is of each pixel of `class_map`, on the same road to the camera.

    Returns:
        float32 [N,*placement.frame], see `confidence`.

    Raises:
        ModelError: scores of another rank.
    """
    return _joined([confidence(part, spec) for part in placed(scores, spec, placement)], placement)


def _joined(parts: list[NDArray[Any]], placement: Placement) -> NDArray[Any]:
    """What was decided in strips of rows, at camera size."""
    return nearest(np.concatenate(parts, axis=1), placement.frame)


def placed(
    scores: NDArray[np.float32], spec: ModelSpec, placement: Placement
) -> Iterator[NDArray[np.float32]]:
    """The scores where the class is decided, without padding, in strips of rows from the top: at camera size
    with `upsample="scores"`, else at the size of the frame in the input.

    Yields:
        float32 [N,C,rows,W]; it may be a view of `scores`, and holds STRIP numbers or one row.
    """
    if scores.ndim != 4:
        raise ModelError(f"scores have the shape {list(scores.shape)}", expected="[N,C,H,W]")
    (top, bottom), (left, right) = placement.window
    stretched = scores.shape[2:] != placement.input
    size = placement.frame if spec.postprocess.upsample == "scores" else (bottom - top, right - left)

    def given(start: int, stop: int) -> NDArray[np.float32]:
        return scores[:, :, start:stop]

    def inside(start: int, stop: int) -> NDArray[np.float32]:
        start, stop = start + top, stop + top
        rows = bilinear_rows(given, scores.shape[2], placement.input, start, stop) if stretched else None
        return (given(start, stop) if rows is None else rows)[..., left:right]

    for start, stop in strips((*scores.shape[:2], *size)):
        yield bilinear_rows(inside, bottom - top, size, start, stop)


def decide(scores: NDArray[np.float32], spec: ModelSpec) -> NDArray[np.uint8]:
    """float32 [N,C,H,W] scores to a uint8 [N,H,W] class map or bit mask of the same size."""
    channels = scores.shape[1]
    require_classes(f"'{spec.name}'", spec.task, channels)
    if spec.task == "semantic" and channels > 1:
        return _largest(scores)
    above = scores > np.float32(spec.postprocess.score_threshold())
    return np.packbits(above, axis=1, bitorder="little")[:, 0]


def confidence(scores: NDArray[np.float32], spec: ModelSpec) -> NDArray[np.float32]:
    """float32 [N,C,H,W] scores to the probability of the class that `decide` chose, float32 [N,H,W] in 0..1;
    of a multi-label network that of the most probable class, chosen or not."""
    single = spec.task == "semantic" and scores.shape[1] == 1
    best = scores.max(axis=1)
    if spec.postprocess.activation != "logits":
        probability = best
    elif spec.task == "semantic" and not single:
        probability = 1.0 / np.exp(scores - best[:, None]).sum(axis=1)
    else:
        probability = 0.5 + 0.5 * np.tanh(0.5 * best)  # the sigmoid, without overflow
    if single:
        probability = np.where(decide(scores, spec) == 1, probability, 1.0 - probability)
    return np.asarray(probability, np.float32)


def _largest(scores: NDArray[np.float32]) -> NDArray[np.uint8]:
    """`scores.argmax(axis=1)`, which would copy the scores to put the channels last."""
    best = scores[:, 0].copy()
    index = np.zeros(best.shape, np.uint8)
    for channel in range(1, scores.shape[1]):
        values = scores[:, channel]
        later = (values > best).view(np.uint8)
        np.maximum(index, later * np.uint8(channel), out=index)
        np.maximum(best, values, out=best)
    if np.isnan(best).any():
        return np.asarray(scores.argmax(axis=1), np.uint8)
    return index
