"""Running the float graph in an engine, with statistics of inner tensors as its outputs."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from functools import partial

import onnx
from onnx import ModelProto

from edgeseg.core.bundle import EngineRecord
from edgeseg.core.ports import Array, BuildSettings, OpenSettings, own
from edgeseg.core.target import Target
from edgeseg.core.whole import Scratch
from edgeseg.device.build import make_engine
from edgeseg.devices import Device
from edgeseg.devices.local import LOCAL
from edgeseg.graph.reference import run, session

ONNXRUNTIME = "onnxruntime"
"""Here, unoptimised: what graphs are checked with. All other names are engines of the device."""

Probe = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""Feeds to all outputs by name, in float32."""
OpenProbe = Callable[[ModelProto], Probe]
"""Makes a graph a probe. Raises GraphError when the engine refuses it."""


def opener(engine: str = ONNXRUNTIME, threads: int = 2, device: Device = LOCAL) -> OpenProbe:
    """How graphs are opened by an engine: ONNXRUNTIME, or one of a device as targets name it (`openvino`).

    Raises:
        TargetError: there is no such engine, or it has no fp32.
    """
    if engine == ONNXRUNTIME:
        return partial(_here, threads=threads)
    target = Target.parse(f"{engine}-fp32+threads={threads}")
    device.backend(target)
    return partial(_there, target=target, device=device)


def _here(model: ModelProto, threads: int) -> Probe:
    return partial(run, session(model, threads=threads, keep=True))


def _there(model: ModelProto, target: Target, device: Device) -> Probe:
    with Scratch() as place:
        record = EngineRecord(target=str(target), graph="probe.onnx", camera_size=(1, 1))
        onnx.save(model, str(place / record.graph))
        made, _ = make_engine(record, place, BuildSettings(), backends=device.backend)
        engine = device.backend(target).open(place / made.entry, made, OpenSettings())
    request = engine.request()

    def probe(feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        request.write(feeds)
        request.execute()
        return own(request.read())

    weakref.finalize(probe, engine.close)
    return probe


HERE = opener()
