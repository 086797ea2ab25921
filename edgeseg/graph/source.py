"""A user's own ONNX file: read, made static, raised to fp32 and to an opset engines read."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, ValueInfoProto, helper, numpy_helper, version_converter

from edgeseg.core.bundle import file_sha256
from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Size
from edgeseg.errors import GraphError
from edgeseg.graph._edit import MAX_IR, all_nodes, opset_of, set_attribute, shape_of, subgraphs
from edgeseg.graph._run import first_line, run, session
from edgeseg.graph._shapes import with_shapes
from edgeseg.graph.functions import without_functions, without_newer
from edgeseg.graph.operators import refuse_foreign
from edgeseg.runtime.finite import broken

OLDEST_OPSET = 13
"""The deploy graph is written in operators of this opset."""
CONVERTED_OPSET = 17
FIRST_FREE_RESIZE = 11
"""The opset from which Resize states how it maps coordinates."""
CONVERSION_ERROR = 1e-4
"""Largest difference, relative to the largest value, that a change of opset may make."""
ROUNDING = 1e-6
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


def read_onnx(path: Path | str) -> ModelProto:
    """Read an ONNX file, external data included, and check it.

    fp16 files are raised to fp32: the precision of an engine is the target's business.

    Raises:
        GraphError: no such file, not ONNX, data file missing, refused by the ONNX checker, an
            operator outside the ONNX standard, integer operators of a quantised file, or weights that are NaN
            or infinite.
    """
    path = Path(path)
    model = _parsed(path)
    if not model.graph.node:
        raise GraphError(
            f"{path} holds no network", expected="an ONNX file", hint="export or download it again"
        )
    _load_external(model, path)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as fault:
        raise GraphError(
            f"{path} breaks the rules of ONNX: {first_line(fault)}",
            expected="a file that onnx.checker.check_model accepts",
            hint="export it again",
        ) from fault
    model = without_functions(model)
    refuse_foreign(model, path.name)
    for name, what in broken_weights(model):
        raise GraphError(
            f"the weight '{name}' of {path} holds {what}",
            expected="finite numbers",
            hint="export the network again, with weights from before training diverged",
        )
    _forget_constant_inputs(model)
    return to_fp32(model)


def external_files(path: Path) -> tuple[Path, ...]:
    """The files beside an ONNX file that hold its weights; none for most.

    Raises:
        GraphError: not an ONNX file.
    """
    tensors = [tensor for _, tensor in _constants(_parsed(path))]
    entries = [entry for tensor in tensors for entry in tensor.external_data if entry.key == "location"]
    names = sorted({entry.value for entry in entries})
    return tuple(file for name in names if (file := path.parent / name).is_file())


def broken_weights(model: ModelProto) -> Iterator[tuple[str, str]]:
    """Name and fault of each constant that holds NaN or infinite values, see `broken`."""
    for name, tensor in _constants(model):
        if tensor.data_type in FLOATS:
            values = numpy_helper.to_array(tensor)
            if fault := broken(values if values.dtype.kind == "f" else values.astype(np.float32)):
                yield name, fault


def content_sha256(path: Path) -> str:
    """sha256 of an ONNX file, and of the files with its weights where it has some. Raises as `read_onnx`."""
    parts = [file_sha256(file) for file in (path, *external_files(path))]
    return parts[0] if len(parts) == 1 else hashlib.sha256("".join(parts).encode()).hexdigest()


def write_onnx(model: ModelProto, path: Path) -> None:
    """Write a model; weights of files that came with external data are inside."""
    onnx.save(model, str(path))


def make_static(model: ModelProto, *, input_size: Size | None = None, batch: int = 1) -> ModelProto:
    """Fix every dimension of the input, at least opset 13, shapes of all tensors inferred.

    Args:
        input_size: (height, width); needed where the file leaves them open.

    Raises:
        GraphError: not one float NCHW input of 3 channels, open dimensions without `input_size`,
            a size that contradicts the file, or a graph that does not run at this size or batch.
    """
    source = _image_input(model)
    shape = _static_shape(source, input_size, batch)
    result = copy.deepcopy(model)
    if opset_of(result) < OLDEST_OPSET:
        result = _convert(result, CONVERTED_OPSET)
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
        _require_same(outputs, run(session(model), feeds), opset_of(model), opset_of(result))
    return result


def to_opset(model: ModelProto, opset: int) -> ModelProto:
    """Lower a model to at most `opset`; one that is not newer is returned as it is.

    Raises:
        GraphError: an operator has no counterpart there; the converter's reason is given.
    """
    return model if opset_of(model) <= opset else _convert(model, opset)


def from_opset(model: ModelProto, opset: int) -> ModelProto:
    """Raise a model to at least `opset`. Raises as `to_opset`."""
    return model if opset_of(model) >= opset else _convert(model, opset)


def to_fp32(model: ModelProto) -> ModelProto:
    """A file with fp16 tensors, inputs or outputs with all of them in float32; others as they are."""
    half = TensorProto.FLOAT16
    if not _mentions(model, half):
        return model
    result = copy.deepcopy(model)
    for tensor in result.graph.initializer:
        _raise_tensor(tensor)
    for node in all_nodes(result.graph):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                _raise_tensor(attribute.t)
            if attribute.name in ("to", "dtype", "output_dtype") and attribute.i == half:
                attribute.i = TensorProto.FLOAT
    for value in (*result.graph.input, *result.graph.output):
        if value.type.tensor_type.elem_type == half:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    del result.graph.value_info[:]
    return result


def _constants(model: ModelProto) -> list[tuple[str, TensorProto]]:
    """Initialisers and tensors in attributes, of subgraphs too, by the name their readers use."""
    nodes = list(all_nodes(model.graph))
    graphs = [model.graph, *(graph for node in nodes for graph in subgraphs(node))]
    found = [(tensor.name, tensor) for graph in graphs for tensor in graph.initializer]
    return found + [(n.output[0], a.t) for n in nodes for a in n.attribute if a.HasField("t")]


def _mentions(model: ModelProto, dtype: int) -> bool:
    values = (*model.graph.input, *model.graph.output)
    return (
        any(t.data_type == dtype for t in model.graph.initializer)
        or any(v.type.tensor_type.elem_type == dtype for v in values)
        or any(a.t.data_type == dtype for n in all_nodes(model.graph) for a in n.attribute if a.HasField("t"))
        or any(a.i == dtype for n in all_nodes(model.graph) for a in n.attribute if a.name == "to")
    )


def _raise_tensor(tensor: TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT16:
        value = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))


def _parsed(path: Path) -> ModelProto:
    """The file as it is, without external data."""
    if not path.is_file():
        raise GraphError(f"there is no file {path}", expected="an ONNX file")
    try:
        return onnx.load(str(path), load_external_data=False)
    except Exception as fault:  # protobuf's DecodeError and others, by version
        raise GraphError(
            f"{path} is not an ONNX file: {first_line(fault)}", hint="export or download it again"
        ) from fault


def _load_external(model: ModelProto, path: Path) -> None:
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
    except Exception as fault:  # OSError, ValidationError or RuntimeError, by version
        raise GraphError(
            f"{path} keeps its weights in another file, which cannot be read: {first_line(fault)}",
            expected="the data file beside the .onnx file, complete",
            hint="copy both files into the same folder",
        ) from fault


def _forget_constant_inputs(model: ModelProto) -> None:
    """Before IR 4 every initialiser was an input as well; here inputs are what the caller feeds."""
    constants = {t.name for t in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in constants]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = min(max(model.ir_version, 8), MAX_IR)


def _image_input(model: ModelProto) -> ValueInfoProto:
    inputs = list(model.graph.input)
    listing = ", ".join(
        f"{i.name} {helper.tensor_dtype_to_string(i.type.tensor_type.elem_type).split('.')[-1].lower()} "
        f"[{', '.join(map(str, shape_of(i)))}]"
        for i in inputs
    )
    expected = "one float input [N,3,H,W]"
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
    if isinstance(shape[1], int) and shape[1] != 3:
        reason = "channels last" if shape[3] == 3 else f"{shape[1]} channels"
        raise GraphError(
            f"the network's input is {listing}: {reason}",
            expected=expected,
            hint="export it with channels first (NCHW)" if shape[3] == 3 else "",
        )
    return inputs[0]


def _static_shape(source: ValueInfoProto, size: Size | None, batch: int) -> tuple[int, int, int, int]:
    height, width = shape_of(source)[2:]
    if size is None:
        names = [str(d) for d in (height, width) if not isinstance(d, int)]
        if names:
            raise GraphError(
                f"the input '{source.name}' has open dimensions: {', '.join(names)} of "
                f"[{', '.join(map(str, shape_of(source)))}]",
                expected="the size the engine is built for",
                hint="add --input-size HEIGHTxWIDTH",
            )
        return batch, 3, int(height), int(width)
    if any(isinstance(d, int) and d != s for d, s in zip((height, width), size)):
        raise GraphError(
            f"the file is fixed to {height}x{width} (height x width), asked for {size[0]}x{size[1]}",
            hint=f"leave out --input-size, or export the network again at {size[0]}x{size[1]}",
        )
    return batch, 3, *size


def _set_shape(value: ValueInfoProto, shape: tuple[int, ...]) -> None:
    dtype = value.type.tensor_type.elem_type
    value.type.CopyFrom(helper.make_tensor_type_proto(dtype, shape))


def _noise(shape: tuple[int, ...]) -> Array:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def _convert(model: ModelProto, opset: int) -> ModelProto:
    model = copy.deepcopy(model)
    used = {n.domain for n in all_nodes(model.graph)}
    imports = [o for o in model.opset_import if o.domain in ("", "ai.onnx") or o.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(imports)
    try:
        result: ModelProto = version_converter.convert_version(without_newer(model, opset), opset)
        onnx.checker.check_model(result)
    except Exception as fault:  # the converter throws RuntimeError, ConvertError and others
        raise GraphError(
            f"the graph is opset {opset_of(model)} and cannot be converted to opset {opset}: "
            f"{first_line(fault)}",
            hint=f"export the network again with opset {opset}",
        ) from fault
    if opset_of(model) < FIRST_FREE_RESIZE:
        _state_coordinates(result)
    result.ir_version = min(max(result.ir_version, 8), MAX_IR)
    return result


def _state_coordinates(model: ModelProto) -> None:
    """Upsample and the first Resize knew one rule for coordinates; the converter leaves it out, and the
    default of a newer Resize is another."""
    for node in all_nodes(model.graph):
        if node.op_type == "Resize":
            set_attribute(node, "coordinate_transformation_mode", "asymmetric")
            set_attribute(node, "nearest_mode", "floor")


def _require_same(after: dict[str, Array], before: dict[str, Array], old: int, new: int) -> None:
    for name, reference in before.items():
        difference = float(np.abs(after[name] - reference).max())
        limit = CONVERSION_ERROR * float(np.abs(reference).max()) + ROUNDING
        if not difference <= limit:
            raise GraphError(
                f"converting the file from opset {old} to {new} changes '{name}' by {difference:.1e}",
                expected=f"at most {limit:.1e}",
                hint=f"export the network again with opset {new}",
            )
