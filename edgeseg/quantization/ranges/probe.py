"""Running the float graph in an engine, with statistics of inner tensors as its outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from onnx import ModelProto

from edgeseg.core.ports import Array
from edgeseg.errors import GraphError, MissingDependency
from edgeseg.graph.reference import first_line, run, session

ProbeEngine = Literal["onnxruntime", "openvino"]
Probe = Callable[[Mapping[str, Array]], dict[str, Array]]


def open_probe(model: ModelProto, engine: ProbeEngine = "onnxruntime", *, threads: int = 2) -> Probe:
    """A function from feeds to all outputs by name, in float32. OpenVINO's are valid until the next call.

    Raises:
        GraphError: the engine refuses the graph.
        MissingDependency: the engine is not installed.
    """
    if engine == "openvino":
        return _openvino(model, threads)
    opened = session(model, threads=threads)
    return lambda feeds: run(opened, feeds)


def _openvino(model: ModelProto, threads: int) -> Probe:
    try:
        import openvino
    except ImportError:
        raise MissingDependency("openvino", "openvino", needed_for="collecting ranges in OpenVINO") from None
    core = openvino.Core()
    config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    try:
        compiled = core.compile_model(core.read_model(model.SerializeToString()), "CPU", config)
    except RuntimeError as fault:
        raise GraphError(f"OpenVINO refuses the graph: {first_line(fault)}") from fault
    request = compiled.create_infer_request()
    names = [o.name for o in model.graph.output]

    def call(feeds: Mapping[str, Array]) -> dict[str, Array]:
        request.infer(dict(feeds))
        return {name: request.get_tensor(name).data for name in names}

    return call
