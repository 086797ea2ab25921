"""What the golden frames of an engine bundle depend on: its batch and its precision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from edgeseg.core.bundle import Golden
from edgeseg.core.preprocess import Size
from edgeseg.core.target import Target

if TYPE_CHECKING:
    from onnx import ModelProto

FRAMES, LEAST_FRAMES = 4, 3
"""Of the user's images, or generated, besides a test card; and of large ones, where three hold the pixels of
four of ENOUGH: of generated ones a street, a texture and colours."""
ENOUGH = 1024 * 1024
"""Pixels of a frame."""
BITS = {"fp32": 24, "fp16": 11, "bf16": 8}
"""Significant bits of a float."""


def significant_bits(target: Target, rest: str) -> int:
    """Of what the engine computes with. int8 in an engine that chooses by hint may run beside bf16.

    Args:
        rest: float precision written into the graph; empty: the engine chooses it.
    """
    precision = rest or ("bf16" if target.precision == "int8" else target.precision)
    return BITS[precision]


def golden_count(batch: int, camera: Size) -> int:
    """How many images go with the test card: whole batches of frames."""
    height, width = camera
    large = LEAST_FRAMES * height * width >= FRAMES * ENOUGH
    return -(-((LEAST_FRAMES if large else FRAMES) + 1) // batch) * batch - 1


def limited(golden: Golden, slips: float) -> Golden:
    """With so many times the disagreement allowed."""
    least, full = (1 - slips * (1 - limit) for limit in (golden.min_agreement, golden.min_agreement_full))
    return msgspec.structs.replace(golden, min_agreement=least, min_agreement_full=full)


def as_stored(shipped: ModelProto, typed: ModelProto, target: Target, rest: str) -> ModelProto | None:
    """The float32 graph with its constants as the engine's file stores them; None where it stores float32.

    Args:
        shipped: the graph, `typed`: as the engine reads it.
    """
    from onnx import TensorProto

    from edgeseg.graph.rounding import half_weights

    if not rest and target.precision == "fp16":
        return half_weights(shipped)
    if rest != "fp16":
        return None
    half = {
        t.name.rpartition("_fp16")[0] for t in typed.graph.initializer if t.data_type == TensorProto.FLOAT16
    }
    return half_weights(shipped, half)
