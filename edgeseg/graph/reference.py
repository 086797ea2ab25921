"""Running a graph in ONNX Runtime on the CPU, to check and to measure it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgeseg.backends.onnxruntime import package
from edgeseg.core.ports import Array
from edgeseg.errors import GraphError

if TYPE_CHECKING:
    from onnx import ModelProto

THREADS = 2


def session(model: ModelProto, *, threads: int = THREADS, optimised: bool = False) -> Any:
    """An `onnxruntime.InferenceSession` of a model.

    Args:
        optimised: let ONNX Runtime rewrite the graph, to time it. What engines are judged by is never
            rewritten: its fusions change values (a BatchNormalization in training mode is folded with its
            stored statistics, a Cast to fp16 and back is removed), and an engine may share them.

    Raises:
        GraphError: ONNX Runtime refuses the graph.
        MissingDependency: onnxruntime is not installed.
    """
    ort = package("train", "checking a graph")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    if not optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return ort.InferenceSession(
            model.SerializeToString(), sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as fault:  # its exceptions have no public common base
        raise GraphError(
            f"ONNX Runtime refuses the graph: {first_line(fault)}", expected="a graph ONNX Runtime can run"
        ) from fault


def run(opened: Any, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """All outputs by name. Raises GraphError when the run fails."""
    names = [o.name for o in opened.get_outputs()]
    try:
        values: Sequence[Array] = opened.run(names, dict(feeds))
    except Exception as fault:
        shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in feeds.items())
        raise GraphError(f"the graph fails in ONNX Runtime for {shapes}: {first_line(fault)}") from fault
    return dict(zip(names, values))


def first_line(fault: BaseException) -> str:
    text = str(fault).strip() or type(fault).__name__
    return text.splitlines()[0][:300]
