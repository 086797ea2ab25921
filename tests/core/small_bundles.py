"""A bundle of two small files."""

from __future__ import annotations

from pathlib import Path

from edgeseg.core.bundle import Manifest, StepRecord
from edgeseg.core.drafts import draft
from edgeseg.core.model_spec import ModelSpec, Source, default_classes

SPEC = ModelSpec(
    name="net", source=Source(kind="onnx", ref="net.onnx"), input_size=(8, 8), classes=default_classes(2)
)
MANIFEST = Manifest(
    kind="onnx", name="net-onnx", model=SPEC, graph="graph.onnx", step=StepRecord(name="export")
)


def write(destination: Path, content: bytes = b"graph", *, overwrite: bool = False) -> Path:
    with draft(destination, overwrite=overwrite) as work:
        (work.path / "graph.onnx").write_bytes(content)
        (work.path / "engine").mkdir()
        (work.path / "engine" / "model.bin").write_bytes(b"engine")
        work.finish(MANIFEST)
    return destination
