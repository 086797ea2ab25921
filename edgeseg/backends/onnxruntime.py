"""ONNX Runtime: CPU, and NVIDIA GPUs with `@cuda`. The engine file is the typed ONNX graph itself."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgeseg.backends._onnx_io import Node, read_signature, unsupported
from edgeseg.backends.cpu import Pinned, cpu_hardware, family_notes, thread_count
from edgeseg.core.bundle import EngineRecord, Hardware, TensorInfo
from edgeseg.core.int8 import Scheme
from edgeseg.core.ports import (
    Array,
    Availability,
    Backend,
    BuildSettings,
    Built,
    GraphPreferences,
    Layer,
    NoOptions,
    OpenSettings,
    Progress,
    Tensors,
    as_inputs,
    silent,
)
from edgeseg.core.target import Target
from edgeseg.core.whole import Scratch
from edgeseg.errors import EdgesegError, GraphError, MissingDependency, MissingDevice, TargetError

NAMES = ("ort",)
PRECISIONS = ("fp32", "fp16", "int8")

ENTRY = "model.onnx"
CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"


INT8 = Scheme(
    name="onnxruntime", non_negative="unsigned", other="affine", moved="affine", repeat=True, int32_bias=True
)
"""Its CPU kernels are 2.6 times slower with int8 activations, and none is an int8 transposed convolution."""


class OrtBackend:
    options: type[msgspec.Struct] = NoOptions
    int8: Scheme | None = INT8
    graph = GraphPreferences(opset=21)
    computes = True

    def targets(self) -> tuple[str, ...]:
        return ("ort-fp32", "ort-fp16", "ort-int8", "ort-fp32@cuda", "ort-fp16@cuda")

    def availability(self, target: Target) -> Availability:
        provider, _ = _provider(target)
        try:
            ort = package()
            _require_provider(ort, provider, target)
        except MissingDevice as fault:
            return Availability(
                build=True, run=False, version=ort.__version__, reason=fault.message, fix=fault.hint
            )
        except EdgesegError as fault:
            return Availability(build=False, run=False, reason=fault.message, fix=fault.hint)
        device = cpu_hardware().name if provider == CPU else "CUDA"
        return Availability(build=True, run=True, version=ort.__version__, device=device)

    def check(self, graph: Path, target: Target) -> None:
        _check_operators(package(), graph, read_signature(graph).nodes)

    def build(
        self, graph: Path, target: Target, folder: Path, settings: BuildSettings, progress: Progress = silent
    ) -> Built:
        """Copy the graph after ONNX Runtime accepted every operator. Needs no GPU, for `@cuda` either."""
        ort = package()
        provider, _ = _provider(target)
        signature = read_signature(graph)
        progress(f"{target}: checking operators")
        _check_operators(ort, graph, signature.nodes)
        shutil.copyfile(graph, folder / ENTRY)
        emulated = (
            target.precision == "fp16" and provider == CPU and platform.machine() in ("x86_64", "AMD64")
        )
        return Built(
            entry=ENTRY,
            engine_version=ort.__version__,
            hardware=cpu_hardware() if provider == CPU else Hardware(kind="gpu"),
            inputs=signature.inputs,
            outputs=signature.outputs,
            notes=(
                "on x86 CPUs ONNX Runtime computes fp16 convolutions in fp32: half the file, no more speed",
            )
            if emulated
            else (),
        )

    def open(self, entry: Path, record: EngineRecord, settings: OpenSettings) -> OrtEngine:
        ort = package()
        target = Target.parse(record.target)
        provider, _ = _provider(target)
        _require_provider(ort, provider, target)
        return OrtEngine(ort, entry, target, record, settings)


class OrtEngine:
    def __init__(
        self, ort: Any, entry: Path, target: Target, record: EngineRecord, settings: OpenSettings
    ) -> None:
        provider, index = _provider(target)
        signature = read_signature(entry)
        self.inputs = signature.inputs
        self.outputs = signature.outputs
        self.threads = thread_count(target) if provider == CPU else 0
        self.notes = family_notes(record.hardware) if provider == CPU else ()
        self.device = ("cpu", 0) if provider == CPU else ("cuda", index)
        self.ort = ort
        self._profile = Scratch() if settings.profile else None
        self._layers: tuple[Layer, ...] = ()
        self._lock = threading.Lock()
        self._pinned = Pinned(target.cpus)
        try:
            self.session: Any = self._open_session(entry, target, provider, index, settings.lasting)
        except BaseException:
            self.close()
            raise

    def _open_session(self, entry: Path, target: Target, provider: str, index: int, lasting: bool) -> Any:
        options = _quiet(self.ort)
        options.enable_mem_pattern = lasting  # a fifth faster, in twice the memory
        options.graph_optimization_level = self.ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        if self._profile:
            options.enable_profiling = True
            options.profile_file_prefix = str(self._profile.path / "profile")
        providers: list[Any] = [CPU]
        if provider == CUDA:
            if hasattr(self.ort, "preload_dlls"):
                self.ort.preload_dlls()
            providers.insert(0, (CUDA, {"device_id": index}))
        try:
            session = self.ort.InferenceSession(str(entry), options, providers=providers)
        except Exception as fault:  # its exceptions have no public common base
            raise GraphError(
                f"ONNX Runtime cannot open {entry.name} for {target}: {' '.join(str(fault).split())[:300]}",
                hint="choose another engine or precision; `edgeseg targets` lists them",
            ) from fault
        if provider not in session.get_providers():
            raise MissingDevice(
                f"target '{target}': ONNX Runtime could not start {provider} on device {index} "
                "and would have run on the CPU",
                hint="check the NVIDIA driver and that CUDA and cuDNN fit this onnxruntime-gpu",
            )
        return session

    def request(self) -> OrtRequest:
        return OrtRequest(self)

    def layers(self) -> tuple[Layer, ...]:
        """The kernels of the last run, after opening with `profile`. The first call ends the profiling."""
        with self._lock:
            if self._profile and not self._layers:
                self._layers = read_profile(Path(self.session.end_profiling()).read_bytes())
            return self._layers

    def close(self) -> None:
        self.session = None
        self._pinned.release()
        if self._profile:
            self._profile.close()


class OrtRequest:
    """Inputs and outputs live where the provider reads and writes them (IO binding)."""

    def __init__(self, engine: OrtEngine) -> None:
        self._session = engine.session
        self._infos = engine.inputs
        self._binding = self._session.io_binding()
        self._inputs = {info.name: _value(engine, info) for info in engine.inputs}
        self._outputs = {info.name: _value(engine, info) for info in engine.outputs}
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        for name, value in self._outputs.items():
            self._binding.bind_ortvalue_output(name, value)

    def write(self, inputs: Tensors) -> None:
        for name, array in as_inputs(inputs, self._infos):
            self._inputs[name].update_inplace(array)
        self._binding.synchronize_inputs()

    def execute(self) -> float:
        start = time.perf_counter()
        self._session.run_with_iobinding(self._binding)
        self._binding.synchronize_outputs()
        return (time.perf_counter() - start) * 1e3

    def read(self) -> dict[str, Array]:
        return {name: value.numpy() for name, value in self._outputs.items()}


def read_profile(data: bytes) -> tuple[Layer, ...]:
    """ONNX Runtime's profile (Chrome trace events) as layers: the last time each kernel ran."""
    last: dict[str, Layer] = {}
    for event in json.loads(data):
        name = event.get("name", "")
        if event.get("cat") != "Node" or not name.endswith("_kernel_time"):
            continue
        about = event["args"]
        types = [kind for shape in about.get("output_type_shape", ()) for kind in shape]
        name = name[: -len("_kernel_time")]
        last[name] = Layer(
            name=name,
            kind=about.get("op_name", ""),
            precision=types[0] if types else "",
            milliseconds=event["dur"] / 1e3,
            nodes=(name.removeprefix("InsertedPrecisionFreeCast_").removesuffix("_nchwc"),),
        )
    return tuple(last.values())


def backend(name: str) -> Backend:
    return OrtBackend()


def package(extra: str = "ort", needed_for: str = "the engine ONNX Runtime") -> Any:
    """The module `onnxruntime`, with its telemetry off: it reports nothing and makes no folder.

    Raises:
        MissingDependency: not installed.
    """
    for name in ("ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED"):  # read on import; 1.31 knows the first
        os.environ.setdefault(name, "1")
    try:
        import onnxruntime
    except ImportError:
        raise MissingDependency("onnxruntime", extra, needed_for=needed_for) from None
    onnxruntime.disable_telemetry_events()
    return onnxruntime


def _provider(target: Target) -> tuple[str, int]:
    """(execution provider, device index) of a target."""
    device, _, index = (target.hardware or ("cpu",))[0].partition(".")
    if len(target.hardware) > 1 or device not in ("cpu", "cuda") or (index and not index.isdigit()):
        raise TargetError(
            f"target '{target}' names hardware that ONNX Runtime does not have here",
            expected="nothing or @cpu for the CPU, @cuda or @cuda.1 for an NVIDIA GPU",
        )
    return (CUDA if device == "cuda" else CPU), int(index or 0)


def _require_provider(ort: Any, provider: str, target: Target) -> None:
    found = ort.get_available_providers()
    if provider not in found:
        raise MissingDevice(
            f"target '{target}' needs {provider}; this onnxruntime has {', '.join(found)}",
            hint="on a machine with an NVIDIA GPU: pip uninstall onnxruntime; pip install onnxruntime-gpu",
        )


def _quiet(ort: Any) -> Any:
    """Session options that keep ONNX Runtime from writing to the terminal: its errors are raised."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return options


def _check_operators(ort: Any, graph: Path, nodes: tuple[Node, ...]) -> None:
    options = _quiet(ort)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    try:
        ort.InferenceSession(str(graph), options, providers=[CPU])
    except (RuntimeError, ValueError) as fault:
        raise _build_error(str(fault), graph, nodes) from None
    except Exception as fault:
        if type(fault).__module__.startswith("onnxruntime."):
            raise _build_error(str(fault), graph, nodes) from None
        raise


def _build_error(text: str, graph: Path, nodes: tuple[Node, ...]) -> GraphError:
    missing = re.search(r"implementation for (\w+)\(\d+\) node with name '([^']*)'", text)
    if missing:
        return unsupported("ONNX Runtime", missing[1], missing[2])
    unknown = re.search(r"(\w+)\(-?\d+\) is not a registered function/op", text)
    if unknown:
        node = next((n.name for n in nodes if n.operator == unknown[1]), "")
        return unsupported("ONNX Runtime", unknown[1], node)
    return GraphError(f"ONNX Runtime cannot read {graph}: {text}")


def _value(engine: OrtEngine, info: TensorInfo) -> Any:
    kind, index = engine.device
    return engine.ort.OrtValue.ortvalue_from_shape_and_type(
        list(info.shape), np.dtype(info.dtype).type, kind, index
    )
