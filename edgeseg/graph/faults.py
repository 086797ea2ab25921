"""How large a fault the self-check of a bundle would show, tried on wrong networks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.graph.editor import Editor
from edgeseg.graph.reference import Scores, batch_of, session
from edgeseg.graph.shapes import static_shapes
from edgeseg.runtime.frames import frame_size
from edgeseg.runtime.preprocess import preprocess
from edgeseg.runtime.tasks import Outputs, task_of

if TYPE_CHECKING:
    from onnx import ModelProto

TRIED = 4
"""Wrong networks: one channel of one convolution changes its sign, at places spread over the network."""
ENOUGH = TRIED * 5 * 1024 * 1024
"""Pixels that they are run on, all together; more only where a frame or a network would be left out."""


def smallest_shown(
    plain: ModelProto,
    spec: ModelSpec,
    frames: Array,
    right: Outputs,
    compared: NDArray[Any],
    limit: float,
) -> float | None:
    """The smallest share of pixels (or what else the task compares) that a fault moves when fewer than
    `limit` of the compared ones agree.

    Faults rarely move the pixels a network is sure of. How many of the moved pixels are compared is measured
    on TRIED wrong networks, each on all frames, or on some where those hold more than ENOUGH pixels.

    Args:
        frames: as `spec.preprocess.frame` says; N is a multiple of the batch of `plain`.
        right: what `plain` decides for them, as `golden` gives it.
        compared: the marks of the decisions that are compared, as `RuntimeTask.marks` describes them.

    Returns:
        None where none of them moved a pixel that is compared.
    """
    model, signs = _with_signs(plain)
    if not signs:
        return None
    wrong, batch = Scores(session(model), spec), batch_of(plain)
    size = frame_size(frames, spec.preprocess.frame)
    place = spec.preprocess.place(size, spec.input_size)
    unchanged = {name: np.ones_like(value) for name, value in signs.items()}
    task = task_of(spec)
    tried = trials(len(frames) // batch, len(signs), ENOUGH // (batch * math.prod(size)))
    moved = pixels = shown = marked = 0
    for number in range(len(frames) // batch):
        part = slice(number * batch, (number + 1) * batch)
        image = preprocess(frames[part], spec.preprocess, spec.input_size)
        before = {name: array[part] for name, array in right.items()}
        for index, (name, value) in enumerate(signs.items()):
            if (number, index) not in tried:
                continue
            found = task.decode(wrong(image, {**unchanged, name: value}), spec, place)
            same = task.same(found, before)
            equal, count = task.agreeing(found, before, compared[part])
            moved, pixels = moved + int((~same).sum()), pixels + same.size
            shown, marked = shown + count - equal, marked + count
    return min(1.0, (1 - limit) * (moved / pixels) / (shown / marked)) if shown else None


def trials(batches: int, networks: int, enough: int) -> set[tuple[int, int]]:
    """Which batch is tried with which network: all pairs, or at least `enough`, with every batch and every
    network in one of them."""
    ordered = [(batch, (batch + turn) % networks) for turn in range(networks) for batch in range(batches)]
    count = max(enough, batches)
    while len({network for _, network in ordered[:count]}) < networks:
        count += 1
    return set(ordered[:count])


def _with_signs(plain: ModelProto) -> tuple[ModelProto, dict[str, Array]]:
    """The network with a factor behind some convolutions, as further inputs, and for each the values that
    negate one channel."""
    editor, shapes = Editor(plain), static_shapes(plain)
    convolutions = [n for n in editor.graph.node if n.op_type == "Conv" and n.output[0] in shapes]
    wanted = np.linspace(0, len(convolutions) - 1, min(TRIED, len(convolutions))).round().astype(int)
    random = np.random.default_rng(0)
    signs: dict[str, Array] = {}
    nodes = []
    chosen = {convolutions[i].output[0] for i in wanted}
    for node in editor.graph.node:
        nodes.append(node)
        if not node.output or node.output[0] not in chosen:
            continue
        result = node.output[0]
        channels = shapes[result][1]
        ones = np.ones((1, channels, 1, 1), np.float32)
        name = editor.unique(f"{result}/sign")
        editor.graph.input.append(helper.make_tensor_value_info(name, 1, ones.shape))
        negated = ones.copy()
        negated[0, random.integers(channels)] = -1
        signs[name] = negated
        node.output[0] = editor.unique(f"{result}/right")
        nodes.append(helper.make_node("Mul", [node.output[0], name], [result]))
    editor.keep_nodes(nodes)
    return editor.finish(), signs
