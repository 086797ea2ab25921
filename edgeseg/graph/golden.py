"""Golden frames: what the network gives for a few frames, and the pixels whose class rounding cannot move."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.core.quantization import ScoreGrid
from edgeseg.graph.deploy import CLASS_MAP
from edgeseg.graph.margins import margins, margins_as, stable_pixels
from edgeseg.graph.reference import Scores, batch_of, output_of, run, session
from edgeseg.graph.rounding import round_to, rounded
from edgeseg.graph.wide_frames import as_input
from edgeseg.runtime.frames import frame_size
from edgeseg.runtime.postprocess import class_map, placed
from edgeseg.runtime.preprocess import preprocess
from edgeseg.runtime.resize import nearest
from edgeseg.runtime.strips import strips

if TYPE_CHECKING:
    from onnx import ModelProto

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
        `frames`; `class_map` uint8 [N,H,W]; bool [N,H,W]: `confident`, the pixels that keep their class in
        `full_bits`, and `stable`, those of them that keep it in `bits`; `moved` float32 [N]: the share
        of the pixels of each frame whose class is another in `full_bits`; `plain` uint8 [N,H,W]: what
        `class_map` of edgeseg.runtime.postprocess gives for the scores of `plain`.
    """
    kept = _beside_rounding(plain, spec, frames, bits, full_bits, grid.scale if grid else 0.0)
    return {"frames": frames, "class_map": class_maps(deploy, frames), **kept}


def _beside_rounding(
    plain: ModelProto, spec: ModelSpec, frames: Array, bits: int, full_bits: int, step: float
) -> dict[str, Array]:
    """All that `golden` returns but for what the deploy graph gives."""
    place = spec.preprocess.place(frame_size(frames, spec.preprocess.frame), spec.input_size)
    output, batch, bits = output_of(plain, spec), batch_of(plain), min(bits, full_bits)
    reference = Scores(session(plain), output)
    coarse = {count: session(rounded(plain, count, but=output)) for count in {full_bits, bits}}
    parts: dict[str, list[Array]] = {name: [] for name in ("confident", "stable", "moved", "plain")}
    for start in range(0, len(frames), batch):
        image = preprocess(frames[start : start + batch], spec.preprocess, spec.input_size)
        memory = reference(image)
        right, exact = class_map(memory, spec, place), margins(placed(memory, spec, place), spec)
        unmoved = {}
        for count, opened in coarse.items():
            scores = _rounded_scores(Scores(opened, output, memory), image, count)
            if count == full_bits:
                parts["moved"].append((class_map(scores, spec, place) != right).mean((1, 2), np.float32))
            found = margins_as(exact, placed(scores, spec, place), spec)
            unmoved[count] = nearest(stable_pixels(exact.apart, found, step), place.frame)
        parts["confident"].append(unmoved[full_bits])
        parts["stable"].append(unmoved[full_bits] & unmoved[bits])
        parts["plain"].append(right)
    return {name: np.concatenate(part) for name, part in parts.items()}


def class_maps(deploy: ModelProto, frames: Array) -> NDArray[np.uint8]:
    """uint8 [N,H,W] of a deploy graph for frames [N,...], unoptimised in ONNX Runtime."""
    opened, batch, name = session(deploy), batch_of(deploy), deploy.graph.input[0].name
    given = as_input(deploy, frames)
    parts = (given[start : start + batch] for start in range(0, len(given), batch))
    return np.concatenate([run(opened, {name: part}, [CLASS_MAP])[CLASS_MAP] for part in parts])


def _rounded_scores(network: Scores, image: Array, bits: int) -> NDArray[np.float32]:
    """Of a rounded network that leaves its scores for this to round."""
    scores = network(round_to(image, bits))
    if scores.dtype != np.float32:
        return round_to(scores, bits)
    for start, stop in strips(scores.shape):
        scores[:, :, start:stop] = round_to(scores[:, :, start:stop], bits)
    return scores
