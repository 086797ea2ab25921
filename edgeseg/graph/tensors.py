"""Every tensor that a model stores, wherever it stands, and the files beside it that hold some of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, external_data_helper

from edgeseg.core.files import require_file
from edgeseg.errors import GraphError


def stored_tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Initialisers and tensors in attributes, sparse ones too, of subgraphs and functions too."""
    yield from _of_graph(model.graph)
    for function in model.functions:
        yield from _of_nodes(function.node)


def data_files(model: ModelProto, path: Path) -> tuple[Path, ...]:
    """The files that hold weights of the model at `path`: below its folder, each there.

    Raises:
        GraphError: an absolute path, one that leads out of the folder, a device, or a file that is missing.
    """
    found = {_location(tensor): tensor.name for tensor in stored_tensors(model) if _is_external(tensor)}
    return tuple(_located(path, place, name) for place, name in sorted(found.items()))


def load_data(model: ModelProto, path: Path) -> None:
    """Take the weights of `data_files` into the model. Raises as it does, and for files too short."""
    data_files(model, path)
    for tensor in stored_tensors(model):
        if _is_external(tensor):
            try:
                external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))
            except Exception as fault:  # OSError, ValidationError, ValueError or RuntimeError, by version
                text = " ".join(str(fault).split())[:300]
                raise _unreadable(
                    path, f"the weight '{tensor.name}' in '{_location(tensor)}': {text}"
                ) from None
            tensor.data_location = TensorProto.DEFAULT
            del tensor.external_data[:]


def _of_graph(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Iterable[NodeProto]) -> Iterator[TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.HasField("sparse_tensor"):
                yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)
            for sparse in attribute.sparse_tensors:
                yield from (sparse.values, sparse.indices)
            if attribute.HasField("g"):
                yield from _of_graph(attribute.g)
            for graph in attribute.graphs:
                yield from _of_graph(graph)


def _is_external(tensor: TensorProto) -> bool:
    return bool(external_data_helper.uses_external_data(tensor))


def _location(tensor: TensorProto) -> str:
    return next((str(e.value) for e in tensor.external_data if e.key == "location"), "")


def _located(path: Path, place: str, tensor: str) -> Path:
    pure = PurePosixPath(place)
    file = path.parent / place
    outside = (
        not place
        or "\0" in place
        or pure.is_absolute()
        or PureWindowsPath(place).anchor
        or ".." in (*pure.parts, *PureWindowsPath(place).parts)
        or not file.resolve().is_relative_to(path.parent.resolve())
    )
    if outside:
        raise GraphError(
            f"{path} keeps the weight '{tensor}' at '{place}', outside its own folder; it was not read",
            expected="a relative path below the folder of the .onnx file",
            hint="write it again: onnx.save(model, FILE, save_as_external_data=True, location='weights.bin')",
        )
    try:
        require_file(file, error=GraphError)
    except GraphError as fault:
        raise _unreadable(path, fault.message) from None
    return file


def _unreadable(path: Path, reason: str) -> GraphError:
    return GraphError(
        f"{path} keeps its weights in another file, which cannot be read: {reason}",
        expected="the data file beside the .onnx file, complete",
        hint="copy both files into the same folder",
    )
