"""Constant folding and clean-up with onnxsim, with shapes of every tensor afterwards."""

from __future__ import annotations

from onnx import ModelProto

from edgeseg.errors import GraphError, MissingDependency
from edgeseg.graph.editor import Editor
from edgeseg.graph.functions import without_cast_like
from edgeseg.graph.reference import first_line
from edgeseg.graph.shapes import with_shapes


def simplify(model: ModelProto) -> ModelProto:
    """Fold constants, remove what has no effect, infer shapes. Constants are initialisers, and every
    node has a unique name.

    Raises:
        GraphError: onnxsim or shape inference fails.
        MissingDependency: onnxsim is not installed.
    """
    try:
        import onnxsim
    except ImportError:
        raise MissingDependency("onnxsim", "train", needed_for="simplifying a graph") from None
    try:
        result, same = onnxsim.simplify(without_cast_like(model), skip_fuse_bn=True)
    except Exception as fault:  # a C++ extension: its errors have no common base
        raise GraphError(f"the graph cannot be simplified: {first_line(fault)}") from fault
    if not same:
        raise GraphError("the simplified graph gives other values than the original")
    editor = Editor(result)
    editor.lift_constants()
    return with_shapes(editor.finish())
