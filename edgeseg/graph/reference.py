"""Running a graph in ONNX Runtime on the CPU, to check and to measure it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeseg.backends.onnxruntime import package
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.errors import GraphError
from edgeseg.runtime.tasks import task_of

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
    """What a network gives that counts (`RuntimeTask.scores`), see `Again`.

    Args:
        memory: of another one, for a graph of the same output shapes, to be written to.
    """

    def __init__(self, opened: Any, spec: ModelSpec, memory: Mapping[str, Array] | None = None) -> None:
        self._image, self._spec = opened.get_inputs()[0].name, spec
        names = task_of(spec).read(spec, [output.name for output in opened.get_outputs()])
        self._again = Again(opened, names, memory)
        self.memory = dict(memory or {})

    def __call__(self, image: Array, others: Mapping[str, Array] | None = None) -> Any:
        """The scores, which the next call overwrites. Raises as `run`.

        Args:
            image: for the first input.
            others: values of the other inputs.
        """
        self.memory = self._again({self._image: image, **(others or {})})
        return task_of(self._spec).scores(self.memory, self._spec)


def batch_of(model: ModelProto) -> int:
    """Of a static graph."""
    return model.graph.input[0].type.tensor_type.shape.dim[0].dim_value


def outputs_that_count(model: ModelProto, spec: ModelSpec) -> tuple[str, ...]:
    """Of a plain network."""
    return task_of(spec).read(spec, [output.name for output in model.graph.output])


def _failure(feeds: Mapping[str, Array], fault: Exception) -> GraphError:
    shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in feeds.items())
    return GraphError(f"the graph fails in ONNX Runtime for {shapes}: {first_line(fault)}")


def first_line(fault: BaseException) -> str:
    text = str(fault).strip() or type(fault).__name__
    return text.splitlines()[0][:300]
