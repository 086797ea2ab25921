"""OpenVINO: CPU, and Intel GPUs and NPUs by `@gpu` and `@npu`.

The precision is a hint at compile time, so one float graph serves all. The build saves OpenVINO IR,
which needs neither the device nor its abilities: an fp16 engine for an NPU can be made anywhere.
Opening it is refused where the device would silently compute in another precision (a CPU with bf16
but without fp16 turns the fp16 hint into bf16).

int8 stands in the graph as Q/DQ pairs. What stays float is left to OpenVINO's choice for the device (bf16 on
x86), but for CPUs that would emulate bf16: they get fp32.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from edgeseg.backends._onnx_io import Node, read_signature, unsupported
from edgeseg.backends._openvino_exact import keep_exact
from edgeseg.backends._openvino_run import OpenVinoEngine
from edgeseg.backends.cpu import cpu_hardware
from edgeseg.core.bundle import EngineRecord, Hardware
from edgeseg.core.int8 import Scheme
from edgeseg.core.ports import (
    Availability,
    Backend,
    BuildSettings,
    Built,
    GraphPreferences,
    NoOptions,
    OpenSettings,
    Progress,
    silent,
)
from edgeseg.core.target import Target
from edgeseg.errors import EdgesegError, GraphError, MissingDependency, MissingDevice, TargetError

NAMES = ("openvino",)
PRECISIONS = ("fp32", "bf16", "fp16", "int8")

ENTRY = "model.xml"
_DRIVERS = {
    "GPU": "install Intel's compute runtime with its OpenCL loader (libOpenCL.so.1)",
    "NPU": "install Intel's NPU driver",
    "CPU": "this OpenVINO package has no CPU plug-in: install the openvino wheel",
}


INT8 = Scheme(
    name="openvino",
    non_negative="unsigned",
    other="signed",
    moved="offset",
    skewed="affine",
    merge_upsampling=True,
    uint8_scores=True,
    probe="openvino",
)
"""Where an operator that only moves or selects values stands before a reader, OpenVINO 2026.4 computes int8
tensors wrongly on a CPU without AMX (SegFormer: 62% of the pixels of its Q/DQ graph; behind a Concat 5 points
of mIoU on Mobile-UNet); the same values as uint8 with zero point 128 are exact (`docs/decisions.md`)."""


class OpenVinoBackend:
    options: type[msgspec.Struct] = NoOptions
    int8: Scheme | None = INT8
    graph = GraphPreferences(opset=21, precision="hint", rewrites=("merge-upsampling", "exact-forms"))
    computes = True

    def targets(self) -> tuple[str, ...]:
        return (
            *(f"openvino-{p}" for p in PRECISIONS),
            "openvino-fp16@gpu",
            "openvino-fp32@gpu",
            "openvino-fp16@npu",
        )

    def availability(self, target: Target) -> Availability:
        device = _device(target)
        try:
            version = str(_package().__version__).partition("-")[0]
        except EdgesegError as fault:
            return Availability(build=False, run=False, reason=fault.message, fix=fault.hint)
        try:
            found = _find(target, device)
            _require_precision(target, found)
        except EdgesegError as fault:
            return Availability(build=True, run=False, version=version, reason=fault.message, fix=fault.hint)
        return Availability(build=True, run=True, version=version, device=_hardware(device, found).name)

    def check(self, graph: Path, target: Target) -> None:
        _read(graph, read_signature(graph).nodes)

    def build(
        self, graph: Path, target: Target, folder: Path, settings: BuildSettings, progress: Progress = silent
    ) -> Built:
        """Convert the graph to IR: `model.xml` and `model.bin`, fp16 weights for fp16, else as they are."""
        ov = _package()
        device = _device(target)
        signature = read_signature(graph)
        progress(f"{target}: converting to OpenVINO IR")
        model = _read(graph, signature.nodes)
        entry = folder / ENTRY
        half = target.precision == "fp16"
        first = entry.with_stem("float32") if half else entry
        ov.save_model(model, str(first), compress_to_fp16=False)
        if keep_exact(first):
            model = _core().read_model(str(first))
        if half:
            ov.save_model(model, str(entry), compress_to_fp16=True)
            del model  # it reads its weights from the file
            for file in first, first.with_suffix(".bin"):
                file.unlink()
        return Built(
            entry=ENTRY,
            engine_version=str(ov.__version__).partition("-")[0],
            hardware=_hardware(device, next(iter(_matching(device)), "")),
            inputs=signature.inputs,
            outputs=signature.outputs,
        )

    def open(self, entry: Path, record: EngineRecord, settings: OpenSettings) -> OpenVinoEngine:
        """
        Raises:
            MissingDevice: the device is not here, or does not compute in the target's precision.
        """
        ov = _package()
        target = Target.parse(record.target)
        device = _find(target, _device(target))
        _require_precision(target, device)
        return OpenVinoEngine(ov, _core(), entry, target, device, record, settings)


def backend(name: str) -> Backend:
    return OpenVinoBackend()


def _package() -> Any:
    try:
        import openvino
    except ImportError:
        raise MissingDependency("openvino", "openvino", needed_for="the engine OpenVINO") from None
    return openvino


@lru_cache(maxsize=1)
def _core() -> Any:
    return _package().Core()


def _device(target: Target) -> str:
    """The target's hardware as OpenVINO writes it: `CPU`, `GPU`, `GPU.1`, `NPU`."""
    name = (target.hardware or ("cpu",))[0].upper()
    if len(target.hardware) > 1 or not re.fullmatch(r"(CPU|GPU|NPU)(\.\d+)?", name):
        raise TargetError(
            f"target '{target}' names a device that OpenVINO does not know",
            expected="one of @cpu, @gpu, @gpu.1, @npu",
            hint="leave out the hardware for the CPU",
        )
    return name


def _matching(device: str) -> list[str]:
    """Devices of this machine that a name stands for: `GPU` matches `GPU.0` and `GPU.1`."""
    return [d for d in _core().available_devices if d == device or d.startswith(f"{device}.")]


def _find(target: Target, device: str) -> str:
    found = _matching(device)
    if not found:
        here = ", ".join(_core().available_devices) or "no device"
        raise MissingDevice(
            f"target '{target}' needs the OpenVINO device {device}; OpenVINO finds {here} on this machine",
            hint=_DRIVERS[device.partition(".")[0]],
        )
    return found[0]


def _require_precision(target: Target, device: str) -> None:
    abilities = _core().get_property(device, "OPTIMIZATION_CAPABILITIES")
    if target.precision.upper() not in abilities:
        able = [p for p in PRECISIONS if p.upper() in abilities]
        raise MissingDevice(
            f"target '{target}': the {device} '{_core().get_property(device, 'FULL_DEVICE_NAME')}' does not "
            f"compute in {target.precision}, and OpenVINO would silently use another precision",
            expected=" or ".join(f"openvino-{p}" for p in able),
            hint="run it on a device that has this precision, or choose another target",
        )


def _hardware(device: str, found: str) -> Hardware:
    """What runs `device`: the CPU of this machine, or the GPU or NPU if it is here."""
    if device.startswith("CPU"):
        return cpu_hardware()
    name = _core().get_property(found, "FULL_DEVICE_NAME") if found else ""
    return Hardware(kind="gpu" if device.startswith("GPU") else "npu", name=name)


def _read(graph: Path, nodes: tuple[Node, ...]) -> Any:
    try:
        return _core().read_model(str(graph))
    except RuntimeError as fault:
        raise _build_error(str(fault), graph, nodes) from None


def _build_error(text: str, graph: Path, nodes: tuple[Node, ...]) -> GraphError:
    missing = re.search(r"No conversion rule found for operations: ([^\s,]+)", text)
    refused = re.search(r"ONNX node '<Node\((\w+)\): ([^>]*)>':\s*(\S.*)", text)
    if refused and not missing:
        return GraphError(
            f"OpenVINO does not take the {refused[1]} that makes '{refused[2]}': {refused[3].strip()}",
            hint="change the operator in the network and export it again, or choose another target",
        )
    if missing is None:
        return GraphError(f"OpenVINO cannot read {graph}: {text}")
    operator = missing[1].rpartition(".")[2].partition("-")[0]
    node = next((n.name for n in nodes if n.operator == operator), "")
    return unsupported("OpenVINO", operator, node)
