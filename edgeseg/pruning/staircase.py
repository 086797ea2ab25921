"""Latency against width is a staircase, since engines work in blocks of channels: widths that fill a step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from edgeseg.core.ports import Progress, Stopwatch, silent
from edgeseg.core.preprocess import Size
from edgeseg.core.target import Target
from edgeseg.core.whole import Scratch

Staircase = Mapping[int, float]
"""Milliseconds by width."""

TOLERANCE = 0.03
"""A width that is wider for at most this share more time is on the same step."""

KERNEL = 3


def treads(staircase: Staircase, tolerance: float = TOLERANCE) -> tuple[int, ...]:
    """The widest width of every step, ascending: no wider one is as fast.

    >>> treads({8: 1.0, 12: 1.9, 16: 1.9, 24: 2.8, 32: 2.7})
    (8, 16, 32)
    """
    found: list[int] = []
    fastest = float("inf")
    for width in sorted(staircase, reverse=True):
        if staircase[width] * (1.0 + tolerance) < fastest:
            found.append(width)
            fastest = staircase[width]
    return tuple(reversed(found))


def nearest(width: int, choices: Iterable[int]) -> int:
    """The choice nearest to `width`, the wider one of two."""
    return min(choices, key=lambda choice: (abs(choice - width), -choice))


def snap(width: int, staircase: Staircase, tolerance: float = TOLERANCE) -> int:
    """The tread nearest to `width`.

    >>> snap(13, {8: 1.0, 12: 1.9, 16: 1.9, 24: 2.8, 32: 2.7})
    16
    """
    return nearest(width, treads(staircase, tolerance))


def multiples(width: int, multiple: int) -> tuple[int, ...]:
    """The multiples up to `width`."""
    return tuple(range(multiple, width + 1, multiple))


def probe_widths(widest: int) -> tuple[int, ...]:
    """Widths worth measuring up to `widest`: every 8th to 64, then in steps of about an eighth."""
    found = [8]
    while found[-1] < widest:
        found.append(found[-1] + max(8, found[-1] // 64 * 8))
    return tuple(found)


def measure_staircase(
    stopwatch: Stopwatch,
    target: Target,
    widths: Sequence[int],
    size: Size,
    progress: Progress = silent,
) -> dict[int, float]:
    """Milliseconds of a 3x3 convolution from `width` to `width` channels on [1,width,*size], by width."""
    import onnx

    found = {}
    with Scratch() as folder:
        for done, width in enumerate(widths):
            progress(f"measuring widths on {target}", done, len(widths))
            path = folder / f"width-{width}.onnx"
            onnx.save(_convolution(width, size), str(path))
            (lap,) = stopwatch.race([path], target)
            found[width] = lap.milliseconds
    return found


def _convolution(width: int, size: Size) -> object:
    from onnx import TensorProto, helper, numpy_helper

    weight = np.random.default_rng(0).normal(0, 0.1, (width, width, KERNEL, KERNEL)).astype(np.float32)
    shape = [1, width, *size]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "weight"], ["scores"], name="conv", pads=[KERNEL // 2] * 4)],
        "width",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weight, "weight")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
