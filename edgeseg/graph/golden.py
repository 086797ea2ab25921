"""Golden frames: what the network gives for a few frames, and the pixels whose class rounding cannot move."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.core.quantization import ScoreGrid
from edgeseg.graph.reference import run, session
from edgeseg.graph.rounding import round_to, rounded
from edgeseg.runtime.preprocess import preprocess
from edgeseg.runtime.tasks import Outputs, task_of

if TYPE_CHECKING:
    from onnx import ModelProto

FULL_BITS = 17
"""Significant bits that every float32 engine keeps: 24, less 7 for sums in other orders."""
INT8_BITS = 11
"""The same between int8 levels: a value on the border of two goes to either, and the next layers spread that.
With 17 bits, a right Eff-UNet-Lite0 in OpenVINO lost 0.12% of its pixels by it, with 11 bits 0.008%."""
DEVIATIONS = 3.0
"""A pixel is stable when its margin is more than this many times what rounding does to margins around it, and
in the whole frame (root mean square)."""
WINDOW = 9
"""Side in pixels of what lies around it."""

Float = NDArray[np.float32]


def golden(
    deploy: ModelProto,
    plain: ModelProto,
    spec: ModelSpec,
    frames: NDArray[np.uint8],
    bits: int,
    *,
    full_bits: int = FULL_BITS,
    grid: ScoreGrid | None = None,
) -> dict[str, Array]:
    """What the deploy graph gives for `frames`, unoptimised in ONNX Runtime, and where rounding keeps it.

    Args:
        plain: the network in `deploy`, with a batch that divides the number of frames.
        frames: uint8 [N,H,W,3].
        bits: significant bits of what the engine computes with.
        full_bits: those that it keeps at full precision: INT8_BITS with levels of int8 between its nodes.
        grid: levels that the class decision of `deploy` reads.

    Returns:
        `frames`; the outputs of `deploy` by name; bool [N,...] of what `RuntimeTask.same` compares, such as
        pixels: `confident`, those that keep their class in `full_bits`, and `stable`, those of them that keep
        it in `bits`; `moved` float32 [N]: the share of them in each frame whose class is another in
        `full_bits`.
    """
    place = spec.preprocess.place((frames.shape[1], frames.shape[2]), spec.input_size)
    task = task_of(spec)
    image = preprocess(frames, spec.preprocess, spec.input_size)
    scores = task.scores(_in_batches(plain, image), spec)
    exact = task.placed(scores, spec, place)

    def scores_in(bits: int) -> Float:
        network = _in_batches(rounded(plain, bits), round_to(image, bits))
        return round_to(task.scores(network, spec), bits)

    def unmoved(scores: Float) -> NDArray[np.bool_]:
        found = task.placed(scores, spec, place)
        return task.compared(stable_pixels(exact, found, spec, grid.scale if grid else 0.0), place)

    full = scores_in(full_bits)
    same = task.same(*(task.decode(values, spec, place) for values in (full, scores)))
    moved = (~same).reshape(len(same), -1).mean(axis=1, dtype=np.float32)
    confident = unmoved(full)
    stable = confident if bits >= full_bits else confident & unmoved(scores_in(bits))
    found = outputs_of(deploy, frames)
    outputs = {info.name: found[info.name] for info in task.outputs(spec, len(frames), place.frame)}
    return {"frames": frames, **outputs, "confident": confident, "stable": stable, "moved": moved}


def outputs_of(deploy: ModelProto, frames: NDArray[np.uint8]) -> Outputs:
    """What a deploy graph returns for uint8 [N,H,W,3], unoptimised in ONNX Runtime."""
    return _in_batches(deploy, frames)


def stable_pixels(exact: Float, found: Float, spec: ModelSpec, step: float = 0.0) -> NDArray[np.bool_]:
    """bool [N,H,W]: the two best scores, or each score and its threshold, lie further apart than DEVIATIONS
    times the noise of that distance.

    Args:
        exact, found: scores [N,C,H,W] without and with rounding.
        step: distance of two scores that the decision still tells apart.
    """
    apart, apart_found = task_of(spec).margins(exact, found, spec)
    moved = (apart_found - apart).astype(np.float64) ** 2
    noise = np.sqrt(np.maximum(_around(moved), moved.mean((2, 3), keepdims=True)))
    stable: NDArray[np.bool_] = (np.abs(apart) > DEVIATIONS * noise + step).all(axis=1)
    return stable


def _around(values: Array) -> Array:
    """Mean over the WINDOW x WINDOW pixels around each; borders are repeated."""
    half = WINDOW // 2
    padded = np.pad(values, ((0, 0), (0, 0), (half + 1, half), (half + 1, half)), mode="edge")
    for axis in (2, 3):
        sums = np.cumsum(padded, axis=axis)
        count = sums.shape[axis]
        upper = np.take(sums, range(WINDOW, count), axis)
        padded = (upper - np.take(sums, range(count - WINDOW), axis)) / WINDOW
    return np.maximum(padded, 0.0)


def _in_batches(model: ModelProto, values: Array) -> dict[str, Array]:
    """All outputs for values [N,...]; N is a multiple of the batch of the model."""
    opened, source = session(model), model.graph.input[0]
    batch = source.type.tensor_type.shape.dim[0].dim_value
    parts = [run(opened, {source.name: values[at : at + batch]}) for at in range(0, len(values), batch)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
