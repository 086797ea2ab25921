"""Which output of a network is its score map: one rule for ONNX files and networks in PyTorch.

A score map is float [N,C,H,W], one channel per class, and covers the whole input. Where a network does not
tell which output that is, the user is asked; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.model_spec import DEFAULT_TASK
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.preprocess import Size
from edgeseg.errors import EdgesegError, ModelError
from edgeseg.runtime.seen import Seen
from edgeseg.runtime.tasks import task_named

Outputs = Mapping[str, Seen]
"""What a network returned for one image, by name, in its order."""

STRENGTHS = (1.0, 8.0)
"""Ordinary and extreme inputs: logits that stay within 0..1 on both are unlikely."""
EXPECTED = "a float output [N,C,H,W] with one channel per class, which covers the whole input"
ASK = "name the output that counts: --set output=NAME (in a recipe: model.postprocess.output)"


def noise(shape: Sequence[int]) -> list[NDArray[np.float32]]:
    """Random network inputs of this shape, the same in every run; one of each of `STRENGTHS`."""
    generator = np.random.default_rng(0)
    return [generator.standard_normal(tuple(shape), np.float32) * np.float32(s) for s in STRENGTHS]


def find_score_map(
    runs: Sequence[Outputs],
    size: Size,
    *,
    stated: str | None = None,
    stretch: bool = False,
    labels: Collection[str] = (),
    error: type[EdgesegError] = ModelError,
) -> str:
    """Name of the output that counts: the one stated, else the one with the most pixels.

    Args:
        runs: the outputs for one image each, batch 1, of `noise`.
        size: (height, width) of the network input.
        stated: what the user named.
        stretch: the user said that a map of any size covers the whole input.
        labels: outputs that are known to hold class ids.

    Raises:
        error: no such output; one that is no score map, with the reason; or several that are equally large.
    """
    first = runs[0]
    if stated is not None:
        if stated not in first:
            raise error(f"the network has no output '{stated}'", expected=f"one of {listing(first)}")
        return _require(stated, runs, size, stretch, labels, error)
    maps = [name for name, value in first.items() if _is_float_map(value)]
    if maps and any(_lists_objects(name, value, size) for name, value in first.items()):
        raise error(
            f"the network returns a list of objects: {listing(first)}",
            expected=EXPECTED,
            hint=f"its maps may be masks or prototypes of the objects; if one is a score map, {ASK}",
        )
    if not maps:
        faults = [_fault(name, runs, size, stretch, labels) for name in first]
        raise error(
            f"the network returns no score map: {'; '.join(reason for reason, _ in faults) or 'no tensor'}",
            expected=EXPECTED,
            hint=next((hint for _, hint in faults if hint), ""),
        )
    pixels = {name: _pixels(first[name], size) for name in maps}
    largest = [name for name in maps if pixels[name] == max(pixels.values())]
    if len(largest) > 1:
        equal = listing({name: first[name] for name in largest})
        raise error(f"{len(largest)} outputs are equally large: {equal}", expected="one score map", hint=ASK)
    return _require(largest[0], runs, size, stretch, labels, error)


def settled_task(stated: str | None, contract: Postprocess, channels: int, who: str = "the network") -> str:
    """What the scores decide: `semantic` unless stated.

    Args:
        who: the network, in messages.

    Raises:
        ModelError: no such task; several sigmoid channels and none stated: the largest of them, or each for
            itself? Or more of them than the outputs of the task hold, or thresholds that do not fit them.
    """
    if stated is None and contract.activation == "sigmoid" and channels > 1:
        raise ModelError(
            f"{who} ends in a sigmoid over {channels} channels, which fits both tasks",
            expected="task semantic (one class per pixel) or multilabel (one bit per class)",
            hint="state it: --set task=semantic or --set task=multilabel (in a recipe: model.task)",
        )
    task = task_named(stated or DEFAULT_TASK)
    task.require_classes(who, channels)
    contract.thresholds(1 if task.exclusive(channels) else channels)
    return task.name


def listing(outputs: Outputs) -> str:
    """Names, types and shapes, for messages."""
    return ", ".join(f"'{n}' {v.dtype} {list(v.shape)}" for n, v in outputs.items()) or "no tensor"


def covers(scores: tuple[int, ...], image: Size) -> bool:
    """Whether a map of this size covers the image: no smaller than it, or 1/s of both its sides, s whole.

    Strided layers round a side up or down. Convolutions without padding lose the border and give other sizes.
    """
    if all(s >= i for s, i in zip(scores, image)):
        return True
    return any(
        all(s - i // stride in (0, 1) for s, i in zip(scores, image)) for stride in range(2, min(image))
    )


def _require(
    name: str,
    runs: Sequence[Outputs],
    size: Size,
    stretch: bool,
    labels: Collection[str],
    error: type[EdgesegError],
) -> str:
    reason, hint = _fault(name, runs, size, stretch, labels)
    if reason:
        raise error(reason, expected=EXPECTED, hint=hint)
    return name


def _fault(
    name: str, runs: Sequence[Outputs], size: Size, stretch: bool, labels: Collection[str]
) -> tuple[str, str]:
    """Why an output is no score map, and what to do; empty where it is one."""
    values = [run[name] for run in runs if name in run]
    value = values[0]
    what = (
        f"the output '{name}' {value.dtype} {list(value.shape)}"
        if name
        else f"the output {list(value.shape)}"
    )
    if name in labels or _holds_ids(values):
        return (
            f"{what} holds class ids that the network decided on, not scores",
            "export the network without its own argmax or threshold",
        )
    if not _is_float_map(value):
        squeezed = len(value.shape) == 3 and covers(value.shape[1:], size)
        hint = "keep the axis of the channels when you export it: [1,1,H,W]" if squeezed else ""
        return f"{what} is no float [N,C,H,W]", hint
    if len(values) < len(runs) or any(v.shape != value.shape for v in values) or value.shape[0] != 1:
        return f"{what} has no one map per image: a list of found objects?", ASK
    if value.shape[2:] == (1, 1) and size != (1, 1):
        return f"{what} is one value per image: a classification", ASK
    if not value.finite:
        return f"{what} holds NaN or infinite values on a random image", "check its weights and its divisions"
    if _channels_last(value, size) and not stretch:
        return f"{what} has its channels last", "transpose it to [N,C,H,W] and export the network again"
    if not stretch and not covers(value.shape[2:], size):
        return (
            f"{what} is {value.shape[2]}x{value.shape[3]} for an input of {size[0]}x{size[1]}, no whole "
            "fraction of it: convolutions without padding leave the border out",
            "use an --input-size that is a multiple of the network's stride; --set stretch=true where the "
            "map covers the whole input all the same",
        )
    return "", ""


def _is_float_map(value: Seen) -> bool:
    return len(value.shape) == 4 and value.dtype.kind == "f"


def _lists_objects(name: str, value: Seen, size: Size) -> bool:
    """Boxes, or rows [1,objects,values] of queries or anchors: as of Mask R-CNN, Mask2Former, YOLO."""
    rows = len(value.shape) == 3 and value.dtype.kind == "f" and not covers(value.shape[1:], size)
    return rows or name.rpartition(".")[2] == "boxes"


def _holds_ids(values: Sequence[Seen]) -> bool:
    """Whether one channel holds whole numbers that are not all zero (as those of an untrained head are)."""
    if values[0].dtype.kind in "biu":
        return True
    if len(values[0].shape) == 4 and values[0].shape[1] != 1:
        return False
    return any(value.any for value in values) and all(value.whole for value in values)


def _channels_last(value: Seen, size: Size) -> bool:
    return covers(value.shape[1:3], size) and not covers(value.shape[2:], size)


def _pixels(value: Seen, size: Size) -> int:
    height, width = value.shape[1:3] if _channels_last(value, size) else value.shape[2:]
    return int(height * width)
