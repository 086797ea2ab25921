"""What the channels of inner tensors hold: statistics, streamed, and samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from edgeseg.core.ports import Array, Progress, silent
from edgeseg.errors import DataError
from edgeseg.graph.editor import Editor, opset_of
from edgeseg.graph.shapes import static_shapes
from edgeseg.quantization.ranges.observer import Feeds, channel_mean, return_sample
from edgeseg.quantization.ranges.probe import HERE, OpenProbe

Statistic = Literal["mean", "largest"]
Vector = NDArray[np.float64]


class ChannelStatistics:
    """Mean, or largest |value|, of every channel (axis 1) of some tensors, streamed: a `Watcher`."""

    def __init__(self, tensors: Iterable[str], statistic: Statistic) -> None:
        self._found: dict[str, Vector] = {name: np.zeros(0) for name in tensors}
        self._statistic = statistic
        self._count = 0

    def watch(self, editor: Editor, shapes: Mapping[str, tuple[int, ...]]) -> None:
        for name in self._found:
            self._found[name] = np.zeros(shapes[name][1])
            _reduce(editor, name, shapes[name], self._statistic)

    def see(self, values: Mapping[str, Array]) -> None:
        self._count += 1
        for name, total in self._found.items():
            value = values[_output(name, self._statistic)].astype(np.float64)
            self._found[name] = np.maximum(total, value) if self._statistic == "largest" else total + value

    def result(self) -> dict[str, Vector]:
        """[C] by tensor. Raises DataError: nothing was seen."""
        if not self._count:
            raise _nothing()
        count = self._count if self._statistic == "mean" else 1
        return {name: total / count for name, total in self._found.items()}


def channel_statistics(
    model: ModelProto,
    tensors: Sequence[str],
    feeds: Feeds,
    statistic: Statistic,
    *,
    open_probe: OpenProbe = HERE,
    progress: Progress = silent,
) -> dict[str, Vector]:
    """`ChannelStatistics` over all images: [C] by tensor.

    Raises:
        DataError: `feeds` is empty, or can be read only once and was.
    """
    if not tensors:
        return {}
    editor = Editor(model)
    del editor.graph.output[:]
    found = ChannelStatistics(tensors, statistic)
    found.watch(editor, static_shapes(model))
    probe = open_probe(editor.finish())
    for count, feed in enumerate(feeds, start=1):
        found.see(probe(feed))
        progress(f"measuring channels ({statistic})", count, 0)
    return found.result()


def _output(tensor: str, statistic: Statistic) -> str:
    return channel_mean(tensor) if statistic == "mean" else f"{tensor}/channel_{statistic}"


def _reduce(editor: Editor, tensor: str, shape: tuple[int, ...], statistic: Statistic) -> None:
    axes = [axis for axis in range(len(shape)) if axis != 1]
    source, output = tensor, _output(tensor, statistic)
    operator = "ReduceMean"
    if statistic == "largest":
        operator, source = "ReduceMax", f"{tensor}/absolute"
        editor.graph.node.append(helper.make_node("Abs", [tensor], [source]))
    if opset_of(editor.model) >= 18:
        inputs = [source, editor.add_initializer(f"{output}_axes", np.array(axes, np.int64))]
        node = helper.make_node(operator, inputs, [output], keepdims=0)
    else:
        node = helper.make_node(operator, [source], [output], axes=axes, keepdims=0)
    editor.graph.node.append(node)
    editor.graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, [shape[1]]))


def channel_samples(
    model: ModelProto,
    tensors: Sequence[str],
    feeds: Feeds,
    pixels: int,
    *,
    open_probe: OpenProbe = HERE,
    progress: Progress = silent,
) -> dict[str, NDArray[np.float32]]:
    """About `pixels` values of every channel per batch, on a grid over the picture: [C, values] by tensor.

    Raises:
        DataError: `feeds` is empty, or can be read only once and was.
    """
    editor = Editor(model)
    shapes = static_shapes(model)
    del editor.graph.output[:]
    for name in tensors:
        return_sample(editor, name, shapes[name], pixels * shapes[name][1])
    probe = open_probe(editor.finish())
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in tensors}
    for count, feed in enumerate(feeds, start=1):
        values = probe(feed)
        for name, parts in found.items():
            sample = np.moveaxis(values[f"{name}/sample"], 1, 0)
            parts.append(sample.reshape(len(sample), -1).astype(np.float32))
        progress("sampling channels", count, 0)
    if not all(found.values()):
        raise _nothing()
    return {name: np.concatenate(parts, axis=1) for name, parts in found.items()}


def _nothing() -> DataError:
    return DataError(
        "the calibration set is empty, or could be read only once",
        expected="a list, or an object that starts anew whenever it is iterated",
    )
