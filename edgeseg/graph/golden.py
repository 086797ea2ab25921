"""Golden frames: what the network gives for a few frames, and the decisions that rounding cannot move."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.core.quantization import ScoreGrid
from edgeseg.core.tiles import Tiles
from edgeseg.graph.reference import Scores, batch_of, outputs_that_count, run, session
from edgeseg.graph.rounding import round_to, rounded
from edgeseg.graph.tasks import tail_of
from edgeseg.graph.wide_frames import as_input
from edgeseg.runtime.frames import frame_size
from edgeseg.runtime.preprocess import preprocess
from edgeseg.runtime.strips import strips
from edgeseg.runtime.tasks import Outputs, task_of
from edgeseg.runtime.tiled import Tiled

if TYPE_CHECKING:
    from onnx import ModelProto

PLAIN = "plain/"
"""How the names of what the task decides of the plain network begin."""
FULL_BITS = 17
"""Significant bits that every float32 engine keeps: 24, less 7 for sums in other orders."""
INT8_BITS = 11
"""The same between int8 levels: a value on the border of two goes to either, and the next layers spread that.
With 17 bits, a right Eff-UNet-Lite0 in OpenVINO lost 0.12% of its pixels by it, with 11 bits 0.008%."""


def golden(
    deploy: ModelProto,
    plain: ModelProto,
    spec: ModelSpec,
    frames: Array,
    bits: int,
    *,
    full_bits: int = FULL_BITS,
    grid: ScoreGrid | None = None,
) -> dict[str, Array]:
    """What the deploy graph gives for `frames`, unoptimised in ONNX Runtime, and where rounding keeps it.

    The scores of one batch are held at a time, and what is decided by them.

    Args:
        plain: the network in `deploy`, with a batch that divides the number of frames.
        frames: as `spec.preprocess.frame` says.
        bits: significant bits of what the engine computes with.
        full_bits: those that it keeps at full precision: INT8_BITS with levels of int8 between its nodes.
        grid: levels that the class decision of `deploy` reads.

    Returns:
        `frames`; the outputs of `deploy` by name; marks of decisions (`RuntimeTask.marks`): `confident`,
        those that stay in `full_bits`, and `stable`, those of them that stay in `bits`; `moved` float32 [N]:
        the share of the pixels of each frame (what `RuntimeTask.same` tells) of which anything is another in
        `full_bits`; behind the names that begin with PLAIN, what the task decides of the scores of `plain`.
    """
    kept = _beside_rounding(plain, spec, frames, bits, full_bits, grid.scale if grid else 0.0)
    found, size = outputs_of(deploy, spec, frames), frame_size(frames, spec.preprocess.frame)
    outputs = {info.name: found[info.name] for info in task_of(spec).outputs(spec, len(frames), size)}
    return {"frames": frames, **outputs, **kept}


def _beside_rounding(
    plain: ModelProto, spec: ModelSpec, frames: Array, bits: int, full_bits: int, step: float
) -> dict[str, Array]:
    """All that `golden` returns but for what the deploy graph gives."""
    task, tail = task_of(spec), tail_of(spec)
    place = spec.preprocess.place(frame_size(frames, spec.preprocess.frame), spec.input_size)
    names, batch, bits = outputs_that_count(plain, spec), batch_of(plain), min(bits, full_bits)
    alone = names[0] if len(names) == 1 else ""
    reference = Scores(session(plain), spec)
    coarse = {count: session(rounded(plain, count, but=alone)) for count in {full_bits, bits}}
    parts: dict[str, list[Array]] = {}
    for start in range(0, len(frames), batch):
        image = preprocess(frames[start : start + batch], spec.preprocess, spec.input_size)
        scores = reference(image)
        right = task.decode(scores, spec, place)
        exact = tail.exact(scores, spec, place)
        unmoved = {}
        found = {PLAIN + name: array for name, array in right.items()}
        for count, opened in coarse.items():
            network = Scores(opened, spec, reference.memory)
            scores = _rounded_scores(network, image, count) if alone else network(image)
            if count == full_bits:
                same = task.same(task.decode(scores, spec, place), right)
                found["moved"] = (~same).reshape(len(same), -1).mean(axis=1, dtype=np.float32)
            unmoved[count] = tail.unmoved(exact, scores, spec, place, step)
            for trial in range(1, tail.trials):
                moved = network(_shaken(image, count, trial))
                unmoved[count] &= tail.unmoved(exact, moved, spec, place, step)
        found |= {"confident": unmoved[full_bits], "stable": unmoved[full_bits] & unmoved[bits]}
        for name, array in found.items():
            parts.setdefault(name, []).append(array)
    return {name: np.concatenate(part) for name, part in parts.items()}


def _shaken(image: Array, bits: int, seed: int) -> Array:
    """Other numbers that round to `bits` as these may."""
    factors = np.random.default_rng(seed).uniform(1 - 2.0**-bits, 1 + 2.0**-bits, image.shape)
    return np.asarray(image * factors, np.float32)


def outputs_of(deploy: ModelProto, spec: ModelSpec, frames: Array) -> Outputs:
    """What a deploy graph returns for frames [N,...], unoptimised in ONNX Runtime. Of a graph for tiles the
    frames are tiles, and what is decided of each by itself is returned.

    Args:
        frames: a whole number of batches.
    """
    opened, batch, name = session(deploy, keep=True), batch_of(deploy), deploy.graph.input[0].name

    def found(given: Array) -> Outputs:
        return run(opened, {name: as_input(deploy, given)})

    size = frame_size(frames, spec.preprocess.frame)
    wanted = {info.name for info in task_of(spec).outputs(spec, batch, size)}
    if not wanted <= {output.name for output in deploy.graph.output}:
        return Tiled(found, batch, Tiles(size=size, overlap=0), spec)(frames)
    parts = [found(frames[start : start + batch]) for start in range(0, len(frames), batch)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _rounded_scores(network: Scores, image: Array, bits: int) -> NDArray[np.float32]:
    """Of a rounded network that leaves its scores for this to round."""
    scores = network(round_to(image, bits))
    if scores.dtype != np.float32:
        return round_to(scores, bits)
    for start, stop in strips(scores.shape):
        rows = scores[:, :, start:stop]
        round_to(rows, bits, out=rows)
    return scores
