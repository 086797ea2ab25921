"""How an engine wants its int8: one frozen description per kind of engine, stated by its backend."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

Form = Literal["signed", "unsigned", "offset", "affine"]
"""`signed`: int8, zero point 0. `unsigned`: uint8, zero point 0, for tensors that cannot be negative.
`offset`: uint8, zero point 128: the values of `signed` in the other type. `affine`: uint8, any zero point."""
SKEW = 4.0
"""One side of a skewed range is this many times as long as the other: `signed` leaves over a third of its
levels without a value."""
SMALLEST_HALF_SCALE = 2.0**-20
"""Four bits of mantissa are left in fp16 there."""


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

    name: str
    non_negative: Form
    other: Form
    moved: Form
    skewed: Form | None = None
    skip_only: bool = False
    repeat: bool = False
    int32_bias: bool = False
    merge_upsampling: bool = False
    uint8_scores: bool = False
    probe: str = "onnxruntime"
    rest: Literal["fp32", "fp16"] = "fp32"

    def form(self, low: float, high: float, *, non_negative: bool, moved: bool) -> Form:
        """The grid of an activation that was seen in [low, high]."""
        if non_negative:
            return self.non_negative
        if self.skewed and SKEW * min(-low, high) < max(-low, high):
            return self.skewed
        return self.moved if moved else self.other

    def scales(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Scales as numbers of the type `rest`, rounded up so that nothing is clipped."""
        exact = np.asarray(values, np.float32)
        if self.rest == "fp32":
            return exact
        rounded = np.maximum(exact, SMALLEST_HALF_SCALE).astype(np.float16)
        rounded = np.where(rounded < exact, np.nextafter(rounded, np.float16(np.inf)), rounded)
        return rounded.astype(np.float32)
