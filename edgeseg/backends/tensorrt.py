"""TensorRT (`trt`, data-centre GPUs and Jetson) and TensorRT-RTX (`rtx`, RTX cards).

Precision stands in the ONNX graph; networks are strongly typed on 10.x and 11.x alike. A `trt` plan
is built on the GPU it runs on. TensorRT-RTX builds without a GPU, for the compute capabilities a
target names (`rtx-fp16@sm86,sm89`) or for `sm80` and later.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgeseg.backends._cuda import cuda
from edgeseg.backends._tensorrt_build import TensorRtOptions, build_options, build_plan, check_plan
from edgeseg.backends._tensorrt_package import (
    DISTRIBUTIONS,
    Distribution,
    built_for,
    capabilities,
    load_package,
    require_fit,
    require_known,
    require_match,
    require_same_device,
)
from edgeseg.backends._tensorrt_run import TensorRtEngine
from edgeseg.core.bundle import EngineRecord
from edgeseg.core.int8 import Scheme
from edgeseg.core.ports import (
    Availability,
    Backend,
    BuildSettings,
    Built,
    GraphPreferences,
    OpenSettings,
    Progress,
    silent,
)
from edgeseg.core.target import Target
from edgeseg.errors import EdgesegError

NAMES = ("trt", "rtx")
PRECISIONS = ("fp32", "fp16", "int8")


INT8 = Scheme(
    name="tensorrt",
    non_negative="signed",
    other="signed",
    moved="signed",
    skip_only=True,
    repeat=True,
    rest="fp16",
)
"""Symmetric int8 is all its parser reads; uint8 zero points are silently taken for int8."""


class TensorRtBackend:
    options: type[msgspec.Struct] = TensorRtOptions
    int8: Scheme | None = INT8
    graph = GraphPreferences(opset=19, rewrites=("sample-roi-align",), wide_frames=False)
    computes = True

    def __init__(self, kind: Distribution) -> None:
        self._kind = kind

    def targets(self) -> tuple[str, ...]:
        names = ("@orin",) if self._kind.engine == "trt" else ("@sm75", "@sm86,sm89", "@sm120")
        plain = tuple(f"{self._kind.engine}-{p}" for p in PRECISIONS)
        return (*plain, *(f"{self._kind.engine}-fp16{name}" for name in names))

    def availability(self, target: Target) -> Availability:
        """
        Raises:
            TargetError: hardware that is not an NVIDIA device.
        """
        faults: list[EdgesegError] = []
        version = name = ""
        try:
            trt = load_package(self._kind)
            version = trt.__version__
        except EdgesegError as fault:
            faults.append(fault)
        else:
            if self._kind.ahead_of_time:
                capabilities(trt, target)
        require_known(target)
        builds = self._kind.ahead_of_time and not faults
        try:
            device = cuda().device()
            name = f"{device.name} ({device.capability})"
            if self._kind.ahead_of_time:
                require_fit(self._kind, built_for(self._kind, target, None), device)
            else:
                require_same_device(self._kind, target, device)
        except EdgesegError as fault:
            faults.append(fault)
        return Availability(
            build=builds or not faults,
            run=not faults,
            version=version,
            device=name,
            reason="; ".join(fault.message for fault in faults),
            fix="; ".join(fault.hint for fault in faults),
        )

    def check(self, graph: Path, target: Target) -> None:
        check_plan(self._kind, load_package(self._kind), graph)

    def build(
        self, graph: Path, target: Target, folder: Path, settings: BuildSettings, progress: Progress = silent
    ) -> Built:
        """
        Raises:
            MissingDevice: a `trt` plan without the GPU it is for.
        """
        trt = load_package(self._kind)
        device = None
        if not self._kind.ahead_of_time:
            device = cuda().device()
            require_same_device(self._kind, target, device)
        plan = build_plan(self._kind, trt, graph, target, settings, progress)
        (folder / self._kind.entry).write_bytes(plan.data)
        return Built(
            entry=self._kind.entry,
            engine_version=trt.__version__,
            hardware=built_for(self._kind, target, device),
            inputs=plan.inputs,
            outputs=plan.outputs,
            settings=msgspec.to_builtins(build_options(settings)),
        )

    def open(self, entry: Path, record: EngineRecord, settings: OpenSettings) -> TensorRtEngine:
        trt = load_package(self._kind)
        driver = cuda()
        require_match(self._kind, trt.__version__, record, driver.device())
        return TensorRtEngine(self._kind, trt, driver, entry, record, settings)


def backend(name: str) -> Backend:
    return TensorRtBackend(DISTRIBUTIONS[name])
