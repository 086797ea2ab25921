from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import edgeseg.backends
from edgeseg.core.bundle import Bundle, EngineRecord, Golden, Manifest, StepRecord, TensorInfo
from edgeseg.core.drafts import draft
from edgeseg.core.frame import Frame
from edgeseg.core.model_spec import ModelSpec, Source, default_classes
from edgeseg.core.preprocess import Preprocess
from edgeseg.core.status import BuildStatus

SIZE = (8, 12)


@pytest.fixture(autouse=True)
def toy_backend(monkeypatch):
    """`toy-fp32` is a target, as if its file lay in edgeseg/backends/."""
    folder = Path(__file__).parents[1] / "runtime" / "plugins"
    monkeypatch.setattr(edgeseg.backends, "__path__", [*edgeseg.backends.__path__, str(folder)])


def frames_of(count: int, seed: int = 0) -> np.ndarray:
    """Random frames that the toy engine answers at once."""
    frames = np.random.default_rng(seed).integers(0, 256, (count, *SIZE, 3), dtype=np.uint8)
    frames[:, 0, 0, 2] = 0
    return frames


@pytest.fixture
def frames():
    return frames_of


@pytest.fixture
def make_bundle(tmp_path):
    """Write a bundle of the toy engine; `shift` makes its class maps differ from the golden ones."""

    def make(
        name="toy",
        *,
        kind="engine",
        batch=1,
        confidence=False,
        shift=0,
        confident=True,
        golden=True,
        target="toy-fp32",
        order="rgb",
    ) -> Path:
        about = {"shape": (batch, *SIZE), "confidence": confidence, "shift": shift}
        outputs = (TensorInfo("class_map", "uint8", (batch, *SIZE)),)
        outputs += (TensorInfo("confidence", "float32", (batch, *SIZE)),) if confidence else ()
        with draft(tmp_path / name) as result:
            (result.path / "deploy.onnx").write_text(json.dumps(about))
            built = kind == "engine"
            if built:
                (result.path / "engine").mkdir()
                (result.path / "engine" / "toy.json").write_text(json.dumps(about))
            shown = frames_of(3)
            class_map = shown[..., 0] % 4
            np.savez(
                result.path / "golden.npz",
                frames=shown,
                class_map=class_map,
                confident=np.full(class_map.shape, confident),
                stable=np.full(class_map.shape, confident),
                **{"stored/class_map": class_map},
            )
            result.finish(
                Manifest(
                    kind=kind,
                    name=name,
                    model=ModelSpec(
                        name="toy",
                        source=Source(kind="zoo", ref="toy"),
                        input_size=SIZE,
                        classes=default_classes(4),
                        preprocess=Preprocess(frame=Frame(order=order)),
                    ),
                    step=StepRecord(name="build"),
                    build=BuildStatus(state="built", opened=True)
                    if built
                    else BuildStatus(state="deferred", reason="no toybox"),
                    golden=Golden() if golden else None,
                    engine=EngineRecord(
                        target=target,
                        graph="deploy.onnx",
                        entry="engine/toy.json" if built else "",
                        engine_version="1",
                        batch=batch,
                        camera_size=SIZE,
                        inputs=(TensorInfo("frames", "uint8", (batch, *SIZE, 3)),) if built else (),
                        outputs=outputs if built else (),
                    )
                    if kind in ("engine", "deferred")
                    else None,
                )
            )
        return Bundle.open(tmp_path / name).path

    return make
