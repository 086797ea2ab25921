"""A compiled OpenVINO model and its requests."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgeseg.backends._cache_files import keep, read_if_whole, writable
from edgeseg.backends.cpu import Pinned, emulates_bf16, family_notes
from edgeseg.core.bundle import EngineRecord, TensorInfo
from edgeseg.core.cache import use
from edgeseg.core.ports import Array, Layer, OpenSettings, Tensors, as_inputs
from edgeseg.core.target import Target
from edgeseg.errors import GraphError, TargetError

HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}


class OpenVinoEngine:
    """
    Args:
        device: as OpenVINO names it, checked to be here.
    """

    def __init__(
        self,
        ov: Any,
        core: Any,
        entry: Path,
        target: Target,
        device: str,
        record: EngineRecord,
        settings: OpenSettings,
    ) -> None:
        on_cpu = device.startswith("CPU")
        cache, notes = writable(settings.cache)
        self.notes = (*notes, *(family_notes(record.hardware) if on_cpu else ()))
        self._ov = ov
        self._profile = settings.profile
        self._times: dict[str, float] = {}
        self._lock = threading.Lock()
        self._pinned = Pinned(target.cpus if on_cpu else ())
        try:
            config = _config(target, on_cpu, settings)
            self._compiled: Any = _compiled(ov, core, entry, device, config, cache)
            _refuse_other_precision(self._compiled, target)
            self.threads = int(self._compiled.get_property("INFERENCE_NUM_THREADS")) if on_cpu else 0
            self.inputs = _infos(self._compiled.inputs, record.inputs)
            self.outputs = _infos(self._compiled.outputs, record.outputs)
        except BaseException:
            self._pinned.release()
            raise

    def request(self) -> OpenVinoRequest:
        return OpenVinoRequest(self, self._ov, self._compiled.create_infer_request())

    def executed(self, request: Any) -> None:
        """Keep the times of the last run, when profiling."""
        if not self._profile:
            return
        times = {
            i.node_name: i.real_time.total_seconds() * 1e3
            for i in request.get_profiling_info()
            if i.status == self._ov.ProfilingInfo.Status.EXECUTED
        }
        with self._lock:
            self._times = times

    def layers(self) -> tuple[Layer, ...]:
        """Nodes of the execution graph: fused, with the reorders and conversions OpenVINO inserted."""
        with self._lock:
            times = dict(self._times)
        return tuple(msgspec.structs.replace(n, milliseconds=times.get(n.name)) for n in self._executed)

    @cached_property
    def _executed(self) -> tuple[Layer, ...]:
        found = []
        for node in self._compiled.get_runtime_model().get_ordered_ops():
            about = {key: str(value.astype(str)) for key, value in node.get_rt_info().items()}
            kind = about.get("layerType", "")
            if kind not in ("Input", "Output", "Const", "Constant", "Result"):
                found.append(
                    Layer(
                        name=node.get_friendly_name(),
                        kind=kind,
                        precision=about.get("runtimePrecision", ""),
                        nodes=tuple(filter(None, about.get("originalLayersNames", "").split(","))),
                    )
                )
        return tuple(found)

    def close(self) -> None:
        self._compiled = None
        self._pinned.release()


class OpenVinoRequest:
    """Owns its input and output arrays; OpenVINO reads and writes them in place."""

    def __init__(self, engine: OpenVinoEngine, ov: Any, request: Any) -> None:
        self._engine = engine
        self._request = request
        self._inputs = {info.name: np.zeros(info.shape, info.dtype) for info in engine.inputs}
        self._outputs = {info.name: np.zeros(info.shape, info.dtype) for info in engine.outputs}
        for index, array in enumerate(self._inputs.values()):
            request.set_input_tensor(index, ov.Tensor(array, shared_memory=True))
        for index, array in enumerate(self._outputs.values()):
            request.set_output_tensor(index, ov.Tensor(array, shared_memory=True))

    def write(self, inputs: Tensors) -> None:
        for name, array in as_inputs(inputs, self._engine.inputs):
            np.copyto(self._inputs[name], array)

    def execute(self) -> float:
        start = time.perf_counter()
        self._request.infer()
        elapsed = (time.perf_counter() - start) * 1e3
        self._engine.executed(self._request)
        return elapsed

    def read(self) -> dict[str, Array]:
        return dict(self._outputs)


def _config(target: Target, on_cpu: bool, settings: OpenSettings) -> dict[str, Any]:
    config: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "PERF_COUNT": settings.profile,
    }
    hint = HINTS.get(target.precision, "f32" if on_cpu and emulates_bf16() else "")
    if hint:
        config["INFERENCE_PRECISION_HINT"] = hint
    if settings.streams > 1:
        config |= {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": settings.streams}
    if on_cpu and (target.threads or target.cpus):
        config["INFERENCE_NUM_THREADS"] = target.threads or len(target.cpus)
    if on_cpu and target.cpus:
        config["ENABLE_CPU_PINNING"] = False
    return config


def _compiled(
    ov: Any, core: Any, entry: Path, device: str, config: dict[str, Any], cache: Path | None
) -> Any:
    """The compiled model of an IR file, kept in `cache` as OpenVINO exports it.

    Not by OpenVINO's own CACHE_DIR: that reads files with flipped bytes, and in 2026.4 finds a model by its
    file whatever the precision was (SegFormer in bf16, opened after f32: 34% of its pixels had their class).
    """
    if cache is None:
        return _compile(core, entry, device, config)
    file = cache / f"openvino-{_cache_key(ov, core, entry, device, config)}.blob"
    if stored := read_if_whole(file):
        with suppress(RuntimeError):
            found = core.import_model(ov.Tensor(np.frombuffer(stored, np.uint8)), device, config)
            use(file)
            return found
    compiled = _compile(core, entry, device, config)
    with suppress(RuntimeError):  # not every device exports
        keep(file, compiled.export_model().getvalue())
    return compiled


def _cache_key(ov: Any, core: Any, entry: Path, device: str, config: dict[str, Any]) -> str:
    """Of everything that decides what a compiled model is."""
    digest = hashlib.sha256()
    for file in entry, entry.with_suffix(".bin"):
        digest.update(hashlib.sha256(file.read_bytes() if file.is_file() else b"").digest())
    about = (
        ov.__version__,
        device,
        core.get_property(device, "FULL_DEVICE_NAME"),
        sorted(core.get_property(device, "OPTIMIZATION_CAPABILITIES")),
        os.environ.get("ONEDNN_MAX_CPU_ISA", ""),
        sorted(config.items()),
    )
    digest.update(repr(about).encode())
    return digest.hexdigest()[:32]


def _compile(core: Any, entry: Path, device: str, config: dict[str, Any]) -> Any:
    try:
        return core.compile_model(str(entry), device, config)
    except RuntimeError as fault:
        lines = [line.strip() for line in str(fault).splitlines() if line.strip()]
        raise GraphError(
            f"OpenVINO cannot open {entry.name} on {device}: {' '.join(lines)[-300:]}",
            hint="choose another engine or precision; `edgeseg targets` lists them",
        ) from fault


def _refuse_other_precision(compiled: Any, target: Target) -> None:
    used = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    if used != HINTS.get(target.precision, used):
        raise TargetError(
            f"target '{target}': OpenVINO would compute in {used} on this device",
            hint="run it on a device that has this precision, or choose another target",
        )


def _infos(ports: Sequence[Any], recorded: Sequence[TensorInfo]) -> tuple[TensorInfo, ...]:
    """A tensor that the graph returns twice has several names in OpenVINO: the recorded one counts."""
    wanted = [info.name for info in recorded] if len(recorded) == len(ports) else [""] * len(ports)
    names = [name if name in port.names else port.any_name for port, name in zip(ports, wanted)]
    return tuple(
        TensorInfo(name, np.dtype(port.element_type.to_dtype()).name, tuple(port.shape))
        for name, port in zip(names, ports)
    )
