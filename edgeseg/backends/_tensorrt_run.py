"""A TensorRT plan on the GPU: contexts, memory, CUDA graphs, layer times.

API: https://docs.nvidia.com/deeplearning/tensorrt (ICudaEngine, IExecutionContext; for TensorRT-RTX
also IRuntimeConfig and IRuntimeCache).
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from edgeseg.backends._cache_files import keep, read_if_whole, writable
from edgeseg.backends._cuda import Buffer, Cuda, CudaError, Stream
from edgeseg.backends._tensorrt_package import Distribution, make_logger
from edgeseg.core.bundle import EngineRecord
from edgeseg.core.ports import Array, Layer, OpenSettings, Tensors, as_inputs
from edgeseg.errors import BundleError, EngineMismatch


class TensorRtEngine:
    """
    Args:
        trt: the package; `cuda`: the driver.

    Raises:
        EngineMismatch: the runtime refuses the plan; its reasons are given.
    """

    def __init__(
        self,
        kind: Distribution,
        trt: Any,
        cuda: Cuda,
        entry: Path,
        record: EngineRecord,
        settings: OpenSettings,
    ) -> None:
        self.inputs = record.inputs
        self.outputs = record.outputs
        self.threads = 0
        self.notes: tuple[str, ...] = ()
        self.trt = trt
        self.cuda = cuda
        self.profile = settings.profile
        wants_graph = bool(record.settings.get("cuda_graph", True)) and not settings.profile
        self.captures = wants_graph and not kind.ahead_of_time
        self.times: dict[str, float] = {}
        self._requests: list[TensorRtRequest] = []
        self.context = cuda.retain()
        try:
            plan = entry.read_bytes()
            self._logger = make_logger(trt)
            self._runtime: Any = trt.Runtime(self._logger)
            self._engine: Any = self._deserialize(kind, plan)
            self._config: Any = None
            self._cache: tuple[Any, Path] | None = None
            if kind.ahead_of_time:
                self._config = self._engine.create_runtime_config()
                self._cache = self._open_cache(plan, settings)
                if wants_graph:
                    self._config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        except BaseException:
            cuda.release()
            raise

    def _deserialize(self, kind: Distribution, plan: bytes) -> Any:
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            reasons = "; ".join([*_invalidity(self.trt, self._runtime, plan), *self._logger.errors[-3:]])
            raise EngineMismatch(
                f"{kind.title} {self.trt.__version__} refuses this engine: {reasons}",
                hint="build it again here: `edgeseg build BUNDLE`",
            )
        self._require_signature(engine)
        return engine

    def _require_signature(self, engine: Any) -> None:
        for info in (*self.inputs, *self.outputs):
            shape = tuple(engine.get_tensor_shape(info.name))
            dtype = np.dtype(self.trt.nptype(engine.get_tensor_dtype(info.name))).name
            if (dtype, shape) != (info.dtype, info.shape):
                raise BundleError(
                    f"the engine's tensor '{info.name}' is {dtype} {list(shape)}",
                    expected=f"{info.dtype} {list(info.shape)}, as the manifest says",
                    hint="build the engine again",
                )

    def _open_cache(self, plan: bytes, settings: OpenSettings) -> tuple[Any, Path] | None:
        """Compiled kernels of TensorRT-RTX, kept between runs. A cache of another GPU is not used."""
        folder, self.notes = writable(settings.cache)
        if folder is None:
            return None
        file = folder / f"rtx-{hashlib.sha256(plan).hexdigest()[:16]}.kernels"
        cache = self._config.create_runtime_cache()
        stored = read_if_whole(file)
        if stored:
            cache.deserialize(stored)
        self._config.set_runtime_cache(cache)
        return cache, file

    def execution_context(self) -> Any:
        """A new context, with memory of its own."""
        self.cuda.use(self.context)
        if self._config is None:
            return self._engine.create_execution_context()
        return self._engine.create_execution_context(self._config)

    def request(self) -> TensorRtRequest:
        request = TensorRtRequest(self)
        self._requests.append(request)
        return request

    def layers(self) -> tuple[Layer, ...]:
        """What the engine inspector tells, with the times of the last profiled run."""
        self.cuda.use(self.context)
        inspector = self._engine.create_engine_inspector()
        text = inspector.get_engine_information(self.trt.LayerInformationFormat.JSON)
        return read_inspector(text, self.times)

    def close(self) -> None:
        """Free all requests, save the kernel cache, let the GPU go."""
        if self._engine is None:
            return
        self.cuda.use(self.context)
        if self._cache is not None:
            cache, file = self._cache
            keep(file, bytes(cache.serialize()))
        for request in self._requests:
            request.close()
        self._requests.clear()
        self._cache = self._config = self._engine = self._runtime = None
        self.cuda.release()


class TensorRtRequest:
    """One execution context with its stream and buffers.

    `execute` replays a CUDA graph from its second run on, where the engine allows: the first run is
    enqueued plainly, because TensorRT initialises lazily and that must not be captured.
    """

    def __init__(self, engine: TensorRtEngine) -> None:
        self._engine = engine
        self._context = engine.execution_context()
        self._stream = Stream(engine.cuda)
        self._buffers = {info.name: Buffer(engine.cuda, info) for info in (*engine.inputs, *engine.outputs)}
        for name, buffer in self._buffers.items():
            self._context.set_tensor_address(name, buffer.address)
        self._captures = engine.captures
        self._times: dict[str, float] = {}
        if engine.profile:
            self._profiler = _layer_clock(engine.trt, self._times)
            self._context.profiler = self._profiler

    def write(self, inputs: Tensors) -> None:
        self._engine.cuda.use(self._engine.context)
        for name, array in as_inputs(inputs, self._engine.inputs):
            np.copyto(self._buffers[name].host, array)
            self._buffers[name].upload(self._stream)
        self._stream.synchronize()

    def execute(self) -> float:
        self._engine.cuda.use(self._engine.context)
        if self._captures and not self._stream.captured:
            self._capture()
        self._times.clear()
        self._stream.start_clock()
        if self._stream.captured:
            self._stream.launch()
        else:
            self._enqueue()
        elapsed = self._stream.stop_clock()
        self._engine.times = dict(self._times)
        return elapsed

    def read(self) -> dict[str, Array]:
        self._engine.cuda.use(self._engine.context)
        names = [info.name for info in self._engine.outputs]
        for name in names:
            self._buffers[name].download(self._stream)
        self._stream.synchronize()
        return {name: self._buffers[name].host for name in names}

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(self._stream.handle):
            raise CudaError("TensorRT could not enqueue the inference", hint="run `edgeseg doctor`")

    def _capture(self) -> None:
        self._enqueue()
        self._stream.synchronize()
        try:
            self._stream.begin_capture()
            enqueued = self._context.execute_async_v3(self._stream.handle)
            self._stream.end_capture()
        except CudaError as fault:
            self._captures = False
            self._engine.notes += (f"no CUDA graph: {fault.message}",)
            return
        if not enqueued:
            raise CudaError("TensorRT could not enqueue the inference", hint="run `edgeseg doctor`")

    def close(self) -> None:
        self._stream.synchronize()
        self._context = None
        for buffer in self._buffers.values():
            buffer.close()
        self._stream.close()


def read_inspector(text: str, times: dict[str, float]) -> tuple[Layer, ...]:
    """Layers from the engine inspector's JSON, as 10.x, 11.x and TensorRT-RTX write it."""
    found = []
    for entry in json.loads(text).get("Layers", ()):
        about: dict[str, Any] = {"Name": entry} if isinstance(entry, str) else entry
        name = about.get("Name", "")
        found.append(
            Layer(
                name=name,
                kind=about.get("LayerType", ""),
                precision=_precision(about.get("Outputs") or about.get("Inputs") or []),
                milliseconds=times.get(name),
                nodes=_fused(name, about.get("Metadata", "")),
            )
        )
    return tuple(found)


def _fused(name: str, metadata: str) -> tuple[str, ...]:
    """Nodes of the ONNX file in a layer: from its metadata, else from a name such as `conv + relu`."""
    return tuple(re.findall(r"\[ONNX Layer: ([^\]]+)\]", metadata)) or tuple(name.split(" + "))


def _precision(tensors: list[Any]) -> str:
    """`Float`, `Half`, ... or the FP16 within 10.x's `Row major linear FP16 format`."""
    for tensor in tensors:
        for key, value in tensor.items() if isinstance(tensor, dict) else ():
            if "datatype" in key.lower():
                named = re.search(r"\b(B?FP?\d+|U?Int\d+|Bool)\b", str(value), re.IGNORECASE)
                return named[1] if named else str(value)
    return ""


def _layer_clock(trt: Any, times: dict[str, float]) -> Any:
    class LayerClock(trt.IProfiler):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            times[layer_name] = times.get(layer_name, 0.0) + ms

    return LayerClock()


def _invalidity(trt: Any, runtime: Any, plan: bytes) -> list[str]:
    """Why TensorRT-RTX calls a plan invalid; TensorRT tells in its log only."""
    if not hasattr(runtime, "get_engine_validity"):
        return []
    _, diagnostics = runtime.get_engine_validity(plan)
    known = trt.EngineInvalidityDiagnostics.__members__.items()
    return [name.lower().replace("_", " ") for name, bit in known if diagnostics & int(bit)]
