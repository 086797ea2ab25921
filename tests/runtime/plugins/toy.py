"""A backend in one small file. Class: red modulo 4. Blue of the first pixel: milliseconds to sleep."""

from __future__ import annotations

import json
import threading
import time

import msgspec
import numpy as np

from edgeseg.core.bundle import Hardware, TensorInfo
from edgeseg.core.ports import Availability, Built, GraphPreferences, silent
from edgeseg.errors import EngineMismatch

NAMES = ("toy",)
PRECISIONS = ("fp32",)


class ToyOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    speed: int = 1


class ToyBackend:
    options = ToyOptions
    int8 = None
    graph = GraphPreferences(opset=18, precision="hint")

    def targets(self):
        return ("toy-fp32",)

    def availability(self, target):
        return Availability(build=True, run="norun" not in target.hardware, version="1")

    def build(self, graph, target, folder, settings, progress=silent):
        if "orin" in target.hardware:
            raise EngineMismatch("this bundle is for orin; here is toybox")
        about = json.loads(graph.read_text())
        (folder / "toy.json").write_text(json.dumps(about))
        inputs, outputs = signature(about)
        return Built(
            entry="toy.json",
            engine_version="1",
            hardware=Hardware(name="toybox"),
            inputs=inputs,
            outputs=outputs,
        )

    def open(self, entry, record, settings):
        return ToyEngine(json.loads(entry.read_text()), record)


class ToyEngine:
    def __init__(self, about, record):
        self.about = about
        self.inputs, self.outputs = signature(about)
        self.threads = 1
        self.notes = ("made on another CPU",)
        self.record = record
        self.closed = False
        self.slow_run = threading.Event()

    def request(self):
        return ToyRequest(self)

    def layers(self):
        return ()

    def close(self):
        self.closed = True


class ToyRequest:
    def __init__(self, engine):
        self.engine = engine

    def write(self, inputs):
        self.engine.given = inputs["frames"]
        self.frames = inputs["frames"].copy()
        assert self.frames.shape == self.engine.inputs[0].shape

    def execute(self):
        assert not self.engine.closed
        if milliseconds := int(self.frames[0, 0, 0, 2]):
            self.engine.slow_run.set()
            time.sleep(milliseconds / 1000)
        assert not self.engine.closed
        return 0.5

    def read(self):
        class_map = (self.frames[..., 0] + self.engine.about["shift"]) % 4
        result = {"class_map": class_map.astype(np.uint8)}
        if self.engine.about["confidence"]:
            result["confidence"] = (self.frames[..., 1] / 255).astype(np.float32)
        return result


def signature(about):
    shape = tuple(about["shape"])
    outputs = [TensorInfo("class_map", "uint8", shape)]
    if about["confidence"]:
        outputs.append(TensorInfo("confidence", "float32", shape))
    return (TensorInfo("frames", "uint8", (*shape, 3)),), tuple(outputs)


def backend(name):
    return ToyBackend()
