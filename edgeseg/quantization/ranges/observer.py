"""Value ranges of tensors over a calibration set, streamed: memory does not grow with the images."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from itertools import islice
from typing import Protocol

import numpy as np
from onnx import ModelProto, TensorProto, helper

from edgeseg.core.ports import Array, Progress, silent
from edgeseg.errors import DataError, GraphError
from edgeseg.graph.editor import Editor, opset_of
from edgeseg.graph.shapes import static_shapes
from edgeseg.graph.writer import Writer
from edgeseg.quantization.ranges.histogram import Histogram
from edgeseg.quantization.ranges.probe import HERE, OpenProbe

Feeds = Iterable[Mapping[str, Array]]
"""Inputs by name, batch after batch. Read more than once: a list, or an object that starts anew on `iter`."""


class _Some:
    """Every `step`th of some feeds, anew whenever it is iterated."""

    def __init__(self, feeds: Feeds, step: int) -> None:
        self._feeds = feeds
        self._step = step

    def __iter__(self) -> Iterator[Mapping[str, Array]]:
        return islice(iter(self._feeds), 0, None, self._step)


def stride(feeds: Feeds, count: int) -> int:
    """Every so many-th batch is one of about `count`; 1 where their number is not known or smaller."""
    return max(1, len(feeds) // count) if isinstance(feeds, Sized) else 1


def spread(feeds: Feeds, count: int) -> Feeds:
    """About `count` batches, evenly spread."""
    step = stride(feeds, count)
    return _Some(feeds, step) if step > 1 else feeds


class Watcher(Protocol):
    """Something else that is measured while ranges are collected."""

    def watch(self, editor: Editor, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Let the graph, whose tensors have these shapes, return what is to be seen."""
        ...

    def see(self, values: Mapping[str, Array]) -> None:
        """All outputs for one batch."""
        ...


def channel_mean(tensor: str) -> str:
    """What the means of its channels are called as an output."""
    return f"{tensor}/channel_mean"


WINNERS = "scores/winners"
_STATISTICS = {"low": "ReduceMin", "high": "ReduceMax", "mean": "ReduceMean"}
SAMPLE = 1 << 13
"""Values of a tensor that enter its histogram per batch. Its extremes are exact."""


def collect(
    model: ModelProto,
    tensors: Sequence[str],
    feeds: Feeds,
    *,
    open_probe: OpenProbe = HERE,
    sample: int = SAMPLE,
    scores: str = "",
    beside: Watcher | None = None,
    progress: Progress = silent,
) -> dict[str, Histogram]:
    """Histograms of `tensors`. Extremes and sampling are computed inside the engine, so that of a large
    tensor only about `sample` values, evenly spread over the picture, are copied out per batch.

    Args:
        scores: a tensor [N,C,H,W] whose largest value at each pixel has a histogram too, WINNERS.
        beside: sees the same batches.
        open_probe: how the graph is run.

    Raises:
        DataError: no images, images that are constant, or NaN or infinite values in them.
        GraphError: a tensor is NaN or infinite for a sound image; names it and its node.
    """
    sources = {i.name for i in model.graph.input}
    probed = _with_statistics(model, [t for t in tensors if t not in sources], sample, scores, beside)
    probe = open_probe(probed) if probed.graph.output else None
    histograms = {name: Histogram() for name in (*tensors, *([WINNERS] if scores else []))}
    total = len(feeds) if isinstance(feeds, Sized) else 0
    varied = False
    for count, feed in enumerate(feeds, start=1):
        for name, value in feed.items():
            varied |= _check_image(name, value, count)
        found = probe(feed) if probe else {}
        if beside:
            beside.see(found)
        for name, histogram in histograms.items():
            if name in feed:
                value = feed[name]
                histogram.add(value.reshape(-1), float(value.min()), float(value.max()))
                continue
            if not _is_finite(found, name):
                raise _not_finite(probed, histograms, found, count)
            low, high = float(found[f"{name}/low"]), float(found[f"{name}/high"])
            histogram.add(found[f"{name}/sample"], low, high)
        progress("collecting ranges", count, total)
    if not next(iter(histograms.values()), _COUNTED).batches:
        raise DataError("the calibration set is empty", expected="at least one image")
    if not varied:
        raise DataError(
            "every calibration image is one constant colour",
            expected="images like those the network will see",
            hint="check the folder and the preprocessing of the calibration images",
        )
    return histograms


_COUNTED = Histogram()
_COUNTED.batches = 1


def _with_statistics(
    model: ModelProto, tensors: Sequence[str], sample: int, scores: str, beside: Watcher | None
) -> ModelProto:
    """The graph returning, for each tensor T, `T/low`, `T/high` and `T/mean` [] and `T/sample`.
    The mean is there for NaN, which the extremes pass over; means that `beside` has returned do as well. The
    same for the WINNERS of `scores`."""
    editor = Editor(model)
    if scores:
        tensors = [*tensors, _add_winners(editor, scores)]
        editor.refresh()
    shapes = static_shapes(editor.model)
    known = {*editor.producer}
    missing = [t for t in tensors if t not in known]
    if missing:
        raise GraphError(f"the graph has no tensor '{missing[0]}'")
    del editor.graph.output[:]
    if beside:
        beside.watch(editor, shapes)
    returned = {output.name for output in editor.graph.output}
    for name in tensors:
        for word, kind in _STATISTICS.items():
            if word == "mean" and channel_mean(name) in returned:
                continue
            editor.graph.node.append(helper.make_node(kind, [name], [f"{name}/{word}"], keepdims=0))
            _output(editor, f"{name}/{word}", [])
        return_sample(editor, name, shapes[name], sample)
    result = editor.finish()
    assert opset_of(result) >= 13
    return result


def _add_winners(editor: Editor, scores: str) -> str:
    """WINNERS [N,H,W]."""
    write = Writer(editor, "")
    name = write.reduce("ReduceMax", scores, WINNERS)
    editor.graph.node.extend(write.nodes)
    return name


def return_sample(editor: Editor, name: str, shape: tuple[int, ...], most: int) -> None:
    """Let the graph return about `most` values of a tensor T, as `T/sample`. Of a map [N,C,H,W] they are
    whole pixels on a grid: engines keep the channels of a pixel together and would copy the map to walk it in
    another order."""
    steps = [1] * len(shape)
    if len(shape) == 4:
        steps[2:] = [max(1, math.ceil(math.sqrt(math.prod(shape) / most)))] * 2
    elif shape:
        steps[-1] = max(1, -(-math.prod(shape) // most))
    first = [step // 2 if step // 2 < side else 0 for step, side in zip(steps, shape)]
    limits = (first, shape, range(len(shape)), steps)
    words = ("first", "end", "axes", "steps")
    given = [editor.add_initializer(f"{name}/{w}", np.array(v, np.int64)) for w, v in zip(words, limits)]
    editor.graph.node.append(helper.make_node("Slice", [name, *given], [f"{name}/sample"]))
    _output(
        editor,
        f"{name}/sample",
        [-(-(side - start) // step) for side, start, step in zip(shape, first, steps)],
    )


def _output(editor: Editor, name: str, shape: list[int]) -> None:
    editor.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))


def _check_image(name: str, value: Array, count: int) -> bool:
    """Whether the values of an input vary within a channel: one colour has as many values as channels."""
    if value.size == 0:
        raise DataError(f"calibration image {count} ('{name}') is empty: shape {list(value.shape)}")
    low, high = float(value.min()), float(value.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise DataError(
            f"calibration image {count} ('{name}') holds NaN or infinite values",
            hint="check the preprocessing: a std of 0 divides by zero",
        )
    return bool((np.ptp(value, axis=tuple(range(2, value.ndim))) > 0).any())


def _is_finite(found: Mapping[str, Array], name: str) -> bool:
    mean = channel_mean(name) if channel_mean(name) in found else f"{name}/mean"
    return all(bool(np.isfinite(found[key]).all()) for key in (f"{name}/low", f"{name}/high", mean))


def _not_finite(
    probed: ModelProto, tensors: Iterable[str], found: Mapping[str, Array], count: int
) -> GraphError:
    """Names the first tensor, in the order of the graph, that is not finite."""
    bad = {t for t in tensors if f"{t}/low" in found and not _is_finite(found, t)}
    if bad == {WINNERS}:
        bad = {next(n for n in probed.graph.node if WINNERS in n.output).input[0]}
    node = next(n for n in probed.graph.node if bad.intersection(n.output))
    return GraphError(
        f"{node.op_type} '{node.name}' gives NaN or infinite values for calibration image {count}",
        expected="finite activations",
        hint="check the weights of the network and the preprocessing of the image",
    )
