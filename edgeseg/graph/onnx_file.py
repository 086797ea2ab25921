"""The one reader of ONNX files: whole, in order, within its own folder."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, numpy_helper

from edgeseg.core.bundle import file_sha256
from edgeseg.core.files import require_file
from edgeseg.core.formats import content_of
from edgeseg.errors import EdgesegError, GraphError
from edgeseg.graph.editor import MAX_IR, all_nodes, subgraphs
from edgeseg.graph.functions import without_functions
from edgeseg.graph.operators import refuse_foreign
from edgeseg.graph.order import sort_nodes
from edgeseg.graph.reference import first_line
from edgeseg.graph.tensors import data_files, load_data
from edgeseg.runtime.finite import broken

FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


def read_onnx(path: Path | str) -> ModelProto:
    """Read an ONNX file, external data included, and check it.

    fp16 files are raised to fp32: the precision of an engine is the target's business.

    Raises:
        GraphError: as `open_onnx`, an operator outside the ONNX standard, integer operators of a quantised
            file, or weights that are NaN or infinite.
    """
    path = Path(path)
    model = open_onnx(path)
    with readable(path):
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


def open_onnx(path: Path) -> ModelProto:
    """An ONNX file as it is, with its external data, nodes sorted, open dimensions without a number.

    Raises:
        GraphError: no such file, not ONNX, a data file that is missing or outside the folder, or refused by
            the ONNX checker.
    """
    model = _parsed(path)
    if not model.graph.node:
        raise _foreign(path, f"{path} holds no network")
    with readable(path):
        load_data(model, path)
        sort_nodes(model.graph)
        _open_dimensions(model)
        try:
            onnx.checker.check_model(model)
        except onnx.checker.ValidationError as fault:
            raise GraphError(
                f"{path} breaks the rules of ONNX: {first_line(fault)}",
                expected="a file that onnx.checker.check_model accepts",
                hint="export it again",
            ) from fault
    return model


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """What the content of a file makes onnx or NumPy raise is the file's fault."""
    try:
        yield
    except (EdgesegError, MemoryError):
        raise
    except Exception as fault:
        raise GraphError(
            f"{path} cannot be read as an ONNX file: {type(fault).__name__}: {first_line(fault)}",
            expected="a file that onnx.checker.check_model accepts",
            hint="export it again",
        ) from fault


@contextmanager
def about(path: Path) -> Iterator[None]:
    """Errors about a graph name the file that it was read from."""
    try:
        yield
    except GraphError as fault:
        if path.name not in fault.message:
            fault.message = f"{path}: {fault.message}"
        raise


def external_files(path: Path) -> tuple[Path, ...]:
    """The files beside an ONNX file that hold its weights; none for most.

    Raises:
        GraphError: not an ONNX file, or weights outside its folder.
    """
    return data_files(_parsed(path), path)


def content_sha256(path: Path) -> str:
    """sha256 of an ONNX file, and of the files with its weights where it has some. Raises as `read_onnx`."""
    parts = [file_sha256(file) for file in (path, *external_files(path))]
    return parts[0] if len(parts) == 1 else hashlib.sha256("".join(parts).encode()).hexdigest()


def write_onnx(model: ModelProto, path: Path) -> None:
    """Write a model; weights of files that came with external data are inside."""
    onnx.save(model, str(path))


def broken_weights(model: ModelProto) -> Iterator[tuple[str, str]]:
    """Name and fault of each constant that holds NaN or infinite values, see `broken`."""
    for name, tensor in _constants(model):
        if tensor.data_type in FLOATS:
            values = numpy_helper.to_array(tensor)
            if fault := broken(values if values.dtype.kind == "f" else values.astype(np.float32)):
                yield name, fault


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


def _parsed(path: Path) -> ModelProto:
    """The file as it is, without external data."""
    require_file(path, expected="an ONNX file", error=GraphError)
    try:
        return onnx.load(str(path), load_external_data=False)
    except Exception as fault:  # protobuf's DecodeError and others, by version
        raise _foreign(path, f"{path} is not an ONNX file: {first_line(fault)}") from fault


def _foreign(path: Path, message: str) -> GraphError:
    known = content_of(path)
    if known is not None:
        return GraphError(f"{path} is not an ONNX file but {known.name}", hint=known.hint)
    return GraphError(message, expected="an ONNX file", hint="export or download it again")


def _open_dimensions(model: ModelProto) -> None:
    """Some exporters write -1 or 0 for a dimension that is open."""
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.HasField("dim_value") and dim.dim_value < 1:
                dim.Clear()


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


def _forget_constant_inputs(model: ModelProto) -> None:
    """Before IR 4 every initialiser was an input as well; here inputs are what the caller feeds."""
    constants = {t.name for t in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in constants]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = min(max(model.ir_version, 8), MAX_IR)
