"""A user's own ONNX file made static, in an opset engines read."""

from __future__ import annotations

import copy

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Size
from edgeseg.errors import GraphError
from edgeseg.graph.editor import opset_of, shape_of
from edgeseg.graph.opsets import convert_opset, old_reference
from edgeseg.graph.reference import run, session
from edgeseg.graph.shapes import with_shapes
from edgeseg.runtime.strips import parts

OLDEST_OPSET = 13
"""The deploy graph is written in operators of this opset."""
CONVERTED_OPSET = 17
CONVERSION_ERROR = 1e-4
"""Largest difference, relative to the largest value, that a change of opset may make."""
ROUNDING = 1e-6


def make_static(model: ModelProto, *, input_size: Size | None = None, batch: int = 1) -> ModelProto:
    """Fix every dimension of the input, at least opset 13, shapes of all tensors inferred.

    Args:
        input_size: (height, width); needed where the file leaves them open.

    Raises:
        GraphError: not one float NCHW input of a fixed number of channels, open dimensions without
            `input_size`, a size that contradicts the file, or a graph that does not run at this size or
            batch.
    """
    source = _image_input(model)
    shape = _static_shape(source, input_size, batch)
    result = copy.deepcopy(model)
    if opset_of(result) < OLDEST_OPSET:
        result = convert_opset(result, CONVERTED_OPSET)
    was_static = shape_of(source) == shape
    _set_shape(next(i for i in result.graph.input if i.name == source.name), shape)
    if not was_static:
        for output in result.graph.output:
            for dim in output.type.tensor_type.shape.dim:
                dim.Clear()
    result = with_shapes(result)
    feeds = {source.name: _noise(shape)}
    try:
        outputs = run(session(result), feeds)
    except GraphError as fault:
        raise GraphError(
            f"the file does not run with the input {'x'.join(map(str, shape))} (batch, channels, height, "
            f"width): {fault.message}",
            hint="use an --input-size the network accepts (often a multiple of 32), or --batch 1",
        ) from fault
    for output in result.graph.output:
        _set_shape(output, outputs[output.name].shape)
    if opset_of(result) != opset_of(model):
        _require_same(outputs, run(session(old_reference(model)), feeds), opset_of(model), opset_of(result))
    return result


def _image_input(model: ModelProto) -> ValueInfoProto:
    inputs = list(model.graph.input)
    listing = ", ".join(
        f"{i.name} {_type_name(i.type.tensor_type.elem_type)} [{', '.join(map(str, shape_of(i)))}]"
        for i in inputs
    )
    expected = "one float input [N,C,H,W]"
    other = next((o.name for o in model.graph.output if not o.type.HasField("tensor_type")), None)
    if other is not None:
        raise GraphError(
            f"the output '{other}' is no tensor but a sequence or an optional", expected="tensors"
        )
    if len(inputs) != 1:
        raise GraphError(f"the network has {len(inputs)} inputs: {listing}", expected=expected)
    shape = shape_of(inputs[0])
    if inputs[0].type.tensor_type.elem_type != TensorProto.FLOAT or len(shape) != 4:
        raise GraphError(
            f"the network's input is {listing}",
            expected=expected,
            hint="export the network without its own preprocessing; edgeseg adds it",
        )
    few = (1, 3, 4)
    if shape[3] in few and shape[1] not in few:
        raise GraphError(
            f"the network's input is {listing}: channels last",
            expected=expected,
            hint="export it with channels first (NCHW)",
        )
    if not isinstance(shape[1], int):
        raise GraphError(
            f"the network's input is {listing}: its channels are open",
            expected=expected,
            hint="export it with a fixed number of channels",
        )
    return inputs[0]


def _type_name(dtype: int) -> str:
    """`float`, `uint8`, ... or the number of a type that this version of onnx does not know."""
    names = {number: name.lower() for name, number in TensorProto.DataType.items()}
    return names.get(dtype, f"type {dtype}")


def _static_shape(source: ValueInfoProto, size: Size | None, batch: int) -> tuple[int, int, int, int]:
    channels, height, width = shape_of(source)[1:]
    if size is None:
        names = [str(d) for d in (height, width) if not isinstance(d, int)]
        if names:
            raise GraphError(
                f"the input '{source.name}' has open dimensions: {', '.join(names)} of "
                f"[{', '.join(map(str, shape_of(source)))}]",
                expected="the size the engine is built for",
                hint="add --input-size HEIGHTxWIDTH",
            )
        return batch, int(channels), int(height), int(width)
    if any(isinstance(d, int) and d != s for d, s in zip((height, width), size)):
        raise GraphError(
            f"the file is fixed to {height}x{width} (height x width), asked for {size[0]}x{size[1]}",
            hint=f"leave out --input-size, or export the network again at {size[0]}x{size[1]}",
        )
    return batch, int(channels), *size


def _set_shape(value: ValueInfoProto, shape: tuple[int, ...]) -> None:
    dtype = value.type.tensor_type.elem_type
    value.type.CopyFrom(helper.make_tensor_type_proto(dtype, shape))


def _noise(shape: tuple[int, ...]) -> Array:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def _require_same(after: dict[str, Array], before: dict[str, Array], old: int, new: int) -> None:
    for name, reference in before.items():
        difference = _largest(after[name], reference)
        limit = CONVERSION_ERROR * _largest(reference) + ROUNDING
        if not difference <= limit:
            raise GraphError(
                f"converting the file from opset {old} to {new} changes '{name}' by {difference:.1e}",
                expected=f"at most {limit:.1e}",
                hint=f"export the network again with opset {new}",
            )


def _largest(values: Array, less: Array | None = None) -> float:
    """Largest |value|, of a difference where `less` is given; NaN where one is NaN."""
    flat, other = np.ravel(values), None if less is None else np.ravel(less)
    found = (flat[part] if other is None else flat[part] - other[part] for part in parts(flat.size))
    return float(np.max([np.abs(part).max() for part in found]))
