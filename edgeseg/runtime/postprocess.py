"""Network scores to a class map at camera size: the NumPy reference the deploy graph is tested against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.model_spec import ModelSpec, Task
from edgeseg.core.preprocess import Placement
from edgeseg.errors import EdgesegError, ModelError
from edgeseg.runtime.resize import bilinear, nearest

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
    return nearest(decide(_where_decided(scores, spec, placement), spec), placement.frame)


def confidence_map(scores: NDArray[np.float32], spec: ModelSpec, placement: Placement) -> NDArray[np.float32]:
    """How sure the network is of each pixel of `class_map`, on the same road to the camera.

    Returns:
        float32 [N,*placement.frame], see `confidence`.

    Raises:
        ModelError: scores of another rank.
    """
    return nearest(confidence(_where_decided(scores, spec, placement), spec), placement.frame)


def _where_decided(scores: NDArray[np.float32], spec: ModelSpec, placement: Placement) -> NDArray[np.float32]:
    """Scores without padding, at camera size where they are resized before the decision."""
    if scores.ndim != 4:
        raise ModelError(f"scores have the shape {list(scores.shape)}", expected="[N,C,H,W]")
    if scores.shape[2:] != placement.input:
        scores = bilinear(scores, placement.input)
    (top, bottom), (left, right) = placement.window
    scores = scores[:, :, top:bottom, left:right]
    return bilinear(scores, placement.frame) if spec.postprocess.upsample == "scores" else scores


def decide(scores: NDArray[np.float32], spec: ModelSpec) -> NDArray[np.uint8]:
    """float32 [N,C,H,W] scores to a uint8 [N,H,W] class map or bit mask of the same size."""
    channels = scores.shape[1]
    require_classes(f"'{spec.name}'", spec.task, channels)
    if spec.task == "semantic" and channels > 1:
        return np.asarray(scores.argmax(axis=1), np.uint8)
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
