"""Running a graph in ONNX Runtime on the CPU, to check and to measure it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.backends.onnxruntime import package
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.errors import GraphError

if TYPE_CHECKING:
    from onnx import ModelProto

THREADS = 2


def session(model: ModelProto, *, threads: int = THREADS, optimised: bool = False, keep: bool = False) -> Any:
    """An `onnxruntime.InferenceSession` of a model.

    Args:
        optimised: let ONNX Runtime rewrite the graph, to time it. What engines are judged by is never
            rewritten: its fusions change values (a BatchNormalization in training mode is folded with its
            stored statistics, a Cast to fp16 and back is removed), and an engine may share them.
        keep: memory between runs. Else each run takes and returns what it needs: an arena holds the most that
            a graph ever needed while other graphs run. Only what is timed plans the memory of a whole run:
            that takes 1.5 times as much from the second run on, and is no faster without rewriting.

    Raises:
        GraphError: ONNX Runtime refuses the graph.
        MissingDependency: onnxruntime is not installed.
    """
    ort = package("train", "checking a graph")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    options.enable_cpu_mem_arena = keep or optimised
    options.enable_mem_pattern = optimised
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


def run(opened: Any, feeds: Mapping[str, Array], wanted: Sequence[str] = ()) -> dict[str, Array]:
    """All outputs by name, or those `wanted`. Raises GraphError when the run fails."""
    names = list(wanted) or [o.name for o in opened.get_outputs()]
    try:
        values: Sequence[Array] = opened.run(names, dict(feeds))
    except Exception as fault:
        raise _failure(feeds, fault) from fault
    return dict(zip(names, values))


class Again:
    """A graph that is run again and again, always with the same shapes, into one place of memory: 486 MB of
    new memory take 0.3 s.

    Args:
        wanted: outputs; none named: all.
        memory: what another one returned for outputs of the same names and shapes, to be written to.
    """

    def __init__(self, opened: Any, wanted: Sequence[str] = (), memory: Mapping[str, Array] | None = None):
        self._opened = opened
        self._wanted = wanted
        self._memory = dict(memory or {})

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name, which the next call overwrites. Raises as `run`."""
        feeds = {name: np.ascontiguousarray(value) for name, value in feeds.items()}
        if not self._memory:
            self._memory = run(self._opened, feeds, self._wanted)
            return dict(self._memory)
        binding = self._opened.io_binding()
        try:
            for name, value in feeds.items():
                binding.bind_cpu_input(name, value)
            for name, place in self._memory.items():
                binding.bind_output(name, "cpu", 0, place.dtype.type, place.shape, place.ctypes.data)
            self._opened.run_with_iobinding(binding)
        except Exception:  # a list of found objects has another length now, or the graph fails: `run` tells
            return run(self._opened, feeds, self._wanted)
        return dict(self._memory)


class Scores:
    """One float output of a graph, see `Again`.

    Args:
        memory: what another one returned for a graph of the same output shape, to be written to.
    """

    def __init__(self, opened: Any, output: str, memory: Array | None = None) -> None:
        self._image = opened.get_inputs()[0].name
        self._output = output
        self._again = Again(opened, [output], None if memory is None else {output: memory})

    def __call__(self, image: Array, others: Mapping[str, Array] | None = None) -> NDArray[np.float32]:
        """The output, which the next call overwrites. Raises as `run`.

        Args:
            image: for the first input.
            others: values of the other inputs.
        """
        return self._again({self._image: image, **(others or {})})[self._output]


def batch_of(model: ModelProto) -> int:
    """Of a static graph."""
    return model.graph.input[0].type.tensor_type.shape.dim[0].dim_value


def output_of(model: ModelProto, spec: ModelSpec) -> str:
    """The output of a plain network that counts."""
    return spec.postprocess.output or model.graph.output[0].name


def _failure(feeds: Mapping[str, Array], fault: Exception) -> GraphError:
    shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in feeds.items())
    return GraphError(f"the graph fails in ONNX Runtime for {shapes}: {first_line(fault)}")


def first_line(fault: BaseException) -> str:
    text = str(fault).strip() or type(fault).__name__
    return text.splitlines()[0][:300]
