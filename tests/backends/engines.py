"""An engine built and opened in one call, and one run of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeseg.backends import backend_for
from edgeseg.core.bundle import EngineRecord, Hardware
from edgeseg.core.ports import BuildSettings, Built, Engine, OpenSettings
from edgeseg.core.target import Target


def make(
    graph: Path, folder: Path, text: str, hardware: Hardware | None = None, **settings: object
) -> tuple[Built, Engine]:
    """`hardware`: what the engine claims to be made for; None: what it is."""
    target = Target.parse(text)
    backend = backend_for(target)
    built = backend.build(graph, target, folder, BuildSettings())
    record = EngineRecord(
        target=text,
        graph="",
        engine_version=built.engine_version,
        hardware=hardware or built.hardware,
        camera_size=(1, 1),
    )
    return built, backend.open(folder / built.entry, record, OpenSettings(**settings))


def run(engine: Engine, frames: np.ndarray) -> np.ndarray:
    request = engine.request()
    request.write({"frames": frames})
    assert request.execute() > 0
    return request.read()["class_map"].copy()
