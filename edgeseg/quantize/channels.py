"""What the channels of inner tensors hold: statistics, streamed, and samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from edgeseg.core.ports import Progress, silent
from edgeseg.errors import DataError
from edgeseg.graph._edit import Editor, opset_of, static_shapes
from edgeseg.quantize.probe import ProbeEngine, open_probe
from edgeseg.quantize.ranges import Feeds, return_sample

Statistic = Literal["mean", "largest"]
Vector = NDArray[np.float64]


def channel_statistics(
    model: ModelProto,
    tensors: Sequence[str],
    feeds: Feeds,
    statistic: Statistic,
    *,
    engine: ProbeEngine = "onnxruntime",
    threads: int = 2,
    progress: Progress = silent,
) -> dict[str, Vector]:
    """Mean, or largest |value|, of every channel (axis 1) over all images: [C] by tensor.

    Raises:
        DataError: `feeds` is empty, or can be read only once and was.
    """
    if not tensors:
        return {}
    editor = Editor(model)
    shapes = static_shapes(model)
    del editor.graph.output[:]
    for name in dict.fromkeys(tensors):
        _reduce(editor, name, shapes[name], statistic, opset_of(model))
    probe = open_probe(editor.finish(), engine, threads=threads)
    found: dict[str, Vector] = {name: np.zeros(shapes[name][1]) for name in tensors}
    count = 0
    for count, feed in enumerate(feeds, start=1):
        values = probe(feed)
        for name, total in found.items():
            value = values[f"{name}/{statistic}"].astype(np.float64)
            found[name] = np.maximum(total, value) if statistic == "largest" else total + value
        progress(f"measuring channels ({statistic})", count, 0)
    if not count:
        raise _nothing()
    return {name: total / count for name, total in found.items()} if statistic == "mean" else found


def _reduce(editor: Editor, tensor: str, shape: tuple[int, ...], statistic: Statistic, opset: int) -> None:
    axes = [axis for axis in range(len(shape)) if axis != 1]
    source, output = tensor, f"{tensor}/{statistic}"
    operator = "ReduceMean"
    if statistic == "largest":
        operator, source = "ReduceMax", f"{tensor}/absolute"
        editor.graph.node.append(helper.make_node("Abs", [tensor], [source]))
    if opset >= 18:
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
    engine: ProbeEngine = "onnxruntime",
    threads: int = 2,
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
    probe = open_probe(editor.finish(), engine, threads=threads)
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
