"""Golden frames of an engine bundle, and what a check on them shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from edgeseg.core.bundle import Golden
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.core.quantization import ScoreGrid
from edgeseg.core.target import Target

if TYPE_CHECKING:
    from onnx import ModelProto

FRAMES = 4
"""Of the user's images, or generated, besides a test card."""
BITS = {"fp32": 24, "fp16": 11, "bf16": 8}
"""Significant bits of a float."""


def significant_bits(target: Target, rest: str) -> int:
    """Of what the engine computes with. int8 in an engine that chooses by hint may run beside bf16.

    Args:
        rest: float precision written into the graph; empty: the engine chooses it.
    """
    precision = rest or ("bf16" if target.precision == "int8" else target.precision)
    return BITS[precision]


def golden_count(batch: int) -> int:
    """How many images go with the test card: whole batches of frames."""
    return -(-(FRAMES + 1) // batch) * batch - 1


def write_golden(
    place: Path,
    golden: Golden,
    deploy: ModelProto,
    plain: ModelProto,
    spec: ModelSpec,
    images: Array,
    bits: int,
    grid: ScoreGrid | None,
) -> Golden:
    """Write the golden frames, `images` uint8 [n,H,W,3] and a test card, into a folder.

    Returns:
        `golden` with what a check in the engine's own precision compares and shows.
    """
    from edgeseg.datasets.patterns import test_card
    from edgeseg.graph.faults import smallest_shown
    from edgeseg.graph.golden import golden as golden_arrays

    frames = np.concatenate([images, test_card(images.shape[1:3])[None]])
    arrays: Any = golden_arrays(deploy, plain, spec, frames, bits, grid)
    np.savez_compressed(place / golden.file, **arrays)
    stable = arrays["stable"]
    return msgspec.structs.replace(
        golden,
        compared=float(stable.mean()),
        shows=smallest_shown(plain, spec, frames, stable, golden.min_agreement),
    )
