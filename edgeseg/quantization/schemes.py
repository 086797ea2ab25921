"""What a target's int8 looks like: one frozen description per scheme."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np

from edgeseg.errors import TargetError
from edgeseg.quantization.grid import Float, Form
from edgeseg.quantization.weights import Float32

SKEW = 4.0
"""One side of a skewed range is this many times as long as the other: `signed` leaves over a third of its
levels without a value."""
SMALLEST_HALF_SCALE = 2.0**-20
"""Four bits of mantissa are left in fp16 there."""
SchemeName = Literal["tensorrt", "x86", "onnxruntime"]


class Scheme(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an engine wants its Q/DQ graph.

    Attributes:
        non_negative: grid of activations that cannot be negative.
        other: grid of all other activations.
        moved: grid of activations that may be negative and reach their reader through an operator that only
            moves or selects values, as Concat, MaxPool and Pad do.
        skewed: grid of activations that hardly reach below zero (or above), as behind HardSwish, Swish and
            GELU; None: as the others.
        skip_only: quantise one input of a residual Add and leave the other to be fused with the
            convolution that makes it; else quantise both.
        repeat: quantise the output of an operator that only moves or selects values again, with the
            scale of its input; engines that need a pair on both sides ask for it.
        int32_bias: store biases as int32 with the scale input x weight; else they stay float32.
        merge_upsampling: nearest upsampling and the convolution behind it become one transposed convolution.
        uint8_scores: the class decision reads uint8 levels of the scores.
        probe: engine that collects ranges: the one that will run the result, where it can tell inner tensors.
        rest: float type of what is not int8, in engines that read it from the graph, and of all scales.
    """

    name: SchemeName
    non_negative: Form
    other: Form
    moved: Form
    skewed: Form | None = None
    skip_only: bool = False
    repeat: bool = False
    int32_bias: bool = False
    merge_upsampling: bool = False
    uint8_scores: bool = False
    probe: Literal["onnxruntime", "openvino"] = "onnxruntime"
    rest: Literal["fp32", "fp16"] = "fp32"

    def form(self, low: float, high: float, *, non_negative: bool, moved: bool) -> Form:
        """The grid of an activation that was seen in [low, high]."""
        if non_negative:
            return self.non_negative
        if self.skewed and SKEW * min(-low, high) < max(-low, high):
            return self.skewed
        return self.moved if moved else self.other

    def scales(self, values: Float) -> Float32:
        """Scales as numbers of the type `rest`, rounded up so that nothing is clipped."""
        exact = np.asarray(values, np.float32)
        if self.rest == "fp32":
            return exact
        rounded = np.maximum(exact, SMALLEST_HALF_SCALE).astype(np.float16)
        rounded = np.where(rounded < exact, np.nextafter(rounded, np.float16(np.inf)), rounded)
        return rounded.astype(np.float32)


SCHEMES: dict[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        Scheme(
            name="tensorrt",
            non_negative="signed",
            other="signed",
            moved="signed",
            skip_only=True,
            repeat=True,
            rest="fp16",
        ),
        Scheme(
            name="x86",
            non_negative="unsigned",
            other="signed",
            moved="offset",
            skewed="affine",
            merge_upsampling=True,
            uint8_scores=True,
            probe="openvino",
        ),
        Scheme(
            name="onnxruntime",
            non_negative="unsigned",
            other="affine",
            moved="affine",
            repeat=True,
            int32_bias=True,
        ),
    )
}
"""`tensorrt`: symmetric int8 is all its parser reads; uint8 zero points are silently taken for int8.
`x86`: where an operator that only moves or selects values stands before a reader, OpenVINO 2026.4 computes
int8 tensors wrongly on a CPU without AMX (SegFormer: 62% of the pixels of its Q/DQ graph; behind a Concat 5
points of mIoU on Mobile-UNet); the same values as uint8 with zero point 128 are exact (`docs/decisions.md`).
`onnxruntime`: its CPU kernels are 2.6 times slower with int8 activations, and none is an int8 transposed
convolution.
"""
ENGINES = {"trt": "tensorrt", "rtx": "tensorrt", "openvino": "x86", "ort": "onnxruntime"}


def scheme_for(engine: str) -> Scheme:
    """The scheme of an engine as targets name it (`openvino`, `ort`, `trt`, `rtx`).

    Raises:
        TargetError: that engine has no int8 scheme.
    """
    if engine not in ENGINES:
        raise TargetError(
            f"the engine '{engine}' has no int8 scheme", expected=f"one of {', '.join(sorted(ENGINES))}"
        )
    return SCHEMES[ENGINES[engine]]
